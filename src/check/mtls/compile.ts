// Authorities and per-host client-certificate policy, files read. Whether the certificates are any good is
// the engine's to say.

import { X509Certificate } from 'node:crypto';
import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import type { PolicyAuthority, PolicyMtls, PolicyRevocation } from '../../config/policy.js';
import { suggest } from '../../config/suggest.js';
import { type Authority, type Mtls, PATH_PREFIX } from './config.js';
import type { StoredAuthority } from './stored.js';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export function compileAuthorities(
  authorities: Record<string, Authority>,
  stored: readonly StoredAuthority[],
  loading: Loading,
): PolicyAuthority[] {
  const kept = new Map(stored.map(authority => [authority.name, authority]));
  const written = Object.entries(authorities).map(([name, { certificates, hosted, intermediates, revocation }]) => {
    const at = pointer(['authorities', name]);
    if (hosted === (certificates !== undefined)) {
      loading.problem(at, hosted ? 'a hosted authority has its certificates in the store' : 'no certificates', {
        key: true,
        hint: 'either `certificates: <file>` or `hosted: true`',
      });
    }
    const anchors = certificates ? readCertificates(child(at, 'certificates'), certificates, loading) : [];
    if (certificates) warnOfAnchors(child(at, 'certificates'), anchors, loading);
    const own = kept.get(name);
    if (own && !hosted) {
      loading.problem(at, `the store keeps an authority called \`${name}\` as well`, {
        key: true,
        hint: '`hosted: true` means that one; another name here keeps both',
      });
    }
    const between = intermediates ? readCertificates(child(at, 'intermediates'), intermediates, loading) : [];
    return {
      name,
      at,
      hosted,
      certificates: hosted ? (own?.certificates ?? '') : anchors.join('\n'),
      intermediates: [...between, own?.intermediates ?? ''].filter(Boolean).join('\n'),
      crls: (revocation?.crl ?? []).flatMap((file, index, { length }) => {
        const written = pointer(['authorities', name, 'revocation', 'crl']);
        return readCrl(length > 1 ? child(written, index) : written, file, loading) ?? [];
      }),
      revocation: revocation
        ? compileRevocation(revocation, child(at, 'revocation'), loading)
        : (own?.revocation ?? NO_LISTS),
    };
  });
  const named = new Set(Object.keys(authorities));
  const unwritten = stored.filter(({ name }) => !named.has(name));
  return [...written, ...unwritten.map(authority => ({ ...authority, at: '/authorities', hosted: true, crls: [] }))];
}

export const NO_LISTS: PolicyRevocation = { stale: 'hard', grace_s: 0, fetch: false, ocsp: false };

function compileRevocation(
  written: NonNullable<Authority['revocation']>,
  at: string,
  loading: Loading,
): PolicyRevocation {
  const { crl, fetch, urls, ocsp, stale, grace } = written;
  if (urls && !fetch) {
    loading.problem(child(at, 'urls'), 'nothing is fetched', { hint: '`fetch: true` fetches them' });
  }
  if (!crl && !fetch && !ocsp) {
    loading.problem(at, 'nothing says which certificates have been taken back', {
      key: true,
      hint: '`crl: <file>`, `fetch: true` or `ocsp: true`',
    });
  }
  return { stale, grace_s: stale === 'grace' ? Math.ceil(grace / 1000) : 0, fetch, ocsp };
}

function readCertificates(at: string, file: string, loading: Loading): string[] {
  const bytes = loading.bytes(at, file);
  if (!bytes) return [];
  const found = bytes.toString('latin1').match(PEM_CERTIFICATE);
  if (found) return found;
  try {
    return [new X509Certificate(bytes).toString().trim()];
  } catch {
    loading.problem(at, 'the file holds no certificate', {
      hint: 'PEM with `-----BEGIN CERTIFICATE-----`; PKCS#7 converts with `openssl pkcs7 -print_certs`',
    });
    return [];
  }
}

