// Bodies too large to be looked at as text: sent in pieces, received as bytes.

import { once } from 'node:events';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Writable } from 'node:stream';
import type { Caller } from './https.js';

const TIMEOUT_MS = 20_000;
const PIECE_BYTES = 50_000;

export interface Transferred {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Sent {
  method?: string;
  body?: Buffer;
  chunked?: boolean;
  headers?: OutgoingHttpHeaders;
}

/** One request on a connection of its own; a body is sent with a Content-Length, or `chunked`. */
export function transfer(
  caller: Caller,
  path: string,
  { method = 'GET', body, chunked = false, headers: further = {} }: Sent = {},
): Promise<Transferred> {
  const { port, host, ca, cert, key, tls } = caller;
  const framing = body === undefined || chunked ? {} : { 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const headers = { host, ...framing, ...further };
    const options = { ...tls, host: '127.0.0.1', port, servername: host, ca, cert, key, path, method, headers };
    const request = httpsRequest({ ...options, agent: false, timeout: TIMEOUT_MS } as object, response => {
      const pieces: Buffer[] = [];
      response.on('data', piece => pieces.push(piece));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces) });
      });
      response.on('error', reject);
    });
    request.on('timeout', () => request.destroy(new Error(`nothing moved for ${TIMEOUT_MS} ms`)));
    request.on('error', reject);
    void send();
    async function send() {
      for (let at = 0; body !== undefined && at < body.length && !request.destroyed; at += PIECE_BYTES) {
        if (!request.write(body.subarray(at, at + PIECE_BYTES))) {
          await writable(request);
        }
      }
      request.end();
    }
  });
}

/** Waits until a stream takes more, or is closed. */
export async function writable(stream: Writable): Promise<void> {
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).catch(() => {});
  over.abort();
}

/** Bytes without a pattern that a mistake in order could hide in. */
export function noise(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = 0x2545f491;
  for (let at = 0; at + 4 <= length; at += 4) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes.writeInt32LE(state | 0, at);
  }
  return bytes.fill(0x2a, length - (length % 4));
}
