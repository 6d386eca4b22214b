// Certificates that the gateway shows, and whose client certificates TLS itself lets through, per host.

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { Tls } from './config.js';

/** What the BoringSSL inside uWebSockets.js can sign with. It passes over a host whose key it does not know. */
const KEY_KINDS = new Set(['rsa', 'prime256v1', 'secp384r1', 'secp521r1', 'ed25519']);
/** What aws-lc, which HTTP/2 is signed with, takes of RSA. Clients refuse shorter keys anyway. */
const RSA_BITS = { least: 2048, most: 8192 };

export interface TlsHost {
  host: string;
  /** Paths. */
  certificate: string;
  key: string;
  /** The first file's text, for whoever tells when it ends. */
  shown: string;
  /** Digest of what the two files hold, to notice a change. */
  content: string;
  /** Certificates of the authorities this host trusts, PEM each; null when it asks for no certificate. */
  clientAuthorities: string[] | null;
  /** URI names of the certificate. */
  uris: string[];
}

export function compileTls(
  host: string,
  tls: Tls,
  clientAuthorities: string[] | null,
  at: string,
  loading: Loading,
): TlsHost | null {
  const pair = readPair(tls, at, loading, certificate =>
    warnOfCertificate(host, certificate, child(at, 'certificate'), loading),
  );
  if (!pair) return null;
  return {
    host,
    certificate: loading.path(tls.certificate),
    key: loading.path(tls.key),
    shown: pair.pem,
    content: createHash('sha256').update(`${pair.pem}\0${pair.secret}`).digest('hex'),
    clientAuthorities,
    uris: uriNames(pair.certificate),
  };
}

export interface Pair {
  certificate: X509Certificate;
  /** What the two files hold, PEM. */
  pem: string;
  secret: string;
}

/** A certificate and its key, when TLS can use the two together. `look` sees the certificate also when the key is bad. */
export function readPair(
  tls: Pick<Tls, 'certificate' | 'key'>,
  at: string,
  loading: Loading,
  look: (certificate: X509Certificate) => void = () => {},
): Pair | null {
  const pem = loading.text(child(at, 'certificate'), tls.certificate);
  const secret = loading.text(child(at, 'key'), tls.key);
  const certificate = pem === null ? null : readCertificate(pem, child(at, 'certificate'), loading);
  const key = secret === null ? null : readKey(secret, child(at, 'key'), loading);
  if (certificate) look(certificate);
  if (key) loading.warnOfMode(child(at, 'key'), loading.path(tls.key));
  if (!certificate || !key || pem === null || secret === null) return null;
  if (certificate.checkPrivateKey(key)) return { certificate, pem, secret };
  loading.problem(child(at, 'key'), 'this key does not belong to the certificate', {
    hint: "the key's own certificate has to be the first one in its file",
  });
  return null;
}

/** Node.js writes what holds a comma as a JSON string. */
function uriNames({ subjectAltName = '' }: X509Certificate): string[] {
  const written = [...subjectAltName.matchAll(/(?:^|, )URI:("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(([, name = '']) => name);
  return written.map(name => (name.startsWith('"') ? String(JSON.parse(name)) : name));
}

function readCertificate(pem: string, at: string, loading: Loading): X509Certificate | null {
  try {
    if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error('no PEM certificate in it');
    return new X509Certificate(pem);
  } catch (error) {
    loading.problem(at, `the certificate cannot be read: ${reason(error)}`, {
      hint: 'PEM; DER converts with `openssl x509 -inform der`',
    });
    return null;
  }
}

function readKey(pem: string, at: string, loading: Loading): KeyObject | null {
  try {
    const key = createPrivateKey(pem);
    const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType ?? 'unknown';
    const bits = key.asymmetricKeyDetails?.modulusLength ?? RSA_BITS.least;
    const fits = bits >= RSA_BITS.least && bits <= RSA_BITS.most;
    if (KEY_KINDS.has(kind) && fits) return key;
    loading.problem(at, `TLS cannot use a key of this kind (${kind}${fits ? '' : ` of ${bits} bits`})`, {
      hint: 'RSA of 2048 to 8192 bits, ECDSA on a NIST curve, or Ed25519',
    });
    return null;
  } catch (error) {
    const encrypted = (error as NodeJS.ErrnoException).code === 'ERR_MISSING_PASSPHRASE';
    loading.problem(at, encrypted ? 'the key is encrypted' : `the key cannot be read: ${reason(error)}`, {
      hint: encrypted
        ? 'decrypt it with `openssl pkey` and keep the file readable by the gateway only'
        : 'a private key in PEM',
    });
    return null;
  }
}

function reason(error: unknown): string {
  // OpenSSL 3 prefixes its reasons with `error:XXXXXXXX:library::`.
  return (error as Error).message.replace(/^error:[0-9A-F]+:/i, '').replace(/^[^:]*::/, '');
}

function warnOfCertificate(host: string, certificate: X509Certificate, at: string, loading: Loading): void {
  const covered = isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host.replace(/^\*\./, 'any.'));
  if (!covered) {
    loading.warning(at, `the certificate does not cover ${host}`, {
      hint: `it names ${certificate.subjectAltName ?? 'nothing'}; clients will refuse it`,
    });
  }
  if (new Date(certificate.validTo).getTime() < Date.now()) {
    loading.warning(at, `the certificate expired on ${certificate.validTo}`, { hint: 'clients will refuse it' });
  }
}
