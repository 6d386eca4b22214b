// Client certificates of the admin port: whose they are, and what they may do.

import type { X509Certificate } from 'node:crypto';
import type { Role } from '../store/tables.js';
import type { Certificates } from './authenticate.js';
import { socketOf } from './peer.js';

/** As `judge` of the native door: would this gateway accept the certificate? It knows of revocations TLS slept through. */
export type Judge = (certificatePem: string, authorities: string) => string;

export interface Clients {
  trust: readonly string[];
  roles: Readonly<Record<string, Role>>;
}

const NONE: Certificates = () => null;

export function certificatesOf(clients: Clients | null, judge: Judge): Certificates {
  if (!clients) return NONE;
  const authorities = JSON.stringify({ authorities: clients.trust });
  return exchange => {
    const socket = socketOf(exchange);
    const certificate = socket?.getPeerX509Certificate?.();
    if (!socket || !certificate) return null;
    if (!socket.authorized) return { refused: `It is not issued by an authority of admin.clients.trust.` };
    const reason = reasonAgainst(() => judge(certificate.toString(), authorities));
    if (reason !== null) return { refused: `It is refused: ${reason}.` };
    const name = subjectOf(certificate);
    const role = own(clients.roles, fingerprintOf(certificate)) ?? own(clients.roles, name);
    if (role === undefined) return { refused: `admin.clients.roles names neither ${name} nor its fingerprint.` };
    return { name, role, kind: 'certificate' };
  };
}

/** What cannot be judged is refused. */
function reasonAgainst(judged: () => string): string | null {
  try {
    return (JSON.parse(judged()) as { reason: string | null }).reason;
  } catch {
    return 'it cannot be judged';
  }
}

function own(roles: Readonly<Record<string, Role>>, name: string): Role | undefined {
  return Object.hasOwn(roles, name) ? roles[name] : undefined;
}

function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

/**
 * RFC 4514, as `cf.tls_client_auth.cert_subject_dn_rfc2253` has it. Node prints a name's parts one a line, from the most
 * general on, escaped as that RFC says: no value holds a bare line break, comma or plus sign, so that two names never
 * print alike.
 */
function subjectOf(certificate: X509Certificate): string {
  const parts = (certificate.subject ?? '').split('\n').filter(part => part !== '');
  const several = (part: string) =>
    part
      .split(/(?<!\\) \+ /)
      .reverse()
      .join('+');
  return spelled(parts.reverse().map(several).join(','));
}

/** One spelling for what is not ASCII, the engine's: `\C3\AB`. An operator may write the letters themselves. */
export function spelled(subject: string): string {
  const escaped = (letter: string) => `\\${Buffer.from(letter).toString('hex').toUpperCase().match(/../g)?.join('\\')}`;
  return subject.replaceAll(/[^\0-\x7f]/gu, escaped);
}
