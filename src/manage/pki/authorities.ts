// Authorities of the store and their certificates: which are trusted, which one issues.

import type { Kysely, Selectable } from 'kysely';
import type { StoredAuthority } from '../../check/mtls/stored.js';
import { Refusal } from '../admin/api.js';
import type { Store } from '../store/open.js';
import type { AuthoritiesTable, GenerationsTable, Tables } from '../store/tables.js';
import type { Signer } from './commands.js';
import type { Pki } from './service.js';
import { purpose, revocationOf } from './settings.js';

export type AuthorityRow = Selectable<AuthoritiesTable>;
export type Generation = Selectable<GenerationsTable>;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;

export function pemsOf(text: string): string[] {
  return (text.match(CERTIFICATE) ?? []).map(pem => `${pem.trimEnd()}\n`);
}

export function isTrusted({ state, trusted_until }: Generation, now: number): boolean {
  return state === 'trusted' && (trusted_until === null || trusted_until > now);
}

/** Throws a Refusal when there is none of that name. */
export async function findAuthority(db: Kysely<Tables>, name: string): Promise<AuthorityRow> {
  const row = await db.selectFrom('authorities').selectAll().where('name', '=', name).executeTakeFirst();
  if (row) return row;
  throw new Refusal(404, 'There is no authority of this name in the store.', 'GET /pki/authorities lists them.');
}

/** Newest first. */
export function generationsOf(db: Kysely<Tables>, authority: string): Promise<Generation[]> {
  return db
    .selectFrom('generations')
    .selectAll()
    .where('authority', '=', authority)
    .orderBy('number', 'desc')
    .execute();
}

/** The newest trusted one with a key. */
export function issuingOf(generations: readonly Generation[], now: number): Generation | undefined {
  return generations.find(generation => generation.sealed_key !== null && isTrusted(generation, now));
}

export interface Issuing {
  authority: AuthorityRow;
  generation: Generation;
  issuer: Signer;
}

/** What issues for an authority now. Throws a Refusal when nothing does. */
export async function issuing(pki: Pki, name: string): Promise<Issuing> {
  const { store } = pki;
  const authority = await findAuthority(store.db, name);
  refuseRetired(authority);
  const generation = issuingOf(await generationsOf(store.db, name), pki.now());
  if (!generation) {
    throw new Refusal(
      409,
      `The authority ${name} has no key here: it cannot issue.`,
      'Import it with its key, or create one that is hosted.',
    );
  }
  if (generation.not_after <= pki.now()) {
    throw new Refusal(
      409,
      `The certificate of the authority ${name} has expired.`,
      'Rotate it: a new one then issues.',
    );
  }
  return { authority, generation, issuer: signerOf(store, generation) };
}

export function refuseRetired({ name, state }: AuthorityRow): void {
  if (state === 'retired') throw new Refusal(409, `The authority ${name} is retired.`, 'Create one of another name.');
}

/** Of a generation with a key. */
export function signerOf(store: Store, { id, certificate, sealed_key }: Generation): Signer {
  return { certificate, key: store.unseal(sealed_key ?? '', purpose.generation(id)) };
}

/**
 * What is trusted now. Of an authority that is retired, or all of whose certificates have ended, `certificates` is empty:
 * it trusts nobody, and a configuration that names it stays loadable.
 */
export async function storedAuthorities(store: Store, now = Date.now()): Promise<StoredAuthority[]> {
  const [authorities, generations] = await everything(store);
  return authorities.map(authority => {
    const trusted = generations
      .filter(({ authority: name }) => name === authority.name)
      .filter(it => isTrusted(it, now));
    return {
      name: authority.name,
      certificates: authority.state === 'retired' ? '' : trusted.map(({ certificate }) => certificate).join(''),
      intermediates:
        authority.state === 'retired' ? '' : [...new Set(trusted.flatMap(({ chain }) => pemsOf(chain)))].join(''),
      revocation: revocationOf(authority),
    };
  });
}

/** When `storedAuthorities` next answers something else without a change of the store: a trust ends. */
export async function nextTrustEnd(store: Store, now = Date.now()): Promise<number | null> {
  const { next } = await store.db
    .selectFrom('generations')
    .select(({ fn }) => fn.min('trusted_until').as('next'))
    .where('state', '=', 'trusted')
    .where('trusted_until', '>', now)
    .executeTakeFirstOrThrow();
  return next === null ? null : Number(next);
}

async function everything(store: Store): Promise<[AuthorityRow[], Generation[]]> {
  // Generations first: one that was added in between belongs to an authority that is then known too.
  const generations = await store.db.selectFrom('generations').selectAll().orderBy('number', 'desc').execute();
  const authorities = await store.db.selectFrom('authorities').selectAll().orderBy('name').execute();
  return [authorities, generations];
}
