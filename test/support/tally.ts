// Tests that can be run long, by hand, and keep what they saw: with LIMITS_LONG=1, in bench/results.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';

export const LONG = process.env.LIMITS_LONG === '1';

const FOLDER = join(import.meta.dirname, '../../bench/results');

/** Writes what was seen under its title, beside what else the file holds. Does nothing in a short run. */
export async function keepTally(name: string, title: string, seen: object): Promise<void> {
  if (!LONG) return;
  const file = join(FOLDER, `${name}.json`);
  const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`;
  const tally = { ...before, [title]: { at: new Date().toISOString(), machine, ...seen } };
  writeFileSync(file, `${JSON.stringify(tally, null, 1)}\n`);
}
