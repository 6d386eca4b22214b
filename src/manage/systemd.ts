// Tells systemd what the service is doing (Type=notify).
//
// Node has no datagram sockets of the Unix kind, so the `systemd-notify` program carries the message. It is not
// the service's main process: the unit wants `NotifyAccess=all`.

import { spawn } from 'node:child_process';
import type { Log } from './log.js';

export type Notify = (...state: string[]) => void;

export function makeNotify(log: Log, socket = process.env.NOTIFY_SOCKET): Notify {
  if (!socket) return () => {};
  let missing = false;
  return (...state) => {
    if (missing) return;
    const child = spawn('systemd-notify', [`--pid=${process.pid}`, ...state], { stdio: 'ignore' });
    child.once('error', error => {
      missing = true;
      log.warn({ error: error.message }, 'NOTIFY_SOCKET is set, but systemd-notify cannot be run: systemd is not told');
    });
  };
}

/** systemd wants the moment of a reload on its own clock. */
export function reloadingState(): string[] {
  return ['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`];
}
