// A client of the gateway that speaks HTTP/2 properly: Node's own.

import { type ClientHttp2Session, connect, type SecureClientSessionOptions } from 'node:http2';
import { atTheEnd } from './cleanup.js';
import type { Answered, Asked, Caller } from './https.js';

/** Longer than any bound of the gateway that a test waits for. */
const TIMEOUT_MS = 20_000;

/** A connection for several requests; it is closed when the test file ends. */
export function session(
  { port, host, ca, cert, key, tls }: Caller,
  options: SecureClientSessionOptions = {},
): ClientHttp2Session {
  const identity = { ca, cert, key } as SecureClientSessionOptions;
  const opened = connect(`https://127.0.0.1:${port}`, { servername: host, ...identity, ...tls, ...options });
  // Each request tells of its own.
  opened.on('error', () => {});
  atTheEnd(() => opened.destroy());
  return opened;
}

/** One request on a connection of its own, as `ask` of https.ts by HTTP/1.1. */
export async function askH2(caller: Caller, path: string, asked: Asked = {}): Promise<Answered> {
  const one = session(caller);
  const failed = new Promise<never>((_, reject) => one.once('error', reject));
  try {
    return await Promise.race([askOn(one, caller, path, asked), failed]);
  } finally {
    one.destroy();
  }
}

/** One request on an open connection. */
export function askOn(
  session: ClientHttp2Session,
  { host, port }: Caller,
  path: string,
  { method = 'GET', headers = {}, body }: Asked = {},
): Promise<Answered> {
  const { host: named = `${host}:${port}`, ...others } = headers;
  const stream = session.request(
    {
      ':method': method,
      ':path': path,
      ':authority': String(named),
      ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      ...others,
    },
    // An empty body is another thing than none.
    { endStream: body === undefined },
  );
  return new Promise((resolve, reject) => {
    const answered: Answered = { status: 0, headers: {}, body: '' };
    stream.setTimeout(TIMEOUT_MS, () => stream.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    stream.on('response', ({ ':status': status, ...headers }) => Object.assign(answered, { status, headers }));
    stream.setEncoding('utf8').on('data', piece => {
      answered.body += piece;
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(answered));
    if (body !== undefined) stream.end(body);
  });
}
