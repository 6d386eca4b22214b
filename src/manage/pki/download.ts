// Fetches what a URL of somebody else's certificate leads to: revocation lists and OCSP answers. Such a URL may have
// been chosen by a stranger, so everything about it is bounded, and it leads to public addresses only.

import { lookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, type Dispatcher, request } from 'undici';
import { isPublic } from '../../check/endpoints/remote.js';

/** A list of a million serials is 40 MB. */
export const MAX_LIST_BYTES = 64 * 2 ** 20;
/** In all, from the name being looked up to the last byte. */
export const TIMEOUT_MS = 30_000;
const MAX_REDIRECTS = 3;
/** A distribution point's URL is some 100 characters. */
export const MAX_URL_CHARACTERS = 2_048;

export interface Asked {
  /** Loopback and private addresses too. */
  allowPrivateAddresses: boolean;
  maxBytes: number;
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
  const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(asked.signal ? [asked.signal] : [])]);
  const dispatcher = new Agent({
    connect: { lookup: asked.allowPrivateAddresses ? undefined : publicLookup, timeout: TIMEOUT_MS } as never,
    maxResponseSize: asked.maxBytes,
    pipelining: 0,
  });
  try {
    let url = checked(written, asked);
    for (let redirects = 0; ; redirects++) {
      const answer = await request(url, { ...requested(asked), dispatcher, signal });
      const { statusCode, headers } = answer;
      if (statusCode < 300 || statusCode >= 400 || statusCode === 304) return await read(answer, asked);
      await answer.body.dump({ limit: 64 * 1024 });
      if (redirects === MAX_REDIRECTS) throw new Error(`more than ${MAX_REDIRECTS} redirects`);
      const next = checked(new URL(one(headers.location) ?? '', url).href, asked);
      if (next.protocol !== url.protocol) throw new Error(`a redirect from ${url.protocol} to ${next.protocol}`);
      url = next;
    }
  } catch (error) {
    throw new Error(sentence(error as Error), { cause: error });
  } finally {
    void dispatcher.destroy().catch(() => {});
  }
}

function checked(written: string, { allowPrivateAddresses }: Asked): URL {
  if (written.length > MAX_URL_CHARACTERS || !URL.canParse(written)) throw new Error('this is no URL');
  const url = new URL(written);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`${url.protocol} is not fetched`);
  if (url.username !== '' || url.password !== '') throw new Error('the URL holds a password');
  const address = url.hostname.replace(/^\[|\]$/g, '');
  // An address is connected to without being looked up.
  if (!allowPrivateAddresses && isIP(address) && !isPublic(address)) throw new Error(INSIDE);
  return url;
}

function requested({ body, etag, lastModified, accept }: Asked): Partial<Dispatcher.RequestOptions> {
  const headers: Record<string, string> = { 'user-agent': 'portcullis', ...(accept && { accept }) };
  if (body) return { method: 'POST', headers: { ...headers, 'content-type': body.contentType }, body: body.bytes };
  if (etag) headers['if-none-match'] = etag;
  if (lastModified) headers['if-modified-since'] = lastModified;
  return { method: 'GET', headers };
}

async function read({ statusCode, headers, body }: Dispatcher.ResponseData, asked: Asked): Promise<Downloaded> {
  const told = {
    etag: short(one(headers.etag)),
    lastModified: short(one(headers['last-modified'])),
    maxAgeMs: maxAge(one(headers['cache-control'])),
  };
  if (statusCode === 304 && (asked.etag || asked.lastModified)) {
    await body.dump({ limit: 64 * 1024 });
    return { bytes: null, ...told, etag: told.etag ?? asked.etag ?? null };
  }
  if (statusCode !== 200) throw new Error(`the server answers ${statusCode}`);
  const encoding = one(headers['content-encoding']);
  if (encoding !== undefined && encoding !== 'identity') throw new Error(`the answer is encoded (${encoding})`);
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.length;
    if (size > asked.maxBytes) throw new Error(tooLarge(asked.maxBytes));
    pieces.push(piece);
  }
  return { bytes: Buffer.concat(pieces), ...told };
}

function one(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Kept and sent back: no longer than validators are. */
function short(value: string | undefined): string | null {
  return value !== undefined && value.length <= 256 ? value : null;
}

function maxAge(cacheControl: string | undefined): number | null {
  const seconds = /(?:^|[\s,])max-age=(\d{1,9})/.exec(cacheControl ?? '')?.[1];
  return seconds === undefined ? null : Number(seconds) * 1_000;
}

const INSIDE = 'the address is of a private or special network, and `allowPrivateAddresses` is not set';

function tooLarge(bytes: number): string {
  return `the answer is larger than ${bytes >= 2 ** 20 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 10} KiB`}`;
}

const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH']);

function sentence(fault: Error): string {
  const { name, code, cause } = fault as NodeJS.ErrnoException & { cause?: Error };
  if (name === 'AbortError' || name === 'TimeoutError') return `no whole answer within ${TIMEOUT_MS / 1_000} s`;
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (BROKEN.has(code ?? '')) return 'the connection broke off';
  if (code === 'ENOTFOUND') return 'the host has no address';
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
