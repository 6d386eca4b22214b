// House rules as tests. Each failure names the file and what to do instead; the reasons are in docs/ARCHITECTURE.md.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root })
  .toString()
  .split('\n')
  .filter(file => file !== '' && existsSync(root + file));
const read = (file: string) => readFileSync(root + file, 'utf8');

/** One vendor, one doorman: everything else asks the doorman. Types may be named anywhere. */
const DOORMEN: Record<string, string> = {
  'uWebSockets.js': 'src/accept/',
  piscina: 'src/check/schema/',
  'prom-client': 'src/journal/metrics/',
  iovalkey: 'src/check/limits/',
  native: 'src/native.ts',
};

/** The life of a request. These folders do not know each other: src/edge.ts joins them. */
const DATA_PLANE = ['accept', 'check', 'forward', 'journal'];
const VERBS = [...DATA_PLANE, 'learn', 'manage'];

/** What any folder may import: what an operator wrote, the exchange itself, the native door. */
const COMMON_GROUND = /^src\/(config\/.*|exchange|native)$/;

/**
 * One word finds all of a capability: folder, config key, metric, log field, reason, admin path, CLI noun, corpus.
 * A new capability is a new word here.
 */
const CAPABILITIES = new Set(
  `mtls rules endpoints schema credentials jwt keys partners limits sequences waf bots leaks ownership connections
   grpc tls origins metrics events sinks log discovery posture report store admin cli dashboard pki`.split(/\s+/),
);

/** Names that say nothing about what is inside. */
const EMPTY_NAMES = new Set(['utils', 'util', 'common', 'core', 'services', 'helpers', 'helper', 'types', 'misc']);

/** Which crate may know which: door -> listener, forward -> engine, never back; all but the engine stand on the reactor. */
const CRATES: Record<string, string[]> = {
  engine: [],
  reactor: [],
  forward: ['engine', 'reactor'],
  listener: ['engine', 'reactor'],
  pki: [],
  door: ['engine', 'forward', 'listener', 'pki', 'reactor'],
  fuzz: ['engine', 'forward', 'listener', 'pki'],
};

/** Cryptography comes from aws-lc-rs alone; `rsa` has RUSTSEC-2023-0071. */
const BANNED_CRATES = ['ring', 'openssl', 'openssl-sys', 'native-tls', 'rsa', 'failure'];

test('one vendor, one doorman', () => {
  const wrong = imports().flatMap(({ file, specifier, target, typeOnly }) => {
    if (typeOnly) return [];
    const vendor = target.startsWith('native/') ? 'native' : packageOf(specifier);
    const doorman = DOORMEN[vendor];
    if (doorman === undefined || file.startsWith(doorman)) return [];
    return [`${file} imports ${specifier}: only ${doorman} may, import what you need from there`];
  });
  expect(wrong).toEqual([]);
});

test('the data plane does not know the control plane, nor its own neighbours', () => {
  const wrong = imports().flatMap(({ file, specifier, target }) => {
    const [, verb = '', capability] = /^src\/(\w+)\/(?:([\w-]+)\/)?/.exec(file) ?? [];
    if (!DATA_PLANE.includes(verb) || !target.startsWith('src/') || COMMON_GROUND.test(target)) return [];
    const [, targetVerb = '', targetCapability] = /^src\/(\w+)(?:\/([\w-]+)\/)?/.exec(target) ?? [];
    if (targetVerb !== verb) {
      return [
        `${file} imports ${specifier}: ${verb} and ${targetVerb} meet in src/edge.ts or src/main.ts, join them there`,
      ];
    }
    if (capability !== undefined && targetCapability !== undefined && capability !== targetCapability) {
      return [`${file} imports ${specifier}: capabilities never import each other, let their caller hand it over`];
    }
    return [];
  });
  expect(wrong).toEqual([]);
});

test('CLI and dashboard know the data plane only through the admin API', () => {
  const wrong = imports()
    .filter(
      ({ file, target }) => /^src\/manage\/(cli|dashboard)\//.test(file) && /^src\/(?!config\/|manage\/)/.test(target),
    )
    .map(
      ({ file, specifier }) =>
        `${file} imports ${specifier}: ask the admin API for it over HTTP, or let src/main.ts hand it over`,
    );
  expect(wrong).toEqual([]);
});

test('only the composition root sees everything', () => {
  const wrong = imports()
    .filter(({ target, typeOnly }) => target === 'src/main' || (target === 'src/edge' && !typeOnly))
    .map(
      ({ file, specifier }) =>
        `${file} imports ${specifier}: src/main.ts and src/edge.ts are where it all meets, move what you need out of them`,
    );
  expect(wrong).toEqual([]);
});

test('folders under src are the six verbs, and below them capabilities', () => {
  const wrong = files.flatMap(file => {
    const [, verb, capability] = /^src\/([^/]+)\/(?:([^/]+)\/)?/.exec(file) ?? [];
    if (verb === undefined || verb === 'config') return [];
    if (!VERBS.includes(verb)) return [`${file}: the folders of src are ${VERBS.join(', ')} and config`];
    if (capability === undefined || CAPABILITIES.has(capability)) return [];
    return [`${file}: ${capability} is no capability's one word; use the word, or add it to CAPABILITIES here`];
  });
  expect(wrong).toEqual([]);
});

test('no name says nothing', () => {
  const wrong = files.filter(file => file.split('/').some(part => EMPTY_NAMES.has(part.replace(/\..*$/, ''))));
  expect(wrong.map(file => `${file}: name it after what is inside`)).toEqual([]);
});

