// Installs what is missing and builds what changed: node_modules, the native addon, dist/.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { missingPrerequisites } from './prerequisites.mjs';
import { filesUnder, quietly, root, StepFailed, step } from './step.mjs';

/** The addon, loaded by src/native.ts alone. */
const ADDON = 'native/door/portcullis.node';
/** What the addon offers, generated from the Rust source, committed and reviewed as the contract. */
const DECLARATIONS = 'native/door/index.d.ts';

/** Where napi-derive writes what it saw in the Rust source. The same in every cargo call, or cargo builds the door anew. */
export const cargoEnvironment = { NAPI_TYPE_DEF_TMP_FOLDER: join(root, '.cache/napi') };

export async function build() {
  await installPackages();
  await buildAddon();
  await compileTypeScript();
}

/**
 * `npm install` and not `npm ci`: a registry that serves some of the optional per-platform packages late leaves gaps in
 * the lock, which `npm ci` refuses. Versions and hashes are the lock's all the same, and the lock is not written.
 */
async function installPackages() {
  const { dependencies, devDependencies, overrides } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  await step('packages', {
    files: ['package-lock.json'],
    values: [dependencies, devDependencies, overrides],
    outputs: ['node_modules/.package-lock.json'],
    run: async show => {
      show('npm install');
      await quietly('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
    },
  });
}

async function buildAddon() {
  await step('native', {
    files: [
      'Cargo.toml',
      'Cargo.lock',
      ...filesUnder(['native'], /(\.node|index\.d\.ts|\.md)$|\/(benches|fuzz|tests)$/),
    ],
    outputs: [ADDON, DECLARATIONS],
    run: async show => {
      makeCargoDeclareAgain();
      const built = await quietly(
        'cargo',
        ['build', '--release', '--locked', '--workspace', '--message-format=json-render-diagnostics'],
        {
          env: { ...cargoEnvironment, CARGO_TERM_PROGRESS_WHEN: 'always', CARGO_TERM_PROGRESS_WIDTH: '100' },
          onOutput: piece => {
            const at = [...piece.matchAll(/ (\d+\/\d+: [^\r\n]*)/g)].at(-1);
            if (at) show(at[1].trim());
          },
        },
      );
      replace(ADDON, path => copyFileSync(libraryOf(built), path));
      await writeDeclarations();
    },
  });
}

/** The declarations are a by-product of compiling the door: when they are gone, cargo has to compile it again. */
function makeCargoDeclareAgain() {
  mkdirSync(cargoEnvironment.NAPI_TYPE_DEF_TMP_FOLDER, { recursive: true });
  if (existsSync(join(cargoEnvironment.NAPI_TYPE_DEF_TMP_FOLDER, 'portcullis-door'))) return;
  const now = new Date();
  utimesSync(join(root, 'native/door/src/lib.rs'), now, now);
}

/** Where cargo put the door, out of its messages: the place follows CARGO_TARGET_DIR, the name the platform. */
function libraryOf(messages) {
  for (const line of messages.split('\n')) {
    if (!line.startsWith('{')) continue;
    const { reason, target, filenames } = JSON.parse(line);
    if (reason !== 'compiler-artifact' || !target.kind.includes('cdylib')) continue;
    const library = filenames.find(name => /\.(so|dylib)$/.test(name));
    if (library) return library;
  }
  throw new StepFailed('cargo built no library for the door', messages);
}

async function writeDeclarations() {
  const { generateTypeDef } = await import('@napi-rs/cli');
  const { dts, header } = await generateTypeDef({
    typeDefDir: cargoEnvironment.NAPI_TYPE_DEF_TMP_FOLDER,
    cwd: root,
    dtsHeader: '/* Generated from native/door by the build. */\n',
  });
  const text = dts.startsWith(header) ? dts : header + dts;
  if (!existsSync(join(root, DECLARATIONS)) || readFileSync(join(root, DECLARATIONS), 'utf8') !== text) {
    replace(DECLARATIONS, path => writeFileSync(path, text));
  }
}

/** A running gateway has the old addon mapped into its memory: a new file takes its name, the old one is left alone. */
function replace(file, write) {
  const fresh = join(root, '.cache', `${basename(file)}.${process.pid}`);
  write(fresh);
  renameSync(fresh, join(root, file));
}

async function compileTypeScript() {
  await step('typescript', {
    files: ['tsconfig.json', 'package-lock.json', DECLARATIONS, ...filesUnder(['src'], /\.json$/)],
    outputs: ['dist/main.js'],
    run: async () => {
      rmSync(join(root, 'dist'), { recursive: true, force: true });
      await quietly(process.execPath, ['node_modules/typescript/bin/tsc']);
    },
  });
}

/** Builds, and says in plain words what is missing or what failed; false when it did. */
export async function buildOrExplain() {
  const missing = missingPrerequisites();
  for (const sentence of missing) console.error(sentence);
  if (missing.length > 0) return false;
  try {
    await build();
    return true;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    console.error(error.output.replace(/^.*\r/gm, '').trimEnd());
    console.error(`\n${error.message}`);
    return false;
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (!(await buildOrExplain())) process.exitCode = 1;
}
