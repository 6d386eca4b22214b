// Fetches what a URL leads to: revocation lists and OCSP answers, where a stranger's certificate may have chosen it, and
// key sets, whose server may have been taken over. So everything about it is bounded, and it leads to public addresses
// only unless somebody said otherwise.

import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Agent, type Dispatcher, request } from 'undici';
import { isInside, isPublic } from '../config/addresses.js';

/** A list of a million serials is 40 MB. */
export const MAX_LIST_BYTES = 64 * 2 ** 20;
/** In all, from the name being looked up to the last byte. */
export const TIMEOUT_MS = 30_000;
export const MAX_REDIRECTS = 3;
/** A distribution point's URL is some 100 characters. */
export const MAX_URL_CHARACTERS = 2_048;

export interface Asked {
  /** Loopback and private addresses too. */
  allowPrivateAddresses: boolean;
  /** Of the answer, as it comes and, where it is compressed, as it is. */
  maxBytes: number;
  /** Instead of `TIMEOUT_MS`. */
  timeoutMs?: number;
  /** How many are followed, within one scheme; `MAX_REDIRECTS` unless given. */
  redirects?: number;
  /** Plain HTTP too, unless false. */
  allowHttp?: boolean;
  /** Authorities of the server's certificate, PEM, instead of the system's. */
  ca?: string | undefined;
  /** Media types, lower-case: an answer of another one, or of none, is refused. */
  types?: readonly string[];
  /** The answer may be compressed with gzip. */
  gzip?: boolean;
  /** What was answered last time: an answer that is the same costs neither side a body. */
  etag?: string | null;
  lastModified?: string | null;
  /** POST when given. */
  body?: { bytes: Buffer; contentType: string };
  accept?: string;
  signal?: AbortSignal;
}

export interface Downloaded {
  /** null: as it was, by the other side's own word. */
  bytes: Buffer | null;
  etag: string | null;
  lastModified: string | null;
  /** Until when the other side calls it fresh, in milliseconds from now; null when it does not say. */
  maxAgeMs: number | null;
}

/** Throws a sentence that an operator understands. */
export async function download(written: string, asked: Asked): Promise<Downloaded> {
  const { timeoutMs = TIMEOUT_MS, redirects: most = MAX_REDIRECTS, maxBytes, allowPrivateAddresses, ca } = asked;
  const signal = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(asked.signal ? [asked.signal] : [])]);
  const lookup = allowPrivateAddresses ? undefined : publicLookup;
  const dispatcher = new Agent({
    connect: { lookup, timeout: timeoutMs, ...(ca !== undefined && { ca }) } as never,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maxBytes,
    pipelining: 0,
  });
  try {
    let url = checked(written, asked);
    for (let redirects = 0; ; redirects++) {
      const answer = await request(url, { ...requested(asked), dispatcher, signal });
      const { statusCode, headers } = answer;
      if (statusCode < 300 || statusCode >= 400 || statusCode === 304) return await read(answer, asked);
      await answer.body.dump({ limit: 64 * 1024 });
      if (most === 0) throw new Error(`the server answers ${statusCode}, and redirects are not followed`);
      if (redirects === most) throw new Error(`more than ${most} redirects`);
      const next = checked(new URL(one(headers.location) ?? '', url).href, asked);
      if (next.protocol !== url.protocol) throw new Error(`a redirect from ${url.protocol} to ${next.protocol}`);
      url = next;
    }
  } catch (error) {
    throw new Error(sentence(error as Error, timeoutMs), { cause: error });
  } finally {
    void dispatcher.destroy().catch(() => {});
  }
}

function checked(written: string, { allowPrivateAddresses, allowHttp = true }: Asked): URL {
  if (written.length > MAX_URL_CHARACTERS || !URL.canParse(written)) throw new Error('this is no URL');
  const url = new URL(written);
  if (url.protocol !== 'https:' && !(allowHttp && url.protocol === 'http:')) {
    throw new Error(`${url.protocol} is not fetched`);
  }
  if (url.username !== '' || url.password !== '') throw new Error('the URL holds a password');
  // An address is connected to without being looked up.
  if (!allowPrivateAddresses && isInside(url)) throw new Error(INSIDE);
  return url;
}

