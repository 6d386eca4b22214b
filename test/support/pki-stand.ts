// An admin API with authorities over a store of its own, and what devices do: keys and certification requests by openssl.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULTS, type PkiConfig } from '../../src/manage/pki/config.js';
import { routes } from '../../src/manage/pki/routes.js';
import { Pki, type PkiParts } from '../../src/manage/pki/service.js';
import { pki as run } from '../../src/native.js';
import { type Admin, adminApi } from './admin.js';
import { temporaryFolder } from './cleanup.js';
import type { Place } from './stores.js';

export interface Stand extends Admin {
  pki: Pki;
  /** Milliseconds that the clock is ahead. */
  clock: { ahead: number };
  /** Of the answer that is bytes. */
  bytes(path: string, body: unknown): Promise<{ status: number; headers: Headers; body: Buffer }>;
}

export async function stand(
  place: Place,
  settings: Partial<PkiConfig> = {},
  parts: Partial<PkiParts> = {},
): Promise<Stand> {
  const clock = { ahead: 0 };
  let made: Pki | undefined;
  const admin = await adminApi({
    place,
    capabilities: [
      (api, store) => {
        made = new Pki({
          store,
          run,
          log: { info() {}, warn() {}, error() {} } as never,
          now: () => Date.now() + clock.ahead,
          settings: () => ({ ...DEFAULTS, ...settings }),
          ...parts,
        });
        routes(api, made);
      },
    ],
  });
  if (!made) throw new Error('no capability was added');
  const bytes: Stand['bytes'] = async (path, body) => {
    const answer = await admin.app.request(`http://127.0.0.1:9090/admin/v1${path}`, {
      method: 'POST',
      headers: {
        host: '127.0.0.1:9090',
        authorization: `Bearer ${admin.token('operator')}`,
        'content-type': typeof body === 'string' ? 'text/csv' : 'application/json',
      },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: answer.status, headers: answer.headers, body: Buffer.from(await answer.arrayBuffer()) };
  };
  return { ...admin, pki: made, clock, bytes };
}

/** Runs openssl in a folder of its own; files by name in, output out. */
export function openssl(args: string[], files: Record<string, string | Buffer> = {}, input?: string | Buffer): Buffer {
  const folder = mkdtempSync(join(temporaryFolder(), 'openssl-'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return execFileSync('openssl', args, { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'], input: input ?? '' });
}

export interface Device {
  key: string;
  /** PEM */
  csr: string;
}

/** A key and a request for it; `extensions`: lines of openssl's configuration. */
export function device(subject: string, extensions: string[] = [], curve = 'P-256'): Device {
  const folder = temporaryFolder();
  const names = extensions.length > 0 ? ['-config', 'request.cnf'] : [];
  writeFileSync(
    join(folder, 'request.cnf'),
    `[req]\ndistinguished_name = dn\nreq_extensions = ext\n[dn]\n[ext]\n${extensions.join('\n')}\n`,
  );
  const key = curve.startsWith('rsa')
    ? ['-newkey', curve]
    : ['-newkey', 'ec', '-pkeyopt', `ec_paramgen_curve:${curve}`];
  const args = ['req', '-new', ...names, ...key, '-nodes', '-keyout', 'key', '-subj', subject, '-out', 'csr', '-utf8'];
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  return { key: readFileSync(join(folder, 'key'), 'utf8'), csr: readFileSync(join(folder, 'csr'), 'utf8') };
}

/** What openssl says of a certificate, as a TLS client's: empty when it is good. */
export function judged(certificate: string, trusted: string, between = ''): string {
  try {
    const extra = between === '' ? [] : ['-untrusted', 'between.pem'];
    const args = ['verify', '-purpose', 'sslclient', '-x509_strict', '-CAfile', 'trusted.pem', ...extra, 'leaf.pem'];
    openssl(args, { 'leaf.pem': certificate, 'trusted.pem': trusted, 'between.pem': between });
    return '';
  } catch (error) {
    return String((error as { stderr: Buffer }).stderr);
  }
}
