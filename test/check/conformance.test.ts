// The JSON Schema test suite, drafts 4 to 2020-12, through the engine (native/engine/src/schema/tests/conformance.rs): as it
// is, and as the control plane converts it. Its newest copy on a package registry is in jsonschema's source on PyPI.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cases, convert } from './dialect/cases.js';
import { convertGroup, DRAFTS, type Group, UNCONVERTED } from './dialect/suite.js';

const VERSION = '4.26.0';
const HASH = 'sha256:0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326';
const ROOT = join(import.meta.dirname, '../..');
const CACHE = join(ROOT, '.cache/json-schema-test-suite');
const SUITE = join(CACHE, `jsonschema-${VERSION}/json`);

/** From the registry that pip is set up for; once per version. */
function fetched(): boolean {
  if (existsSync(join(SUITE, 'tests'))) return true;
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(join(CACHE, 'requirements.txt'), `jsonschema==${VERSION} --hash=${HASH}\n`);
  const source = ['--no-deps', '--no-binary', ':all:', '--quiet', '--requirement', 'requirements.txt'];
  const options = { cwd: CACHE, stdio: 'ignore', timeout: 120_000 } as const;
  if (spawnSync('python3', ['-m', 'pip', 'download', ...source], options).status !== 0) return false;
  return spawnSync('tar', ['xzf', `jsonschema-${VERSION}.tar.gz`], options).status === 0;
}

const unlessMissing = fetched() || process.env.CI ? test : test.skip;

unlessMissing(
  'every case of the JSON Schema test suite gets its verdict, as it is and converted',
  { timeout: 900_000 },
  () => {
    expect(existsSync(SUITE), `jsonschema ${VERSION} could not be fetched from PyPI`).toBe(true);
    const converted = join(SUITE, 'converted');
    rmSync(converted, { recursive: true, force: true });
    mkdirSync(converted);
    const unconverted = new Set<string>();
    const remotes = new Map(
      files(join(SUITE, 'remotes')).map(file => [
        `http://localhost:1234/${file}`,
        JSON.parse(readFileSync(join(SUITE, 'remotes', file), 'utf8')),
      ]),
    );
    for (const [folder, dialect] of DRAFTS) {
      const groups = files(join(SUITE, 'tests', folder)).flatMap(file => {
        const named = (group: Group) => ({ ...group, description: `${folder}/${file}: ${group.description}` });
        const read = JSON.parse(readFileSync(join(SUITE, 'tests', folder, file), 'utf8')) as Group[];
        return read.map(named).flatMap(group => {
          const document = convertGroup(group, dialect, remotes);
          if (document === null) unconverted.add(group.description);
          return document ?? [];
        });
      });
      writeFileSync(join(converted, `${folder}.json`), JSON.stringify(groups));
    }
    expect([...unconverted].filter(name => !UNCONVERTED.some(([known]) => name.includes(known)))).toEqual([]);
    expect(UNCONVERTED.filter(([known]) => ![...unconverted].some(name => name.includes(known)))).toEqual([]);
    writeFileSync(join(converted, 'corpus.json'), JSON.stringify(corpus()));
    // As .ci/test.mjs does, which has built it: another choice of packages has other features.
    const built = [
      '--release',
      '--config',
      '.ci/tests.toml',
      '--locked',
      '--workspace',
      '--exclude',
      'portcullis-door',
    ];
    const ran = spawnSync('cargo', ['test', ...built, '--tests', 'conformance'], {
      cwd: ROOT,
      env: { ...process.env, JSON_SCHEMA_TEST_SUITE: SUITE },
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    expect(ran.status, `${ran.stdout}\n${ran.stderr}`).toBe(0);
    expect(ran.stdout).toMatch(/2 passed; 0 failed/);
  },
);

function corpus() {
  return cases
    .filter(({ problems }) => problems === undefined)
    .map(entry => {
      const { document, names } = convert(entry);
      const tests = (['request', 'response'] as const).flatMap(direction =>
        (['accepts', 'refuses'] as const).flatMap(verdict =>
          (entry[direction]?.[verdict] ?? []).map(data => ({
            description: `${direction} ${JSON.stringify(data)}`,
            data,
            valid: verdict === 'accepts',
            property: names[direction],
          })),
        ),
      );
      return { description: entry.name, document, tests };
    });
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.json'))
    .sort();
}
