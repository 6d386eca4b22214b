// What the supervisor and a gateway process tell each other over the IPC channel.
//
// A gateway of a newer version may run under the supervisor of an older one: a field may be added here, none may change
// its meaning, and either side passes over what it does not know.

import type { flat } from '../config/problem.js';

/** Where to listen, and what for: `listen.https`. */
export interface Wanted {
  what: string;
  /** null: every address. */
  address: string | null;
  /** 0: any; which one is settled once, for all processes that ask. */
  port: number;
  /**
   * Edge threads bind it themselves and share it among each other (SO_REUSEPORT): nothing is handed over, only whether
   * somebody else has it is found out.
   */
  shared: boolean;
}

/** Under which name the supervisor keeps a socket. */
export function nameOf({ what, address, port, shared }: Wanted): string {
  return `${what} ${address ?? '*'} ${port}${shared ? ' shared' : ''}`;
}

export type FlatProblem = ReturnType<typeof flat>;

export type Upgraded =
  | { upgraded: true; version: string; process: number }
  | {
      upgraded: false;
      /** `busy`: it was not tried. */
      why: 'busy' | 'failed';
      message: string;
      problems: FlatProblem[];
    };

/** From the gateway. */
export type Report =
  /** It serves. `uses` are the names of the sockets that it needs from now on. */
  | { type: 'ready'; graceMs: number; uses: string[]; version: string }
  | { type: 'reloading' }
  | { type: 'reloaded'; graceMs: number; uses: string[] }
  /** It cannot start with this configuration. */
  | { type: 'refused'; message: string; problems: FlatProblem[] }
  | { type: 'stopping' }
  | ({ type: 'socket'; id: number } & Wanted)
  | { type: 'upgrade'; id: number };

/** From the supervisor. */
export type Order =
  /** The socket itself comes with it, unless it is shared. */
  | { type: 'socket'; id: number; address: string; port: number }
  | { type: 'no-socket'; id: number; message: string }
  | { type: 'upgraded'; id: number; result: Upgraded }
  /** Another gateway process serves: this one ends what it has under way. */
  | { type: 'retire' };
