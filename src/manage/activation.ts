// Sockets that systemd has opened for the service and passes at its start (sd_listen_fds(3)): they outlive the
// supervisor too.

import { type Bound, opened } from './port.js';

/** SD_LISTEN_FDS_START. */
const FIRST = 3;
/** More than there are places to listen on. */
const MOST = 64;

/** They are ours only where LISTEN_PID says so; no process that we start is to believe that they are its own. */
export function activated(env: NodeJS.ProcessEnv = process.env, pid = process.pid, first = FIRST): Bound[] {
  const count = env.LISTEN_PID === String(pid) ? Number(env.LISTEN_FDS) : 0;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  if (!Number.isInteger(count) || count < 1 || count > MOST) return [];
  return Array.from({ length: count }, (_, index) => opened(first + index)).filter(one => one !== null);
}