function warnOfAnchors(at: string, anchors: readonly string[], loading: Loading): void {
  let selfIssued = 0;
  for (const pem of anchors) {
    try {
      const certificate = new X509Certificate(pem);
      const name = certificate.subject.replaceAll('\n', ', ');
      if (certificate.checkIssued(certificate)) selfIssued += 1;
      if (new Date(certificate.validTo).getTime() < Date.now()) {
        loading.warning(at, `the authority's certificate (${name}) expired on ${certificate.validTo}`, {
          hint: 'every client certificate under it is denied: load its successor',
        });
      }
    } catch {
      return; // The engine says what is wrong with it.
    }
  }
  if (anchors.length > 0 && selfIssued === 0) {
    loading.warning(at, 'no certificate in this file is self-signed', {
      hint: 'TLS itself only accepts clients whose path ends in a self-signed certificate: add the root to the file',
    });
  }
}

function readCrl(at: string, file: string, loading: Loading): string | null {
  const bytes = loading.bytes(at, file);
  if (!bytes) return null;
  return bytes.subarray(0, 4096).includes('-----BEGIN X509 CRL-----')
    ? bytes.toString('latin1')
    : bytes.toString('base64');
}

export function compileMtls(
  mtls: Mtls,
  known: readonly string[],
  at: string,
  loading: Loading,
): Omit<PolicyMtls, 'by'> {
  checkTrust(mtls.trust, known, child(at, 'trust'), loading);
  const paths = pathsOf(mtls);
  if (mtls.trust.length === 0 && (asks(mtls) || mtls.own.renew)) nobodyTrusted(at, loading);
  for (const { prefix, trust, ...path } of paths) {
    const place = child(child(at, 'paths'), prefix);
    if (trust) checkTrust(trust, known, child(place, 'trust'), loading);
    if (asks(path) && (trust ?? mtls.trust).length === 0 && !asks(mtls)) nobodyTrusted(place, loading);
    if (!PATH_PREFIX.test(prefix)) {
      loading.problem(place, `\`${prefix}\` is not a path prefix`, {
        key: true,
        hint: 'starts with `/`, whole segments, normalised: such as `/orders`',
      });
    }
  }
  return {
    mode: mtls.mode,
    action: mtls.action,
    trust: mtls.trust,
    paths,
    forward: [...new Set(mtls.forward)],
    own: mtls.own,
  };
}

function pathsOf({ paths, mode, action }: Mtls): PolicyMtls['paths'] {
  return Object.entries(paths).map(([prefix, written]) => {
    const path = typeof written === 'string' ? { mode: written } : written;
    return { prefix, mode: path.mode ?? mode, action: path.action ?? action, trust: path.trust ?? null };
  });
}

/** Every authority that is trusted has to be known. */
export function checkTrust(trust: readonly string[], known: readonly string[], at: string, loading: Loading): void {
  for (const [index, name] of trust.entries()) {
    if (known.includes(name)) continue;
    const meant = suggest(name, known);
    loading.problem(child(at, index), `no authority is called \`${name}\``, {
      hint: meant ? `did you mean \`${meant}\`?` : `authorities: ${known.join(', ') || 'none'}`,
    });
  }
}

function nobodyTrusted(at: string, loading: Loading): void {
  loading.problem(at, 'client certificates are asked for, but no authority is trusted', {
    key: true,
    hint: '`trust: [<name under authorities>]`, or `mode: off` to let clients in without a certificate',
  });
}

/** Certificates that TLS has to know to let this host's clients in; null when it asks for none. */
export function clientAuthorities(mtls: Mtls, authorities: readonly PolicyAuthority[]): string[] | null {
  const paths = pathsOf(mtls);
  // Whoever enrols again shows the certificate that ends soon.
  const own = mtls.own.renew || mtls.own.est;
  if (!own && !asks(mtls) && !paths.some(asks)) return null;
  const trusted = new Set([...mtls.trust, ...paths.flatMap(({ trust }) => trust ?? [])]);
  const certificates = authorities
    .filter(({ name }) => trusted.has(name))
    .flatMap(({ certificates, intermediates }) => `${certificates}\n${intermediates}`.match(PEM_CERTIFICATE) ?? []);
  return certificates.length > 0 ? certificates : null;
}

function asks({ mode }: { mode: Mtls['mode'] }): boolean {
  return mode !== 'off';
}
