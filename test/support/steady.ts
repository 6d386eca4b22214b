// Clients that ask at a steady rate over kept-alive connections, and remember when each request was sent and answered:
// thousands a second from one process. And an origin that keeps up with them.

import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { atTheEnd } from './cleanup.js';
import type { Caller } from './https.js';
import { until } from './waiting.js';

/** How often it is looked whether a request is due. */
const TICK_MS = 1;
/** After a connection was lost or refused. */
const AGAIN_MS = 50;

export interface Shot {
  /** Milliseconds of `performance.now()`. */
  sent: number;
  received: number;
  /** 0: the connection ended before an answer came. */
  status: number;
  /** Of its connection. */
  line: number;
  /** What the request was made from. */
  number: number;
}

export interface Asking {
  /** Most requests a second, over all connections. */
  perSecond: number;
  /** The whole head of the n-th request; no body. */
  request: (number: number) => string;
  /** Most that are sent at once after a pause: at most `perSecond * s + atOnce` in any s seconds. */
  atOnce?: number;
  /** It ends by itself after so many answers. */
  count?: number;
}

/** Connects once to each of `callers` and asks until it is stopped. */
export async function steady(callers: readonly Caller[], asking: Asking): Promise<Steady> {
  const lines = callers.map((caller, index) => new Line(caller, index));
  await Promise.all(lines.map(line => line.open()));
  return new Steady(lines, asking);
}

export class Steady {
  readonly shots: Shot[] = [];
  readonly #idle: Line[];
  readonly #timer: NodeJS.Timeout;
  readonly #asking: Required<Asking>;
  #credit = 1;
  #last = performance.now();
  #sent = 0;
  #finish = () => {};
  readonly #finished = new Promise<void>(resolve => {
    this.#finish = resolve;
  });

  constructor(
    readonly lines: readonly Line[],
    asking: Asking,
  ) {
    this.#asking = { atOnce: 16, count: Number.POSITIVE_INFINITY, ...asking };
    this.#idle = [...lines];
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    atTheEnd(() => this.#end());
  }

  /** When all were asked: what became of them. */
  async done(): Promise<Shot[]> {
    await this.#finished;
    return this.stop();
  }

  /** Asks no more; requests under way are waited for. */
  async stop(): Promise<Shot[]> {
    clearInterval(this.#timer);
    await until(() => this.lines.every(line => !line.busy), 20_000);
    this.#end();
    return this.shots;
  }

  #end(): void {
    clearInterval(this.#timer);
    for (const line of this.lines) line.close();
  }

  #tick(): void {
    const { perSecond, atOnce, request, count } = this.#asking;
    const now = performance.now();
    this.#credit = Math.min(atOnce, this.#credit + ((now - this.#last) * perSecond) / 1000);
    this.#last = now;
    while (this.#credit >= 1 && this.#sent < count) {
      const line = this.#idle.shift();
      if (line === undefined) return;
      this.#credit -= 1;
      const number = this.#sent++;
      line.ask(request(number), number, shot => {
        this.shots.push(shot);
        if (this.shots.length >= count) this.#finish();
        line.open().then(() => this.#idle.push(line));
      });
    }
  }
}

/** One kept-alive connection with one request at a time; it is opened again when it was lost. */
class Line {
  busy = false;
  #socket: TLSSocket | null = null;
  #received = '';
  #closed = false;
  #answered = (_status: number): void => {};

  constructor(
    readonly caller: Caller,
    readonly index: number,
  ) {}

  /** When it can be asked. */
  async open(): Promise<void> {
    while (this.#socket === null && !this.#closed) {
      this.#socket = await this.#connect();
      if (this.#socket === null) await new Promise(resolve => setTimeout(resolve, AGAIN_MS));
    }
  }

  ask(text: string, number: number, answered: (shot: Shot) => void): void {
    const sent = performance.now();
    this.busy = true;
    this.#answered = status => {
      this.#answered = () => {};
      this.busy = false;
      answered({ sent, received: performance.now(), status, line: this.index, number });
    };
    this.#socket?.write(text, 'latin1');
    if (this.#socket === null) this.#answered(0);
  }

  close(): void {
    this.#closed = true;
    this.#socket?.destroy();
  }

  #connect(): Promise<TLSSocket | null> {
    const { port, host, ca, cert, key, tls } = this.caller;
    const options = { host: '127.0.0.1', port, servername: host, ca, cert, key, ...tls };
    const socket = tlsConnect(options as ConnectionOptions);
    socket.setNoDelay(true);
    this.#received = '';
    socket.setEncoding('latin1').on('data', (piece: string) => this.#more(piece, socket));
    socket.on('error', () => {});
    socket.on('close', () => this.#lost(socket));
    return new Promise(resolve => {
      socket.once('secureConnect', () => resolve(socket));
      socket.once('close', () => resolve(null));
    });
  }

  #lost(socket: TLSSocket): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#answered(0);
  }

  /** Answers have a length, those of the gateway and of `quickOrigin`. */
  #more(piece: string, socket: TLSSocket): void {
    this.#received += piece;
    const end = this.#received.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#received.slice(0, end);
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (this.#received.length < end + 4 + length) return;
    this.#received = '';
    if (/^connection: *close/im.test(head)) {
      this.#socket = null;
      socket.destroy();
    }
    this.#answered(Number(head.slice(9, 12)));
  }
}

export interface QuickOrigin {
  url: string;
  /** Requests so far. */
  arrived: number;
}

/** An origin that answers every request without a body at once with `204`, and looks at nothing. */
export async function quickOrigin(): Promise<QuickOrigin> {
  const sockets = new Set<Socket>();
  const origin: QuickOrigin = { url: '', arrived: 0 };
  const server = createServer(socket => {
    sockets.add(socket);
    let tail = '';
    socket.setEncoding('latin1').on('data', (piece: string) => {
      const parts = (tail + piece).split('\r\n\r\n');
      tail = parts.at(-1) as string;
      origin.arrived += parts.length - 1;
      socket.write('HTTP/1.1 204 No Content\r\n\r\n'.repeat(parts.length - 1));
    });
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  origin.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  atTheEnd(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise(resolve => server.close(resolve));
  });
  return origin;
}
