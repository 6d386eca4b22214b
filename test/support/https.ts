// Clients of the gateway: one that sends any bytes over TLS and reads what comes, and one that speaks HTTP properly.

import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { test } from 'vitest';
import { atTheEnd } from './cleanup.js';
import { askH2 } from './http2.js';

/** Longer than any bound of the gateway that a test waits for. */
const TIMEOUT_MS = 20_000;

/** Where and as whom a client connects. */
export interface Caller {
  port: number;
  /** Name in SNI and in the Host header. */
  host: string;
  /** PEM of the authority that issued the gateway's certificate. */
  ca: string;
  /** The client's own certificate. */
  cert?: string | undefined;
  key?: string | undefined;
  /** Further options of node:tls: `session`, `minVersion`. */
  tls?: ConnectionOptions;
}

export interface Response {
  status: number;
  reason: string;
  /** Lower-case names; values of repeated fields joined by `, `. */
  headers: Record<string, string>;
  /** Latin-1: a character is a byte. Chunked bodies are decoded. */
  body: string;
}

/** Connects over TLS; the handshake is done when it resolves. */
export function connect(caller: Caller): Promise<RawClient> {
  return handshake(caller, socket => new RawClient(socket));
}

/** The client is made before anything comes; the handshake is done when it resolves. */
export async function handshake<Client>(
  { port, host, ca, cert, key, tls }: Caller,
  make: (socket: TLSSocket) => Client,
): Promise<Client> {
  const socket = tlsConnect({ host: '127.0.0.1', port, servername: host, ca, cert, key, ...tls } as ConnectionOptions);
  const client = make(socket);
  atTheEnd(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed during the TLS handshake')));
  });
  return client;
}

/** A TLS connection for bytes of any kind. */
export class RawClient {
  /** All that came so far. */
  received = '';
  /** What resumes this TLS session on another connection; there once the first response is. */
  session: Buffer | undefined;
  /** Resolves when the gateway has closed the connection. */
  readonly closed: Promise<void>;
  #taken = 0;
  #wake = () => {};

  constructor(readonly socket: TLSSocket) {
    socket.setEncoding('latin1').on('data', (piece: string) => {
      this.received += piece;
      this.#wake();
    });
    socket.on('session', session => {
      this.session = session;
    });
    socket.on('error', () => {});
    this.closed = new Promise(resolve => {
      socket.once('end', resolve);
      socket.once('close', () => resolve());
    });
    this.closed.then(() => this.#wake());
  }

  /** Bytes are Latin-1: a character is a byte. */
  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** The next response, 1xx ones included. Rejects when the connection ends before one is whole. */
  async response({ toHead = false } = {}): Promise<Response> {
    const head = await this.#until('\r\n\r\n');
    const [line = '', ...fields] = head.slice(0, -4).split('\r\n');
    const match = /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(line);
    if (!match) throw new Error(`not a status line: ${JSON.stringify(line)}`);
    const headers: Record<string, string> = {};
    for (const field of fields) {
      const at = field.indexOf(':');
      const name = field.slice(0, at).toLowerCase();
      const value = field.slice(at + 1).trim();
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
    const status = Number(match[1]);
    const bodiless = toHead || status < 200 || status === 204 || status === 304;
    const body = bodiless ? '' : await this.#body(headers);
    return { status, reason: match[2] ?? '', headers, body };
  }

  /** Sends and reads one response. */
  async ask(text: string): Promise<Response> {
    this.send(text);
    return this.response({ toHead: text.startsWith('HEAD ') });
  }

  close(): void {
    this.socket.destroy();
  }

  async #body(headers: Record<string, string>): Promise<string> {
    if (headers['transfer-encoding'] === 'chunked') {
      let body = '';
      for (;;) {
        const line = await this.#until('\r\n');
        if (!/^[0-9a-f]+\r\n$/i.test(line)) throw new Error(`not the length of a chunk: ${JSON.stringify(line)}`);
        const length = Number.parseInt(line, 16);
        const chunk = await this.#next(length + 2);
        if (length === 0) return body;
        body += chunk.slice(0, -2);
      }
    }
    if (headers['content-length'] !== undefined) return this.#next(Number(headers['content-length']));
    await this.closed;
    return this.#next(this.received.length - this.#taken);
  }

  async #until(mark: string): Promise<string> {
    for (;;) {
      const at = this.received.indexOf(mark, this.#taken);
      if (at >= 0) return this.#next(at + mark.length - this.#taken);
      await this.#more();
    }
  }

  async #next(length: number): Promise<string> {
    while (this.received.length < this.#taken + length) await this.#more();
    this.#taken += length;
    return this.received.slice(this.#taken - length, this.#taken);
  }

  async #more(): Promise<void> {
    if (this.socket.destroyed || this.socket.readableEnded) {
      throw new Error(`closed by the gateway after ${JSON.stringify(this.received.slice(this.#taken))}`);
    }
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      timer = setTimeout(() => reject(new Error(`nothing more came within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
    });
    clearTimeout(timer);
  }
}

export interface Asked {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Buffer;
  /** One connection for several requests; a connection of its own otherwise. */
  agent?: Agent;
}

export interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** The door that `ask` goes through: every test that only asks holds of both (`npm test` runs some of them twice). */
export const DOOR = process.env.PORTCULLIS_DOOR === 'h2' ? 'h2' : 'http/1.1';

/** `test` for what is about TLS or HTTP/1.1 itself and has no like by HTTP/2; the reason stands beside each. */
export const ofHttp1 = test.skipIf(DOOR === 'h2');

/** The verdict on a host whose trust is not that of the name in SNI: by HTTP/2, the client is to connect anew. */
export const misdirected = (verdict: string) => (DOOR === 'h2' ? '421 http.misdirected' : verdict);

/** One request by Node's own HTTP client. */
export function ask(caller: Caller, path: string, asked: Asked = {}): Promise<Answered> {
  if (DOOR === 'h2' && asked.agent === undefined) return askH2(caller, path, asked);
  const { port, host, ca, cert, key, tls } = caller;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port,
        servername: host,
        ca,
        cert,
        key,
        ...tls,
        path,
        method: asked.method ?? 'GET',
        headers: {
          host: `${host}:${port}`,
          ...(asked.body === undefined ? {} : { 'content-length': Buffer.byteLength(asked.body) }),
          ...asked.headers,
        },
        agent: asked.agent ?? false,
        timeout: TIMEOUT_MS,
      } as object,
      response => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', piece => {
          body += piece;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
        response.on('error', reject);
      },
    );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    request.on('error', reject);
    request.end(asked.body);
  });
}

/** An agent that keeps its one connection. */
export function keptAlive(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  atTheEnd(() => agent.destroy());
  return agent;
}
