// Origins behind the gateway: a well-behaved HTTP server that remembers what reached it, and a raw TCP one that does
// whatever the test says.

import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { atTheEnd } from './cleanup.js';

/** A request as it reached the origin. */
export interface Arrived {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  /** Names and values in order, spelled as they came. */
  rawHeaders: string[];
  body: Buffer;
}

export interface HttpOrigin {
  url: string;
  port: number;
  /** Every request so far, in order of their ends. */
  arrived: Arrived[];
  /** Connections accepted so far. */
  connections: number;
  stop(): Promise<void>;
}

/** An HTTP origin; without `answer` it says 200 and repeats the request's body. */
export async function httpOrigin(
  answer: (request: Arrived, response: ServerResponse) => void = ({ body }, response) => response.end(body),
): Promise<HttpOrigin> {
  const server = createHttpServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request) pieces.push(piece);
    } catch {
      return; // The gateway dropped the request half-way.
    }
    const { method = '', url = '', headers, rawHeaders } = request;
    const one = { method, url, headers, rawHeaders, body: Buffer.concat(pieces) };
    origin.arrived.push(one);
    answer(one, response);
  });
  const origin: HttpOrigin = { url: '', port: 0, arrived: [], connections: 0, stop: () => stop() };
  server.on('connection', () => {
    origin.connections++;
  });
  origin.port = await listening(server);
  origin.url = `http://127.0.0.1:${origin.port}`;
  const stop = async () => {
    server.closeAllConnections();
    await closed(server);
  };
  atTheEnd(stop);
  return origin;
}

/** One connection of the gateway to a raw origin. */
export class Connection {
  /** All that came so far. */
  received = '';
  readonly ended: Promise<void>;
  #waiting: (() => void)[] = [];
  #taken = 0;

  constructor(readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (piece: string) => {
      this.received += piece;
      this.#wake();
    });
    socket.on('error', () => {});
    this.ended = new Promise(resolve => socket.on('close', () => resolve()));
    this.ended.then(() => this.#wake());
  }

  /** The next request head, its empty line included; rejects when the gateway closes instead. */
  async head(): Promise<string> {
    for (;;) {
      const end = this.received.indexOf('\r\n\r\n', this.#taken);
      if (end >= 0) return this.#take(end + 4);
      await this.#more();
    }
  }

  /** The next `length` bytes. */
  async bytes(length: number): Promise<string> {
    while (this.received.length < this.#taken + length) await this.#more();
    return this.#take(this.#taken + length);
  }

  /** Bytes are Latin-1: a character is a byte. */
  write(text: string): void {
    this.socket.write(text, 'latin1');
  }

  end(): void {
    this.socket.end();
  }

  /** Ends the connection with a TCP reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #take(end: number): string {
    const text = this.received.slice(this.#taken, end);
    this.#taken = end;
    return text;
  }

  #more(): Promise<void> {
    if (this.socket.destroyed || this.socket.readableEnded) throw new Error('the gateway closed the connection');
    return new Promise(resolve => this.#waiting.push(resolve));
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export interface RawOrigin {
  url: string;
  port: number;
  connections: Connection[];
  stop(): Promise<void>;
}

/** A TCP origin that runs `script` on every connection; the script may end before the connection does. */
export async function rawOrigin(
  script: (connection: Connection, index: number) => unknown = () => {},
): Promise<RawOrigin> {
  const connections: Connection[] = [];
  const server = createTcpServer(socket => {
    const connection = new Connection(socket);
    connections.push(connection);
    Promise.resolve(script(connection, connections.length - 1)).catch(() => {
      // The script waited for more than came; the test sees that in what the client got.
    });
  });
  const port = await listening(server);
  const stop = async () => {
    for (const { socket } of connections) socket.destroy();
    await closed(server);
  };
  atTheEnd(stop);
  return { url: `http://127.0.0.1:${port}`, port, connections, stop };
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
  });
}
