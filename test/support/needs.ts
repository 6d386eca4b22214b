// Programs that a test needs and a newcomer's machine may lack.

import { spawnSync } from 'node:child_process';
import { test } from 'vitest';

/**
 * `test` for tests that need a program: without it they are skipped by name, and fail in CI, whose machines have to
 * have everything (.ci/run installs it).
 *
 *     needs('promtool')('the names of metrics pass promtool', () => ...)
 */
export function needs(program: string) {
  if (has(program)) return test;
  if (!process.env.CI) return test.skip;
  return (name: string, ..._: unknown[]) =>
    test(name, () => {
      throw new Error(`${program} is missing on this machine: .ci/run has to install it`);
    });
}

/** Whether the shell would find the program. */
export function has(program: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' }).status === 0;
}