function requested({ body, etag, lastModified, accept, gzip }: Asked): Partial<Dispatcher.RequestOptions> {
  const headers: Record<string, string> = {
    'user-agent': 'portcullis',
    'accept-encoding': gzip ? 'gzip' : 'identity',
    ...(accept && { accept }),
  };
  if (body) return { method: 'POST', headers: { ...headers, 'content-type': body.contentType }, body: body.bytes };
  if (etag) headers['if-none-match'] = etag;
  if (lastModified) headers['if-modified-since'] = lastModified;
  return { method: 'GET', headers };
}

async function read({ statusCode, headers, body }: Dispatcher.ResponseData, asked: Asked): Promise<Downloaded> {
  const told = {
    etag: short(one(headers.etag)),
    lastModified: short(one(headers['last-modified'])),
    maxAgeMs: freshFor(headers),
  };
  if (statusCode === 304 && (asked.etag || asked.lastModified)) {
    await body.dump({ limit: 64 * 1024 });
    return { bytes: null, ...told, etag: told.etag ?? asked.etag ?? null };
  }
  if (statusCode !== 200) throw new Error(`the server answers ${statusCode}`);
  const type = one(headers['content-type'])?.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  if (asked.types && !asked.types.includes(type)) {
    throw new Error(
      `the answer is ${type === '' ? 'of no type' : type.slice(0, 100)}, not ${asked.types.join(' or ')}`,
    );
  }
  if (Number(one(headers['content-length'])) > asked.maxBytes) throw new Error(tooLarge(asked.maxBytes));
  const encoding = one(headers['content-encoding'])?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return { bytes: await gathered(body, asked.maxBytes), ...told };
  if (encoding !== 'gzip' || !asked.gzip) throw new Error(`the answer is encoded (${encoding.slice(0, 100)})`);
  return { bytes: await unpacked(body, asked.maxBytes), ...told };
}

/** What is unpacked comes in pieces of 16 KiB, and no further one is made once there is too much. */
async function unpacked(body: Readable, maxBytes: number): Promise<Buffer> {
  const unpacking = createGunzip();
  body.on('error', error => unpacking.destroy(error)).pipe(unpacking);
  try {
    return await gathered(unpacking, maxBytes);
  } finally {
    body.destroy();
  }
}

async function gathered(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > maxBytes) throw new Error(tooLarge(maxBytes));
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Kept and sent back: no longer than validators are. */
function short(value: string | undefined): string | null {
  return value !== undefined && value.length <= 256 ? value : null;
}

/** RFC 9111, 4.2.1, of what is kept for one reader alone. */
function freshFor(headers: Dispatcher.ResponseData['headers']): number | null {
  const control = [headers['cache-control'] ?? ''].flat().join(',').toLowerCase();
  if (/(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])/.test(control)) return 0;
  const seconds = /(?:^|[\s,])max-age="?(\d{1,9})/.exec(control)?.[1];
  if (seconds !== undefined) {
    const age = /^\d{1,9}$/.exec(one(headers.age) ?? '')?.[0] ?? '0';
    return Math.max(0, Number(seconds) - Number(age)) * 1_000;
  }
  const expires = one(headers.expires);
  if (expires === undefined) return null;
  const now = Date.parse(one(headers.date) ?? '');
  // What is no date has passed already (RFC 9111, 5.3).
  return Math.max(0, Date.parse(expires) - (Number.isNaN(now) ? Date.now() : now)) || 0;
}

const INSIDE = 'the address is of a private or special network, and `allowPrivateAddresses` is not set';

function tooLarge(bytes: number): string {
  return `the answer is larger than ${bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`}`;
}

const SLOW = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT']);
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);

function sentence(fault: Error, timeoutMs: number): string {
  const { name, code, cause } = fault as NodeJS.ErrnoException & { cause?: Error };
  if (name === 'AbortError' || name === 'TimeoutError' || SLOW.has(code ?? ''))
    return `no whole answer within ${timeoutMs / 1_000} s`;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (BROKEN.has(code ?? '')) return 'the connection broke off';
  if (code === 'ENOTFOUND') return 'the host has no address';
  if (code?.startsWith('Z_')) return 'what the answer is compressed with is broken';
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return 'the answer is too large';
  return fault.message || cause?.message || 'it cannot be fetched';
}

/** The address that is connected to is the one that was judged: looked up once. */
const publicLookup: LookupFunction = (hostname, options, answer) => {
  lookup(hostname, { ...options, all: true }, (fault, found) => {
    if (fault) answer(fault, []);
    else if (found.length === 0 || found.some(({ address }) => !isPublic(address))) answer(new Error(INSIDE), []);
    else if (options.all) answer(null, found);
    else answer(null, found[0]?.address ?? '', found[0]?.family);
  });
};
