// What an operator wrote about the admin port, as plain values: files read, names looked up.

import type { X509Certificate } from 'node:crypto';
import { readPair } from '../../accept/tls/compile.js';
import { checkTrust } from '../../check/mtls/compile.js';
import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import { loopback } from '../../config/units.js';
import type { Role } from '../store/tables.js';
import { spelled } from './certificates.js';
import type { AdminConfig } from './config.js';

const AT = '/admin';
const FINGERPRINT = /^([0-9a-f]{2}:?){31}[0-9a-f]{2}$/i;
/** RFC 4514: attributes by name or number, each with a value. Spelling is compared, so this only finds mistakes. */
const SUBJECT = /^(([A-Za-z][A-Za-z0-9-]*|\d+(\.\d+)+)=([^,+\\]|\\.)*([,+](?! )|$))+$/;

export interface AdminPlan {
  address: string;
  port: number;
  /** PEM. Null: plain HTTP, on loopback. */
  tls: { certificate: string; key: string } | null;
  /** Lower-case. */
  hosts: string[];
  clients: { trust: string[]; roles: Record<string, Role> } | null;
}

export function compileAdmin(
  config: AdminConfig,
  { address, port }: { address: string; port: number },
  loading: Loading,
): AdminPlan {
  const { tls, clients, hosts } = config;
  const pair = tls ? readPair(tls, child(AT, 'tls'), loading) : null;
  if (!loopback(address) && !tls) {
    loading.problem('/listen/admin', 'beyond loopback the admin port needs TLS', {
      hint: '`admin: { tls: { certificate: admin.pem, key: admin.key } }`; or `127.0.0.1:9090`, through a tunnel',
    });
  }
  if (pair && !loopback(address) && hosts.length === 0) warnOfNames(pair.certificate, loading);
  if (clients && !tls) {
    loading.problem(child(AT, 'clients'), 'client certificates need TLS', { key: true, hint: 'add `admin.tls`' });
  }
  if (clients) checkTrust(clients.trust, loading.names('/authorities'), `${AT}/clients/trust`, loading);
  return {
    address,
    port,
    tls: pair && { certificate: pair.pem, key: pair.secret },
    hosts: hosts.map(name => name.toLowerCase().replace(/^\[|\]$/g, '')),
    clients: clients ? { trust: clients.trust, roles: rolesOf(clients.roles, loading) } : null,
  };
}

/** Fingerprints in one spelling; subjects as they are written. */
function rolesOf(roles: Readonly<Record<string, Role>>, loading: Loading): Record<string, Role> {
  const found = Object.entries(roles).map(([name, role]): [string, Role] => {
    if (FINGERPRINT.test(name)) return [name.replaceAll(':', '').toLowerCase(), role];
    if (!SUBJECT.test(name)) {
      loading.problem(pointer(['admin', 'clients', 'roles', name]), 'is neither a subject nor a fingerprint', {
        key: true,
        hint: '`CN=alice,O=Example` without spaces behind commas, the most specific first; or SHA-256 in hex',
      });
    }
    return [spelled(name), role];
  });
  return Object.fromEntries(found);
}

function warnOfNames({ subjectAltName }: X509Certificate, loading: Loading): void {
  if (subjectAltName !== undefined) return;
  loading.warning('/admin/tls/certificate', 'the certificate names no host, so that none is served beyond loopback', {
    hint: 'a certificate with subject alternative names, or `admin.hosts`',
  });
}
