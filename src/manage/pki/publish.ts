// The plain HTTP listener where those who check our certificates find revocation lists, OCSP and the certificates of
// authorities (RFC 5280, 4.2.1.13 and 4.2.2.1; RFC 6960, A.1). Plain, because checking TLS there would need itself.

import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import { readBody } from '../admin/body.js';
import { Leaving } from '../leaving.js';
import type { Bound } from '../port.js';
import type { Store } from '../store/open.js';
import { generationsOf, issuingOf, isTrusted, pemsOf } from './authorities.js';
import type { Clock } from './clock.js';
import type { OwnLists } from './own-lists.js';
import { type Answered, MAX_REQUEST_BYTES, type Responder } from './responder.js';

/** Relying parties and the caches before them. */
const MAX_CONNECTIONS = 512;
const REQUEST_MS = 10_000;
const HEAD_MS = 5_000;
const IDLE_MS = 5_000;
/** A cache between may answer for so long: well below a life, and revocations get through. */
const FRESH_S = 300;

export interface Published {
  store: Store;
  lists: OwnLists;
  responder: Responder;
  metrics: RevocationMetrics;
  clock: Clock;
}

export interface Listening {
  port: number;
  close(): Promise<void>;
  /** Another process answers from now on. */
  retire(): void;
}

export function publishing({ store, lists, responder, metrics, clock }: Published): Hono {
  const app = new Hono();
  const nothing = (exchange: Context) => exchange.text('There is nothing here.\n', 404);

  app.get('/crl/:file{.+\\.crl}', async exchange => {
    const keyId = await keyOf(store, exchange.req.param('file').slice(0, -4), clock.now());
    const list = keyId === null ? null : await lists.latest(keyId);
    metrics.answered('crl', list ? 'found' : 'absent');
    if (!list) return nothing(exchange);
    const left = Math.max(0, Math.floor((list.nextUpdate - clock.now()) / 1_000));
    const headers = {
      ETag: `"${list.number}"`,
      'Last-Modified': new Date(list.thisUpdate).toUTCString(),
      'Cache-Control': `public, max-age=${Math.min(FRESH_S, left)}`,
    };
    if (exchange.req.header('if-none-match')?.includes(headers.ETag)) return exchange.body(null, 304, headers);
    return exchange.body(new Uint8Array(list.der), 200, { ...headers, 'Content-Type': 'application/pkix-crl' });
  });

  app.get('/ca/:file{.+\\.(cer|pem)}', async exchange => {
    const [name, kind] = split(exchange.req.param('file'));
    const pems = await certificatesOf(store, name, clock.now());
    const first = pems[0];
    metrics.answered('ca', first ? 'found' : 'absent');
    if (!first) return nothing(exchange);
    const cached = { 'Cache-Control': `public, max-age=${FRESH_S}` };
    if (kind === 'pem') {
      return exchange.body(pems.join(''), 200, { ...cached, 'Content-Type': 'application/pem-certificate-chain' });
    }
    const der = Buffer.from(first.replace(/-----[^-]+-----/g, ''), 'base64');
    return exchange.body(new Uint8Array(der), 200, { ...cached, 'Content-Type': 'application/pkix-cert' });
  });

  const answered = (exchange: Context, { der, result, nextUpdate }: Answered) => {
    metrics.answered('ocsp', result);
    const left = nextUpdate === null ? 0 : Math.floor((nextUpdate - clock.now()) / 1_000);
    // RFC 5019, 6.2: only what was asked by GET is for caches.
    const cached = exchange.req.method === 'GET' && left > 0;
    return exchange.body(new Uint8Array(der), 200, {
      'Content-Type': 'application/ocsp-response',
      'Cache-Control': cached
        ? `public, max-age=${Math.min(FRESH_S, left)}, no-transform, must-revalidate`
        : 'no-store',
    });
  };
  const post = async (exchange: Context) => {
    const expected = { bodyType: 'application/ocsp-request', bytes: true as const, maxBytes: MAX_REQUEST_BYTES };
    const body = await readBody(exchange, expected).catch(() => null);
    // Too large, or of another type: nothing that could be answered.
    if (!Buffer.isBuffer(body)) {
      metrics.answered('ocsp', 'malformed');
      return exchange.text('Send an OCSP request of 16 KiB at most as application/ocsp-request.\n', 400, {
        Connection: 'close',
      });
    }
    return answered(exchange, await responder.answer(body, exchange.req.param('authority') ?? null));
  };
  app.post('/ocsp', post);
  app.post('/ocsp/', post);
  app.post('/ocsp/:authority', post);
  app.get('/ocsp/:rest{.+}', async exchange => {
    const found = requestIn(exchange.req.path.slice('/ocsp/'.length));
    if (!found) return nothing(exchange);
    return answered(exchange, await responder.answer(found.request, found.authority));
  });

  app.notFound(nothing);
  app.onError((_, exchange) => exchange.text('Internal error.\n', 500));
  return app;
}

