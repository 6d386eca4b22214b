// The admin API against its own description, by schemathesis: everything that it says is so, and nothing makes it fail.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { startFront } from '../support/front.js';

const VERSION = '4.32.0';
const CACHE = join(import.meta.dirname, `../../.cache/schemathesis-${VERSION}`);
const DONE = join(CACHE, 'installed');
/** Requests for each operation, in each phase. */
const EXAMPLES = 25;
/** The same requests every time. */
const SEED = 20_260_105;

/** From the registry that pip is set up for; once per version, beside what the machine has. */
function installed(): boolean {
  if (existsSync(DONE)) return true;
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--target', CACHE, `schemathesis==${VERSION}`];
  if (spawnSync('python3', pip, { stdio: 'ignore', timeout: 300_000 }).status !== 0) return false;
  writeFileSync(DONE, '');
  return true;
}

const unlessMissing = installed() || process.env.CI ? test : test.skip;

unlessMissing('schemathesis finds nothing', { timeout: 240_000 }, async () => {
  expect(existsSync(DONE), `schemathesis ${VERSION} could not be installed from PyPI`).toBe(true);
  const { gateway } = await startFront({ 'api.test': { origin: 'http://127.0.0.1:1' } });
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'schemathesis.toml'), SETTINGS);
  const url = `http://127.0.0.1:${gateway.admin}/admin/v1/openapi.json`;
  const run = spawnSync(
    'python3',
    [
      ...['-m', 'schemathesis.cli', '--config-file', 'schemathesis.toml', 'run', url, '--checks', 'all'],
      ...['--max-examples', String(EXAMPLES), '--seed', String(SEED), '--no-color'],
      ...['--header', `Authorization: Bearer ${gateway.token}`],
    ],
    { cwd: folder, env: { ...process.env, PYTHONPATH: CACHE }, encoding: 'utf8', timeout: 200_000 },
  );
  expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
  expect(run.stdout).toMatch(/\b(\d+) generated, \1 passed/);
});

/**
 * What is no finding: that what was asked for is not there, or cannot be done, is an answer to good requests, too;
 * and who comes with bad tokens, as it does, has to wait at some point. */
const SETTINGS = `
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429"]
[checks.missing_required_header]
expected-statuses = [428]
`;
