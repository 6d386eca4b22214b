// What partners have in common: credentials that two would claim, as far as patterns show it (the engine refuses one that
// fits both), and how many patterns the engine holds.

import { Refusal } from '../admin/api.js';
import type { Writing } from '../store/open.js';
import { type CertificatePattern, patternsOf, type TokenPattern } from './shapes.js';

/** SQLite takes 32,766 values in a statement. */
const NAMED = 1_000;

/** As many as the engine holds of all partners (native/engine/src/partners/table.rs): there a full table takes nothing. */
const MAX_WALKED = 20_000;
const MAX_CLAIMS = 100;

interface Patterns {
  certificates: CertificatePattern[];
  tokens: TokenPattern[];
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
  const all: Patterns = { certificates: [...wanted.certificates], tokens: [...wanted.tokens] };
  for (const other of others) {
    const { certificates, tokens } = patternsOf(other);
    all.certificates.push(...certificates);
    all.tokens.push(...tokens);
    for (const claim of [...certificates.map(certificateClaim), ...tokens.map(tokenClaim)])
      theirs.set(claim, other.name);
    for (const { fingerprint } of certificates) if (fingerprint) claimed.push({ fingerprint, partner: other.name });
  }
  refuseTooMany(all);
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

function refuseTooMany({ certificates, tokens }: Patterns): void {
  const open = (text: string | undefined) => text === undefined || text.includes('*');
  const walked = certificates.filter(
    ({ subject, san, fingerprint }) => fingerprint === undefined && open(subject) && open(san),
  );
  if (walked.length > MAX_WALKED) {
    throw new Refusal(
      409,
      `All partners together have more than ${MAX_WALKED} patterns with \`*\`, or of whole authorities.`,
      'Name subjects, names or fingerprints as they are.',
    );
  }
  const claims = new Set(tokens.flatMap(({ configuration = '', claim }) => (claim ? `${configuration}:${claim}` : [])));
  if (claims.size > MAX_CLAIMS) {
    throw new Refusal(
      409,
      `The tokens of all partners are told apart by more than ${MAX_CLAIMS} claims.`,
      'Go by the same claim for several partners.',
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
