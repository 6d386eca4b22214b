// The supervisor, seen from the gateway process: asked for sockets and for a successor, told how it goes.

import type { Order, Report, Upgraded, Wanted } from './messages.js';
import { bind, free, type Handle, type Place } from './port.js';

/** The socket, where it is not for the edge threads to bind. */
export type Given = Place & { handle: Handle | null };

export type TakeSocket = (wanted: Wanted) => Promise<Given>;

/** The part of `process` that is used; tests give their own. */
export interface Channel {
  readonly connected: boolean;
  send?(message: Report, handle?: unknown, options?: object, sent?: () => void): unknown;
  on(event: 'message', listener: (order: Order, handle?: unknown) => void): unknown;
  on(event: 'disconnect', listener: () => void): unknown;
}

interface Waiting<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

export class Supervision {
  readonly #channel: Channel;
  readonly #sockets = new Map<number, Waiting<Given>>();
  readonly #upgrades = new Map<number, Waiting<Upgraded>>();
  #last = 0;
  /** Another gateway process serves from now on. */
  onRetire = () => {};

  constructor(channel: Channel) {
    this.#channel = channel;
    channel.on('message', (order, handle) => this.#hear(order, (handle as Handle | undefined) ?? null));
    channel.on('disconnect', () => {
      const gone = new Error('the supervisor is gone');
      for (const { reject } of [...this.#sockets.values(), ...this.#upgrades.values()]) reject(gone);
    });
  }

  /** Resolves when the supervisor will read it, whatever becomes of this process. */
  tell(report: Report): Promise<void> {
    if (!this.#channel.connected) return Promise.resolve();
    return new Promise(resolve => this.#channel.send?.(report, undefined, {}, () => resolve()));
  }

  /** Rejects with a sentence that names the port. */
  readonly takeSocket: TakeSocket = wanted => {
    const id = ++this.#last;
    return this.#ask(this.#sockets, id, { type: 'socket', id, ...wanted });
  };

  /** Resolves when the successor serves, or will not. */
  upgrade(): Promise<Upgraded> {
    const id = ++this.#last;
    return this.#ask(this.#upgrades, id, { type: 'upgrade', id });
  }

  #ask<T>(waiting: Map<number, Waiting<T>>, id: number, report: Report): Promise<T> {
    if (!this.#channel.connected) return Promise.reject(new Error('the supervisor is gone'));
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      void this.tell(report);
    }).finally(() => waiting.delete(id));
  }

  #hear(order: Order, handle: Handle | null): void {
    if (order.type === 'socket') {
      const { id, address, port } = order;
      const waiting = this.#sockets.get(id);
      if (waiting) waiting.resolve({ address, port, handle });
      else handle?.close();
    } else if (order.type === 'no-socket') this.#sockets.get(order.id)?.reject(new Error(order.message));
    else if (order.type === 'upgraded') this.#upgrades.get(order.id)?.resolve(order.result);
    else if (order.type === 'retire') this.onRetire();
  }
}

/** Of this process alone, where there is no supervisor. */
export const ownSocket: TakeSocket = async ({ what, shared, ...listen }) =>
  shared ? { ...(await free(listen, what)), handle: null } : bind(listen, what);