/** Rejects with the system's error when the socket cannot be listened on. */
export function publish(app: Hono, { handle, port }: Pick<Bound, 'handle' | 'port'>): Promise<Listening> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  server.requestTimeout = REQUEST_MS;
  server.headersTimeout = HEAD_MS;
  server.keepAliveTimeout = IDLE_MS;
  const leaving = new Leaving(server);
  const bounded = () => void setTimeout(() => server.closeAllConnections(), REQUEST_MS).unref();
  const close = () => {
    bounded();
    return leaving.atOnce();
  };
  const retire = () => {
    bounded();
    void leaving.gently();
  };
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, () => resolve({ port, close, retire }));
  });
}

const KEY_ID = /^[0-9a-f]{64}$/;

/** Of a key id, or an authority's name: its newest key. */
async function keyOf(store: Store, name: string, now: number): Promise<string | null> {
  if (KEY_ID.test(name)) return name;
  const generations = await generationsOf(store.db, name);
  return (issuingOf(generations, now) ?? generations.find(it => it.sealed_key !== null))?.key_id ?? null;
}

/** The newest first, then what stands between it and its root. */
async function certificatesOf(store: Store, name: string, now: number): Promise<string[]> {
  const all = KEY_ID.test(name)
    ? await store.db.selectFrom('generations').selectAll().where('key_id', '=', name).execute()
    : (await generationsOf(store.db, name)).filter(it => isTrusted(it, now));
  return [...new Set(all.flatMap(({ certificate, chain }) => [...pemsOf(certificate), ...pemsOf(chain)]))];
}

function split(file: string): [name: string, kind: string] {
  const dot = file.lastIndexOf('.');
  return [file.slice(0, dot), file.slice(dot + 1)];
}

/**
 * RFC 6960, A.1: the request in base64, percent-encoded, behind the URL of the responder, which may end with an
 * authority's name. Base64 has slashes, which not everybody encodes.
 */
export function requestIn(path: string): { request: Buffer; authority: string | null } | null {
  if (path.length > MAX_REQUEST_BYTES * 2) return null;
  let text: string;
  try {
    text = decodeURIComponent(path);
  } catch {
    return null;
  }
  const slash = text.indexOf('/');
  const whole = decoded(text);
  if (whole) return { request: whole, authority: null };
  const behind = slash > 0 ? decoded(text.slice(slash + 1)) : null;
  return behind && { request: behind, authority: text.slice(0, slash) };
}

/** A DER SEQUENCE that ends where the text does. */
function decoded(base64: string): Buffer | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  const der = Buffer.from(base64, 'base64');
  const [tag, length = 0] = der;
  if (tag !== 0x30) return null;
  if (length < 0x80) return der.length === length + 2 ? der : null;
  const octets = length & 0x7f;
  if (octets === 0 || octets > 3 || der.length < 2 + octets) return null;
  return der.length === 2 + octets + der.readUIntBE(2, octets) ? der : null;
}
