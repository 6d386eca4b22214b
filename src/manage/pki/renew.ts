// Renewal by the certificate itself: who presents one that was issued here, within its last days, gets the next. What
// it says comes from the certificate, never from the request: of that only the key is taken.

import { createHash, X509Certificate } from 'node:crypto';
import type { Kysely } from 'kysely';
import { Refusal } from '../admin/api.js';
import type { Tables } from '../store/tables.js';
import { issuing } from './authorities.js';
import { type Found, findCertificate, standingOf } from './certificates.js';
import type { Request } from './commands.js';
import * as commands from './commands.js';
import {
  auditable,
  type Content,
  chainOf,
  type IssuedCertificate,
  itemOf,
  type KeptNames,
  keep,
  readCsr,
  rowOf,
} from './issue.js';
import { milliseconds, rfc3339 } from './lifetime.js';
import { type Profile, profileOf, refuseKeyType } from './profiles.js';
import { byItself, type Pki } from './service.js';
import { settingsOf } from './settings.js';

/** Of its validity: when a certificate may be renewed unless the configuration says so. */
const WINDOW_PART = 3;
const DAY_MS = 86_400_000;

/** The client of a request, as TLS and the engine know it. */
export interface Presented {
  /** The engine found the certificate good for the host. */
  verified: boolean;
  /** PEM */
  certificate: string | null;
}

/** The certificate that asks to be renewed. Throws a Refusal unless it may. */
export async function renewable(pki: Pki, { verified, certificate }: Presented): Promise<Found> {
  if (certificate === null) {
    throw new Refusal(403, 'No client certificate was presented.', 'Present the certificate that is to be renewed.');
  }
  // What is wrong with a certificate is for the log of requests, not for who presents it.
  if (!verified) throw new Refusal(403, 'The client certificate is not accepted here.', 'Enrol anew.');
  const fingerprint = createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex');
  const row = await findCertificate(pki, fingerprint).catch(error => {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(403, 'This certificate was not issued here.', 'Renew it where it was issued.');
  });
  const now = pki.now();
  if (standingOf(row, now) !== 'valid')
    throw new Refusal(403, 'The client certificate is not accepted here.', 'Enrol anew.');
  const opens = row.not_after - windowOf(pki, row);
  if (now < opens) {
    throw new Refusal(403, `It is too early: this certificate may be renewed from ${rfc3339(opens)} on.`);
  }
  return row;
}

/** How long before its end a certificate may be renewed, in milliseconds. */
export function windowOf(pki: Pki, { not_before, not_after }: Pick<Found, 'not_before' | 'not_after'>): number {
  const { window } = pki.settings.renewal;
  return window === undefined ? (not_after - not_before) / WINDOW_PART : milliseconds(window);
}

/** `csr`: PEM, or DER as base64. Throws a Refusal unless the request is as it has to be: `fits` looks at it. */
export async function renew(
  pki: Pki,
  old: Found,
  csr: string,
  fits: (request: Request) => void = () => {},
): Promise<IssuedCertificate> {
  const request = await readCsr(pki, csr);
  fits(request);
  refuseMany(pki, await renewalsOf(pki, pki.store.db, old));
  const from = await issuing(pki, old.authority);
  const { subject, usages, ...names }: KeptNames = JSON.parse(old.names);
  const content: Content = { subject, usages, names };
  const profile = profileOf(settingsOf(from.authority).profiles, old.profile, old.authority);
  refuseKeyType(profile, old.profile, request.key_type);
  const validity = Math.min(await lifeOf(pki, old, profile), milliseconds(profile.max_validity));
  const item = itemOf(pki, from, { ...content, validity });
  const signed = await pki.ask(commands.issue, { issuer: from.issuer, ...item, csr });
  const { name, partner } = old;
  const kept = { name, profile: old.profile, partner, renews: old.fingerprint };
  const row = rowOf(pki, from, signed, content, kept, old.subject);
  await keep(pki, [row], async (tx, revisions) => {
    // Once more, and now nobody else is at it: without the one that was just kept.
    refuseMany(pki, (await renewalsOf(pki, tx, old)) - 1);
    const change = { action: 'pki.certificate.renew', target: row.fingerprint, after: auditable(row) };
    await byItself(old.subject).audit(tx, revisions, change);
  });
  return { row, key: null, chain: chainOf(from), dropped: [], warnings: [] };
}

/** As long as the one before, but for one whose life was cut by its authority's end: milliseconds. */
async function lifeOf(pki: Pki, old: Found, profile: Profile): Promise<number> {
  const issuer = await pki.store.db
    .selectFrom('generations')
    .select('not_after')
    .where('authority', '=', old.authority)
    .where('number', '=', old.generation)
    .executeTakeFirst();
  const cut = issuer !== undefined && old.not_after >= issuer.not_after;
  return cut ? milliseconds(profile.validity) : old.not_after - old.issued_at;
}

/** How often it was renewed within the last day. */
async function renewalsOf(pki: Pki, db: Kysely<Tables>, { fingerprint, subject }: Found): Promise<number> {
  const { count } = await db
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll().as('count'))
    // What renews has the same subject: it is what there is an index on.
    .where('subject', '=', subject)
    .where('renews', '=', fingerprint)
    .where('issued_at', '>', pki.now() - DAY_MS)
    .executeTakeFirstOrThrow();
  return Number(count);
}

function refuseMany(pki: Pki, renewals: number): void {
  const { perDay } = pki.settings.renewal;
  if (renewals < perDay) return;
  throw new Refusal(429, `This certificate was renewed ${perDay} times within a day.`, 'Use the newest one.', [], {
    headers: { 'Retry-After': String(DAY_MS / 1_000) },
  });
}
