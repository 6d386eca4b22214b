// How origins with `https://` URLs are known, and what they are shown: files read, nothing connected.

import { rootCertificates } from 'node:tls';
import { type ReadPair, readAuthorities, readShown } from '../../config/certificates.js';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyOriginTls } from '../../config/policy.js';
import type { OriginTlsConfig } from './config.js';

let joined: string | undefined;

/** Mozilla's authorities as Node.js ships them, PEM: one string, however many origins use it. */
export function nodesAuthorities(): string {
  joined ??= rootCertificates.join('\n');
  return joined;
}

/** Null: in the clear. */
export function compileTls(
  urls: readonly { url: URL; at: string }[],
  written: OriginTlsConfig | undefined,
  origin: string,
  loading: Loading,
  readPair: ReadPair,
): PolicyOriginTls | null | 'faulty' {
  const at = child(origin, 'tls');
  const refuse = (place: string, message: string, hint: string) => {
    loading.problem(place, message, { hint });
    return 'faulty' as const;
  };
  const secure = urls.filter(({ url }) => url.protocol === 'https:');
  const plain = urls.find(({ url }) => url.protocol !== 'https:');
  if (secure.length === 0) {
    if (written === undefined || plain === undefined) return null;
    return refuse(at, '`tls` for an origin whose URL does without it', 'write its URL with `https://`');
  }
  if (plain) {
    return refuse(plain.at, 'one address without TLS among others with it', 'all of them `https://`, or none');
  }
  const names = new Set(secure.map(({ url }) => url.hostname.replace(/^\[|\]$/g, '')));
  const [name = ''] = names;
  if (names.size > 1 && written?.serverName === undefined) {
    return refuse(origin, 'addresses with several names, of which each would have its own certificate', SERVER_NAME);
  }
  const { authorities, serverName = name, allowUnverified = false, ...own } = written ?? {};
  const roots =
    authorities === undefined ? nodesAuthorities() : readAuthorities(authorities, child(at, 'authorities'), loading);
  const pair = readShown(own, at, loading, readPair);
  if (roots === null || pair === 'faulty') return 'faulty';
  if (allowUnverified) {
    loading.warning(child(at, 'allowUnverified'), 'the origin is not verified: anybody on the way can be it', {
      hint: 'for an authority of your own, name its certificate in `tls.authorities`',
    });
  }
  return {
    server_name: serverName,
    roots,
    certificate: pair && [pair.pem, pair.secret],
    allow_unverified: allowUnverified,
  };
}

const SERVER_NAME = 'say in `tls.serverName` what the certificate of each of them covers';
