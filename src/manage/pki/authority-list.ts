// Authorities as the admin API shows them: never with a key.

import { X509Certificate } from 'node:crypto';
import { paged, readCursor } from '../admin/cursor.js';
import {
  type AuthorityRow,
  findAuthority,
  type Generation,
  generationsOf,
  issuingOf,
  isTrusted,
  pemsOf,
} from './authorities.js';
import { authorityName } from './create.js';
import { rfc3339 } from './lifetime.js';
import { BUILT_IN } from './profiles.js';
import type { Pki } from './service.js';
import { revocationOf, settingsOf } from './settings.js';

export async function listAuthorities(pki: Pki, cursor: string | undefined, limit: number) {
  const after = readCursor(authorityName, cursor);
  const { db } = pki.store;
  let query = db.selectFrom('authorities').selectAll().orderBy('name');
  if (after !== null) query = query.where('name', '>', after);
  const rows = await query.limit(limit + 1).execute();
  const names = rows.map(({ name }) => name);
  const generations =
    names.length === 0
      ? []
      : await db
          .selectFrom('generations')
          .selectAll()
          .where('authority', 'in', names)
          .orderBy('number', 'desc')
          .execute();
  const now = pki.now();
  return paged(
    rows,
    limit,
    ({ name }) => name,
    row =>
      view(
        row,
        generations.filter(({ authority }) => authority === row.name),
        now,
      ),
  );
}

export async function showAuthority(pki: Pki, name: string) {
  const row = await findAuthority(pki.store.db, name);
  return { body: view(row, await generationsOf(pki.store.db, name), pki.now()), version: row.version };
}

/** `trusted`: what is trusted now. `issuing`: what issues, and what is above it. */
export type Which = 'trusted' | 'issuing';

/** PEM; empty when there is none. */
export async function authorityCertificates(pki: Pki, name: string, which: Which): Promise<string> {
  await findAuthority(pki.store.db, name);
  const now = pki.now();
  const generations = await generationsOf(pki.store.db, name);
  if (which === 'trusted') {
    return generations
      .filter(generation => isTrusted(generation, now))
      .map(({ certificate }) => certificate)
      .join('');
  }
  const generation = issuingOf(generations, now);
  return generation ? [generation.certificate, ...pemsOf(generation.chain)].join('') : '';
}

function view(row: AuthorityRow, generations: readonly Generation[], now: number) {
  const { key_type, validity, root, name_constraints, profiles } = settingsOf(row);
  const issuing = row.state === 'active' ? issuingOf(generations, now) : undefined;
  return {
    name: row.name,
    kind: row.kind,
    state: row.state,
    created_at: rfc3339(row.created_at),
    issues: issuing !== undefined && issuing.not_after > now,
    key_type,
    validity,
    root: root !== null,
    name_constraints,
    revocation: revocationOf(row),
    profiles: { ...BUILT_IN, ...profiles },
    generations: generations.map(generation => ({
      number: generation.number,
      state: generation === issuing ? 'issuing' : stateOf(generation, now),
      subject: generation.subject,
      key_id: generation.key_id,
      fingerprint: new X509Certificate(generation.certificate).fingerprint256.replaceAll(':', '').toLowerCase(),
      not_before: rfc3339(generation.not_before),
      not_after: rfc3339(generation.not_after),
      trusted_until: generation.trusted_until === null ? null : rfc3339(generation.trusted_until),
      has_key: generation.sealed_key !== null,
    })),
  };
}

function stateOf(generation: Generation, now: number) {
  if (generation.state === 'withdrawn') return 'withdrawn';
  return isTrusted(generation, now) ? 'trusted' : 'ended';
}
