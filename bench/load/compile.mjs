// The two small C programs of the bench are compiled at run time, into the folder of the run.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const made = new Map();

/** Compiles `bench/load/<source>`; returns `{ path }`, or `{ why }` it is not possible here. Once a run. */
export function compile(place, source, ...flags) {
  if (!made.has(source)) made.set(source, cc(place, source, flags));
  return made.get(source);
}

function cc(place, source, flags) {
  const path = join(place.folder, source.replace(/\.c$/, '.bin'));
  const from = new URL(source, import.meta.url).pathname;
  const { error, status } = spawnSync('cc', ['-O2', '-o', path, from, ...flags], { stdio: 'ignore' });
  if (error) return { why: 'no C compiler (cc) here' };
  return status === 0 ? { path } : { why: 'the OpenSSL headers (libssl-dev) are missing' };
}
