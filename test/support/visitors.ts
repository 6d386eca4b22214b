// Clients that come and go while something happens to the gateway, and keep account of how they fared.
//
// Those that stay keep their connection until they are told to close it; those that call make a connection for every
// request. What counts against a gateway: a connection that is refused or reset before its first request, and a request
// whose answer does not come whole.

import { atTheEnd } from './cleanup.js';
import { type Caller, connect, type RawClient } from './https.js';

export interface Fared {
  answered: number;
  /** Connections made. */
  connections: number;
  /** Connections that were not let in, as their errors say. */
  refused: string[];
  /** Requests without a whole answer, and answers that were not 200. */
  cut: string[];
}

export interface Visiting {
  staying: number;
  calling: number;
  /** Of one request. */
  path?: string;
  /** Between two requests of a client. */
  pauseMs?: number;
}

export class Visitors {
  readonly fared: Fared = { answered: 0, connections: 0, refused: [], cut: [] };
  readonly #caller: Caller;
  readonly #path: string;
  readonly #pauseMs: number;
  readonly #ends: Promise<void>[];
  #running = true;

  constructor(caller: Caller, { staying, calling, path = '/', pauseMs = 5 }: Visiting) {
    this.#caller = caller;
    this.#path = path;
    this.#pauseMs = pauseMs;
    this.#ends = [
      ...Array.from({ length: staying }, () => this.#visit(true)),
      ...Array.from({ length: calling }, () => this.#visit(false)),
    ];
    atTheEnd(() => this.stop());
  }

  /** When so many more requests were answered. */
  async answered(more: number, withinMs = 20_000): Promise<void> {
    const [wanted, until] = [this.fared.answered + more, Date.now() + withinMs];
    while (this.fared.answered < wanted) {
      if (Date.now() > until) throw new Error(`not answered in time: ${JSON.stringify(this.fared)}`);
      await new Promise(resolve => setTimeout(resolve, 5));
    }
  }

  async stop(): Promise<Fared> {
    this.#running = false;
    await Promise.all(this.#ends);
    return this.fared;
  }

  async #visit(stays: boolean): Promise<void> {
    while (this.#running) {
      const client = await this.#come();
      if (client !== null) {
        while (this.#running && (await this.#ask(client)) && stays) await this.#pause();
        client.close();
      }
      await this.#pause();
    }
  }

  async #come(): Promise<RawClient | null> {
    try {
      const client = await connect(this.#caller);
      this.fared.connections++;
      return client;
    } catch (error) {
      this.fared.refused.push((error as Error).message);
      return null;
    }
  }

  /** Whether the connection may be used again. */
  async #ask(client: RawClient): Promise<boolean> {
    try {
      const { status, headers } = await client.ask(`GET ${this.#path} HTTP/1.1\r\nHost: ${this.#caller.host}\r\n\r\n`);
      if (status === 200) this.fared.answered++;
      else this.fared.cut.push(`status ${status}`);
      return headers.connection !== 'close';
    } catch (error) {
      this.fared.cut.push((error as Error).message);
      return false;
    }
  }

  #pause(): Promise<void> {
    return new Promise(resolve => setTimeout(resolve, this.#pauseMs));
  }
}
