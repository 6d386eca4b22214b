// A file of a description that another host serves: fetched while the configuration is loaded, from listed hosts only.

import { lookup } from 'node:dns';
import { type RequestOptions, request } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';

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

export function isPublic(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && !SPECIAL.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/** Of IANA's registries of special-purpose addresses (RFC 6890) what is not globally reachable, and multicast. */
const SPECIAL = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  SPECIAL.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  // Unspecified, loopback, and IPv4 in its old wrapping.
  ['::', 96],
  ['::ffff:0:0', 96],
  // What carries an IPv4 address that nobody looked at: NAT64, 6to4, Teredo.
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2002::', 16],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['100::', 64],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  SPECIAL.addSubnet(network, prefix, 'ipv6');
}
