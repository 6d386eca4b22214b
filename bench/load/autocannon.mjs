// autocannon with a client certificate. It needs Node only, and costs five times wrk's CPU: the gateway waits for it.

import { createRequire } from 'node:module';
import { finish, start } from '../processes.mjs';

export const name = 'autocannon';

const CHILD = new URL('autocannon-child.mjs', import.meta.url).pathname;

export function absent() {
  try {
    version();
    return null;
  } catch {
    return 'not installed: npm install';
  }
}

export function version() {
  return createRequire(import.meta.url)('autocannon/package.json').version;
}

/** One measurement; `shot` as for wrk, without `newConnections`. */
export async function run(place, port, shot) {
  const program = start('load', process.execPath, [CHILD]);
  program.child.stdin.end(JSON.stringify({ port, shot, seconds: place.seconds, pki: place.pki }));
  return JSON.parse(await finish(program, name));
}