test('files are named in one way', () => {
  const wrong = files.filter(file => {
    const name = posix.basename(file);
    if (/\.(ts|mjs|js)$/.test(name)) return !/^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.config|\.d)?\.(ts|mjs)$/.test(name);
    if (name.endsWith('.rs')) return !/^[a-z0-9]+(_[a-z0-9]+)*\.rs$/.test(name);
    return false;
  });
  expect(wrong.map(file => `${file}: TypeScript in kebab-case (.ts, .mjs), Rust in snake_case`)).toEqual([]);
});

test('crates depend downwards only, and the engine stays pure', () => {
  const wrong = files.flatMap(file => {
    const crate = /^native\/(\w+)\//.exec(file)?.[1];
    if (crate === undefined) return [];
    if (file.endsWith('/Cargo.toml')) {
      const known = CRATES[crate];
      if (known === undefined) return [`${file}: a new crate; give it a row in CRATES here`];
      const used = [...read(file).matchAll(/^portcullis-(\w+)/gm)].map(match => match[1] ?? '');
      const upwards = used.filter(name => !known.includes(name));
      return upwards.map(
        name => `${file} depends on portcullis-${name}: ${crate} may know only ${known.join(', ') || 'nobody'}`,
      );
    }
    if (crate !== 'engine' || !file.startsWith('native/engine/src/') || /\/tests(\/|\.rs)/.test(file)) return [];
    const impure = /\b(std::fs|std::process|Tcp(Stream|Listener)|UdpSocket|tokio|hyper|napi)\b/.exec(sourceOf(file));
    return impure
      ? [`${file} uses ${impure[0]}: the engine decides, the control plane reads and the door converts`]
      : [];
  });
  expect(wrong).toEqual([]);
});

test('every Rust test has a program that runs it', () => {
  const without = files
    .filter(
      file => /^native\/\w+\/Cargo\.toml$/.test(file) && /^\[lib\](?:\n(?!\[).*)*?\ntest = false$/m.test(read(file)),
    )
    .map(file => file.replace('Cargo.toml', 'src/'));
  expect(without).toContain('native/door/src/');
  const wrong = files.filter(file => without.some(src => file.startsWith(src)) && /^\s*#\[test\]$/m.test(read(file)));
  expect(wrong.map(file => `${file}: its crate says \`test = false\`, so nothing runs its tests; move them`)).toEqual(
    [],
  );
});

test('a panic behind the door is never told as success', () => {
  const wrong = files.filter(
    file =>
      file.startsWith('native/door/src/') && /\bguarded\((?:(?!;\s)[\s\S])*?\.unwrap_or\(Ok\(/.test(sourceOf(file)),
  );
  expect(wrong.map(file => `${file}: guarded(..).unwrap_or(Ok(..)); say that it panicked, as an error`)).toEqual([]);
});

test('one crypto library, and none with a known hole', () => {
  // The lock also names crates that only features nobody switched on would want: the tree is what is built.
  const tree = execFileSync(
    'cargo',
    ['tree', '--workspace', '--locked', '--edges=all', '--target=all', '--prefix=none', '--format={p}'],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  ).toString();
  const built = new Set(tree.split('\n').map(line => line.split(' ')[0]));
  const wrong = BANNED_CRATES.filter(name => built.has(name));
  expect(
    wrong.map(name => `${name} slipped in: cargo tree -i ${name}, then switch off the feature that wants it`),
  ).toEqual([]);
});

test('no key and no certificate is committed', () => {
  const wrong = files.filter(
    file =>
      /\.(pem|key|crt|cer|der|p12|pfx|jks)$/i.test(file) ||
      /-----BEGIN [A-Z0-9 ]+-----(\s|\\n)+[A-Za-z0-9+/=]{40}/.test(read(file)),
  );
  expect(wrong.map(file => `${file}: make it while the test runs, with test/support/pki.ts or rcgen`)).toEqual([]);
});

test('the lock speaks of the packages that package.json asks for', () => {
  const asked = JSON.parse(read('package.json'));
  const locked = JSON.parse(read('package-lock.json')).packages[''];
  const both = ({ dependencies, devDependencies }: Record<string, unknown>) => ({ dependencies, devDependencies });
  expect(both(locked), 'npm install --package-lock-only, then commit package-lock.json').toEqual(both(asked));
});

test('generated files are what the source makes of them', () => {
  const check = () => execFileSync(process.execPath, ['.ci/generate.mjs', '--check'], { cwd: root, stdio: 'pipe' });
  expect(check).not.toThrow();
});

interface Import {
  file: string;
  specifier: string;
  /** Relative imports: the path from the root, without its ending. Others: the specifier. */
  target: string;
  typeOnly: boolean;
}

function imports(): Import[] {
  const pattern =
    /^\s*(?:import|export)\s+(type\s)?[^'"`;]*?from\s*['"]([^'"]+)['"]|^\s*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return files
    .filter(file => file.startsWith('src/') && file.endsWith('.ts'))
    .flatMap(file =>
      [...read(file).matchAll(pattern)].map(match => {
        const specifier = match[2] ?? match[3] ?? match[4] ?? '';
        const path = posix.join(posix.dirname(file), specifier).replace(/\.(js|ts|mjs|node)$/, '');
        return {
          file,
          specifier,
          target: specifier.startsWith('.') ? path : specifier,
          typeOnly: match[1] !== undefined,
        };
      }),
    );
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Without its comments and its tests, which may do what the code may not. */
function sourceOf(file: string): string {
  return (
    read(file)
      .split(/^#\[cfg\(test\)\]/m)[0]
      ?.replace(/\/\/.*$/gm, '') ?? ''
  );
}
