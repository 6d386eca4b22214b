// One HTTP/2 connection with many streams, whose trailers, 1xx responses and resets a test looks at.

import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  constants,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2';
import { session } from './http2.js';
import type { Caller } from './https.js';

export interface Answer2 {
  status: number;
  headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  trailers: IncomingHttpHeaders;
  body: string;
  /** Statuses of 1xx responses. */
  interim: number[];
}

/** One connection. */
export class Client2 {
  constructor(
    readonly session: ClientHttp2Session,
    readonly host: string,
  ) {}

  /** A request without waiting for anything; `:authority` is the caller's host unless it says another. */
  open(headers: OutgoingHttpHeaders, endStream = true): ClientHttp2Stream {
    return this.session.request(
      { ':method': 'GET', ':path': '/', ':scheme': 'https', ':authority': this.host, ...headers },
      { endStream },
    );
  }

  /** A request and its whole answer. */
  async ask(headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answer2> {
    const stream = this.open(body === undefined ? headers : { ':method': 'POST', ...headers }, body === undefined);
    if (body !== undefined) stream.end(body);
    return answerOf(stream);
  }

  async close(): Promise<void> {
    if (this.session.closed) return;
    const closed = once(this.session, 'close');
    this.session.close();
    await closed;
  }
}

/** The code of a stream's or connection's end, by its name: NGHTTP2_CANCEL. */
export function codeName(code: number): string {
  const found = Object.entries(constants).find(([name, value]) => value === code && CODES.has(name));
  return found?.[0] ?? String(code);
}

const CODES = new Set(
  'NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED'
    .split(' ')
    .map(name => `NGHTTP2_${name}`),
);

/** Connects, and waits until the gateway's settings are there. */
export async function connect2(caller: Caller, options: SecureClientSessionOptions = {}): Promise<Client2> {
  const opened = session(caller, options);
  // Rejects when it ends with an error before.
  await once(opened, 'remoteSettings');
  return new Client2(opened, caller.host);
}

/** The whole answer of a stream. Rejects when it is reset; `code` then says by what. */
export async function answerOf(stream: ClientHttp2Stream): Promise<Answer2> {
  const interim: number[] = [];
  let headers = {} as Answer2['headers'];
  let trailers: IncomingHttpHeaders = {};
  const pieces: Buffer[] = [];
  stream.on('headers', head => interim.push(head[':status'] as number));
  stream.on('response', head => {
    headers = head;
  });
  stream.on('trailers', head => {
    trailers = head;
  });
  for await (const piece of stream) pieces.push(piece as Buffer);
  if (stream.rstCode !== 0) throw Object.assign(new Error(codeName(stream.rstCode)), { headers });
  return {
    status: headers[':status'] as number,
    headers,
    trailers,
    body: Buffer.concat(pieces).toString('latin1'),
    interim,
  };
}
