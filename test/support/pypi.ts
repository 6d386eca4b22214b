// What tests take of PyPI: from the registry that pip is set up for, once per version, beside what the machine has.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const CACHE = join(import.meta.dirname, '../../.cache');
/** Some sixty packages over a slow line. */
const INSTALL_MS = 300_000;

/**
 * The folder that a package is in; null: it cannot be installed. To be asked by the tests that want it, and by no module
 * when it is imported: it may take the network, and minutes.
 */
export function fromPypi(name: string, version: string, options: readonly string[] = [], cache = CACHE): string | null {
  const folder = join(cache, `${name}-${version}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(`${folder}.`);
  const pip = ['-m', 'pip', 'install', '--quiet', ...options, '--target', fresh, `${name}==${version}`];
  const done = spawnSync('python3', pip, { stdio: 'ignore', timeout: INSTALL_MS }).status === 0;
  try {
    // In one step, so that what is there is whole.
    if (done) renameSync(fresh, folder);
  } catch {
    // Another test file was faster.
  }
  rmSync(fresh, { recursive: true, force: true });
  return existsSync(folder) ? folder : null;
}
