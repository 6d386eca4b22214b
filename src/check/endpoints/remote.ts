// A file of a description that another host serves: fetched while the configuration is loaded, from listed hosts only.

import { lookup } from 'node:dns';
import { type RequestOptions, request } from 'node:https';
import type { LookupFunction } from 'node:net';
import { isPublic } from '../../config/addresses.js';

/** A shared file of schemas is far below; the main description is never fetched. */
const MAX_REMOTE_BYTES = 8 * 2 ** 20;
/** In all, from the name being looked up to the last byte. */
const TIMEOUT_MS = 10_000;

/** What is fetched at a URL, or a sentence thrown that an operator understands. */
export type Fetch = (url: URL) => Promise<string>;

/** `host` or `host:port`, lower-case, as the operator lists them. */
export function isListed(url: URL, hosts: readonly string[]): boolean {
  return url.protocol === 'https:' && hosts.includes(url.host);
}

/** The URL's host is listed. An address that stands there literally is meant; a name that leads inside is not. */
export function fetchRemote(url: URL, options: RequestOptions = {}): Promise<string> {
  if (url.username !== '' || url.password !== '') return Promise.reject(new Error('the URL holds a password'));
  return new Promise((resolve, reject) => {
    const asked = request(
      url,
      { ...options, lookup: publicLookup, agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) },
      answer => {
        if (answer.statusCode !== 200) {
          asked.destroy();
          const redirect = answer.statusCode !== undefined && answer.statusCode >= 300 && answer.statusCode < 400;
          reject(
            new Error(`the host answers ${answer.statusCode}${redirect ? ', and redirects are not followed' : ''}`),
          );
          return;
        }
        const chunks: Buffer[] = [];
        let size = 0;
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length;
          chunks.push(chunk);
          if (size > MAX_REMOTE_BYTES) {
            asked.destroy(new Error(`the file is larger than ${MAX_REMOTE_BYTES / 2 ** 20} MiB`));
          }
        });
        answer.on('error', fault => reject(new Error(sentence(fault))));
        answer.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
      },
    );
    asked.on('error', fault => reject(new Error(sentence(fault))));
    asked.end();
  });
}

function sentence(fault: Error): string {
  const { name, code } = fault as NodeJS.ErrnoException;
  if (name === 'AbortError' || name === 'TimeoutError') return `no whole answer within ${TIMEOUT_MS / 1_000} s`;
  if (code === 'ECONNRESET') return 'the connection broke off';
  return code === 'ENOTFOUND' ? 'the host has no address' : fault.message;
}

/** The address that is connected to is the one that was judged: looked up once. */
const publicLookup: LookupFunction = (hostname, options, answer) => {
  lookup(hostname, { ...options, all: true }, (fault, found) => {
    if (fault) {
      answer(fault, []);
      return;
    }
    const inside = found.find(({ address }) => !isPublic(address));
    if (inside) answer(new Error('the host has an address of a private or special network'), []);
    else if (options.all) answer(null, found);
    else answer(null, found[0]?.address ?? '', found[0]?.family);
  });
};
