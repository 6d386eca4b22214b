// What two partners would claim at once, as far as patterns show it: the engine refuses a credential that fits both.

import { Refusal } from '../admin/api.js';
import type { Writing } from '../store/open.js';
import { type CertificatePattern, patternsOf, type TokenPattern } from './shapes.js';

/** SQLite takes 32,766 values in a statement. */
const NAMED = 1_000;

interface Patterns {
  certificates: readonly CertificatePattern[];
  tokens: readonly TokenPattern[];
}

/** Throws a Refusal when another partner has one of these patterns, or a certificate that they name. */
export async function refuseShared(tx: Writing, name: string, wanted: Patterns): Promise<void> {
  const others = await tx
    .selectFrom('partners')
    .select(['name', 'certificates', 'tokens'])
    .where('name', '!=', name)
    .execute();
  const theirs = new Map<string, string>();
  const claimed: { fingerprint: string; partner: string }[] = [];
  for (const other of others) {
    const { certificates, tokens } = patternsOf(other);
    for (const claim of [...certificates.map(certificateClaim), ...tokens.map(tokenClaim)])
      theirs.set(claim, other.name);
    for (const { fingerprint } of certificates) if (fingerprint) claimed.push({ fingerprint, partner: other.name });
  }
  for (const [kind, claims] of [
    ['certificates', wanted.certificates.map(certificateClaim)],
    ['tokens', wanted.tokens.map(tokenClaim)],
  ] as const) {
    for (const [index, claim] of claims.entries()) {
      const owner = theirs.get(claim);
      if (owner !== undefined) throw shared(owner, `/${kind}/${index}`);
    }
  }
  // What was issued for a partner is its own by the fingerprint.
  const owners = await issuedFor(
    tx,
    wanted.certificates.flatMap(({ fingerprint }) => fingerprint ?? []),
  );
  for (const [index, { fingerprint }] of wanted.certificates.entries()) {
    const owner = fingerprint === undefined ? undefined : owners.get(fingerprint);
    if (owner !== undefined && owner !== name && others.some(other => other.name === owner)) {
      throw shared(owner, `/certificates/${index}`);
    }
  }
  const mine = await issuedFor(
    tx,
    claimed.map(({ fingerprint }) => fingerprint),
  );
  const taken = claimed.find(({ fingerprint }) => mine.get(fingerprint) === name);
  if (taken) {
    throw new Refusal(
      409,
      `${taken.partner} names a certificate by its fingerprint that was issued for ${name}.`,
      `Take ${taken.fingerprint} from ${taken.partner} first.`,
    );
  }
}

function shared(owner: string, pointer: string): Refusal {
  return new Refusal(409, `What it claims is ${owner}'s.`, 'A credential belongs to one partner.', [
    { pointer, detail: `is ${owner}'s already` },
  ]);
}

/** A fingerprint is one certificate, whatever else is said of it. */
function certificateClaim({ authority = '', subject = '', san = '', fingerprint }: CertificatePattern): string {
  return fingerprint === undefined ? JSON.stringify(['certificate', authority, subject, san]) : fingerprint;
}

function tokenClaim({ configuration = '', claim = '', value = '' }: TokenPattern): string {
  return JSON.stringify(['token', configuration, claim, value]);
}

/** By fingerprint: the word that was given at issuing. */
async function issuedFor(tx: Writing, fingerprints: readonly string[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (let at = 0; at < fingerprints.length; at += NAMED) {
    const rows = await tx
      .selectFrom('certificates')
      .select(['fingerprint', 'partner'])
      .where('fingerprint', 'in', fingerprints.slice(at, at + NAMED))
      .where('partner', 'is not', null)
      .execute();
    for (const { fingerprint, partner } of rows) found.set(fingerprint, partner as string);
  }
  return found;
}
