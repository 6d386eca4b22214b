// Clients that come and go while something happens to the gateway, and keep account of how they fared.
//
// Those that stay keep their connection until they are told to close it; those that call make a connection for every
// request. What counts against a gateway: a connection that is refused or reset before its first request, and a request
// whose answer does not come whole.

import { once } from 'node:events';
import { atTheEnd } from './cleanup.js';
import { askOn, session } from './http2.js';
import { type Caller, connect } from './https.js';

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
  /** By HTTP/1.1. */
  staying: number;
  calling: number;
  /** By HTTP/2, each with several streams at once. */
  streaming?: number;
}

/** Of one client, between two requests. */
const PAUSE_MS = 5;
/** Of one that streams, at once. */
const STREAMS = 3;

/** A connection. */
interface Line {
  /** Statuses of answers; `last`: it may not be used again. */
  ask(): Promise<{ statuses: number[]; last: boolean }>;
  close(): void;
}

export class Visitors {
  readonly fared: Fared = { answered: 0, connections: 0, refused: [], cut: [] };
  readonly #ends: Promise<void>[];
  #running = true;

  constructor(caller: Caller, { staying, calling, streaming = 0 }: Visiting) {
    const visits = (count: number, open: () => Promise<Line>, stays: boolean) =>
      Array.from({ length: count }, () => this.#visit(open, stays));
    this.#ends = [
      ...visits(staying, () => plain(caller), true),
      ...visits(calling, () => plain(caller), false),
      ...visits(streaming, () => streams(caller), true),
    ];
    atTheEnd(() => this.stop());
  }

  /** When so many more requests were answered. */
  async answered(more: number, withinMs = 20_000): Promise<void> {
    const [wanted, until] = [this.fared.answered + more, Date.now() + withinMs];
    while (this.fared.answered < wanted) {
      if (Date.now() > until) throw new Error(`not answered in time: ${JSON.stringify(this.fared)}`);
      await pause();
    }
  }

  async stop(): Promise<Fared> {
    this.#running = false;
    await Promise.all(this.#ends);
    return this.fared;
  }

  async #visit(open: () => Promise<Line>, stays: boolean): Promise<void> {
    while (this.#running) {
      const line = await this.#come(open);
      if (line !== null) {
        while ((await this.#ask(line)) && stays && this.#running) await pause();
        line.close();
      }
      await pause();
    }
  }

  async #come(open: () => Promise<Line>): Promise<Line | null> {
    try {
      const line = await open();
      this.fared.connections++;
      return line;
    } catch (error) {
      this.fared.refused.push((error as Error).message);
      return null;
    }
  }

  /** Whether the connection may be used again. */
  async #ask(line: Line): Promise<boolean> {
    try {
      const { statuses, last } = await line.ask();
      for (const status of statuses) {
        if (status === 200) this.fared.answered++;
        else this.fared.cut.push(`status ${status}`);
      }
      return !last;
    } catch (error) {
      this.fared.cut.push((error as Error).message);
      return false;
    }
  }
}

/** By HTTP/1.1. */
async function plain(caller: Caller): Promise<Line> {
  const client = await connect(caller);
  return {
    ask: async () => {
      const { status, headers } = await client.ask(`GET / HTTP/1.1\r\nHost: ${caller.host}\r\n\r\n`);
      return { statuses: [status], last: headers.connection === 'close' };
    },
    close: () => client.close(),
  };
}

/** By HTTP/2. A GOAWAY closes the session for further requests; those under way go on. */
async function streams(caller: Caller): Promise<Line> {
  const client = session(caller);
  await once(client, 'connect');
  return {
    ask: async () => {
      const answers = await Promise.all(Array.from({ length: STREAMS }, () => askOn(client, caller, '/')));
      return { statuses: answers.map(({ status }) => status), last: client.closed || client.destroyed };
    },
    close: () => client.close(),
  };
}

function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, PAUSE_MS));
}
