// The acceptor, seen from the main thread: it listens for the whole process, while edge threads come and go.

import { boundsOf } from '../accept/connections/compile.js';
import type { Connections } from '../accept/connections/config.js';
import { type Place, sentence } from './port.js';
import type { Given } from './supervision.js';

/** The part of the native door that is used. */
export interface AcceptorDoor {
  hasIdentity(): boolean;
  acceptorListenFd(fd: number, bounds: string): number;
  acceptorBound(bounds: string): void;
  acceptorClose(address: string, port: number): void;
  acceptorStop(): void;
  acceptorPending(): number;
}

/** How often it is asked whether connections still wait for their ClientHello. */
const ASK_AGAIN_MS = 10;

export class Acceptor {
  readonly #door: AcceptorDoor;
  #listening: Place[] = [];

  constructor(door: AcceptorDoor) {
    this.#door = door;
  }

  /** Without connections' identity (docs/connections.md) what it learns of them is found by nobody. */
  get usable(): boolean {
    return this.#door.hasIdentity();
  }

  /**
   * Listens on a socket; connections wait until an edge thread is there. Throws a sentence that names the port. The
   * socket's handle is closed here in either case: the acceptor has a descriptor of its own.
   */
  listen({ address, port, handle }: Given, bounds: Connections): void {
    if (handle === null) throw new Error('there is no socket for the acceptor');
    try {
      this.#door.acceptorListenFd(handle.fd, boundsOf(bounds));
    } catch (error) {
      throw new Error(sentence((error as Error).message, address, port, 'listen.https'));
    } finally {
      handle.close();
    }
    this.#listening.push({ address, port });
  }

  /** Other bounds, for connections from now on. */
  bound(bounds: Connections): void {
    if (this.#listening.length > 0) this.#door.acceptorBound(boundsOf(bounds));
  }

  close({ address, port }: Place): void {
    this.#listening = this.#listening.filter(one => one.address !== address || one.port !== port);
    this.#door.acceptorClose(address, port);
  }

  stop(): void {
    if (this.#listening.length === 0) return;
    this.#listening = [];
    this.#door.acceptorStop();
  }

  /** Resolves when every connection that was accepted is an edge thread's, or the time is up. */
  async settled(withinMs: number): Promise<void> {
    const until = Date.now() + withinMs;
    while (this.#door.acceptorPending() > 0 && Date.now() < until) {
      await new Promise(resolve => setTimeout(resolve, ASK_AGAIN_MS));
    }
  }
}
