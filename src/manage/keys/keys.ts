// API keys and service tokens as rows of the store: made, changed, rotated, revoked. How they come into force is
// enforcing.ts.

import { setImmediate as breathe } from 'node:timers/promises';
import { sql } from 'kysely';
import { z } from 'zod';
import { expectVersion, Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import { milliseconds, rfc3339 } from '../pki/lifetime.js';
import type { By } from '../pki/service.js';
import type { Store, Writing } from '../store/open.js';
import type { KeySecretsTable, KeysTable } from '../store/tables.js';
import { anotherKey, digestOf, makeKey } from './form.js';
import { readNetwork } from './networks.js';
import {
  type change,
  DEFAULT_LIFETIME,
  MAX_LIFETIME,
  MAX_OVERLAP,
  type newKey,
  plainHex,
  type RotationOfAll,
  type rotation,
  type State,
} from './shapes.js';

/** That are in force or were until a while ago, in a store. The engine holds more (native/engine/src/keys/mod.rs). */
const MAX_KEYS = 1_000_000;
/** The engine knows an expired key for so long, and tells its holder; then it is unknown. */
export const EXPIRED_MS = 30 * 86_400_000;
/** Counting a million rows takes longer than making a key: it is done this often at most. */
const COUNT_MS = 60_000;
/** Of one partner at once: each is some statements, and a secret that somebody has to hand over. */
const MAX_ROTATED = 1_000;
const ROWS_AT_ONCE = 50;
/** Keys that an audit entry names. */
const NAMED = 100;
const DEFAULT_OVERLAP = '24h';
/** Behind every name: they are ASCII. */
const AFTER = '\x7f';

type Secret = KeySecretsTable;
/** Columns that hold lists. */
type Listing = 'scopes' | 'certificates' | 'networks' | 'hosts';

export interface Found {
  row: KeysTable;
  /** All that are kept, the newest first. */
  secrets: Secret[];
}

export interface Made extends Found {
  /** Kept nowhere. */
  key: string;
}

export interface Filter {
  partner?: string | undefined;
  /** Its beginning. */
  name?: string | undefined;
  state?: State | undefined;
  kind?: KeysTable['kind'] | undefined;
  /** Unix milliseconds: not used since, nor made since. */
  unusedSince?: number | undefined;
}

export interface KeysParts {
  store: Store;
  /** Names of the hosts that are served. */
  hosts(): readonly string[];
  now(): number;
}

const PLACE = z.tuple([z.int(), z.string().regex(/^[0-9a-f]{12}$/)]);

export class Keys {
  readonly #parts: KeysParts;
  #counted = { count: 0, at: Number.NEGATIVE_INFINITY };

  constructor(parts: KeysParts) {
    this.#parts = parts;
  }

  now(): number {
    return this.#parts.now();
  }

  async create(wanted: z.output<typeof newKey>, by: By): Promise<Made> {
    const { store } = this.#parts;
    const now = this.now();
    const expires = expiryOf(wanted, now);
    const bound = this.#bound(wanted);
    await this.#refuseTooMany(now);
    const { id, key } = makeKey();
    const made = await store.write(['keys'], async (tx, revisions) => {
      if (wanted.partner !== undefined) await this.#refuseStranger(tx, wanted.partner);
      const row: KeysTable = {
        id,
        name: wanted.name,
        kind: wanted.kind,
        partner: wanted.partner ?? null,
        ...bound,
        expires_at: expires === undefined ? now + milliseconds(DEFAULT_LIFETIME) : expires,
        created_at: now,
        created_by: by.name,
        revoked_at: null,
        revoked_by: null,
        revoked_why: null,
        last_used_at: null,
        version: 1,
        revision: revisions.keys,
      };
      const secret: Secret = { digest: digestOf(key), key_id: id, created_at: now, not_after: null };
      await tx.insertInto('keys').values(row).execute();
      await tx.insertInto('key_secrets').values(secret).execute();
      await by.audit(tx, revisions, { action: 'keys.create', target: id, after: recorded(row) });
      return { row, secrets: [secret], key };
    });
    this.#counted.count += 1;
    return made;
  }

  async find(id: string): Promise<Found> {
    const { db } = this.#parts.store;
    const row = existing(await db.selectFrom('keys').selectAll().where('id', '=', id).executeTakeFirst());
    return { row, secrets: await secretsOf(db, [id]) };
  }

  async list(filter: Filter, cursor: string | undefined, limit: number) {
    const after = readCursor(PLACE, cursor);
    const { db } = this.#parts.store;
    const now = this.now();
    let query = db.selectFrom('keys').selectAll();
    if (filter.partner !== undefined) query = query.where('partner', '=', filter.partner);
    if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
    if (filter.name !== undefined) {
      query = query.where('name', '>=', filter.name).where('name', '<', filter.name + AFTER);
    }
    // Not by its index: rows come in the order of the page, and are looked at until it is full, instead of all sorted.
    const revoked = sql<number>`coalesce(revoked_at, 0)`;
    if (filter.state !== undefined) query = query.where(revoked, filter.state === 'revoked' ? '>' : '=', 0);
    if (filter.state === 'expired') query = query.where('expires_at', '<=', now);
    if (filter.state === 'active') {
      query = query.where(it => it.or([it('expires_at', 'is', null), it('expires_at', '>', now)]));
    }
    const { unusedSince } = filter;
    if (unusedSince !== undefined) {
      query = query
        .where('created_at', '<', unusedSince)
        .where(it => it.or([it('last_used_at', 'is', null), it('last_used_at', '<', unusedSince)]));
    }
    if (after) {
      const [at, id] = after;
      query = query
        .where('created_at', '<=', at)
        .where(it => it.or([it('created_at', '<', at), it.and([it('created_at', '=', at), it('id', '<', id)])]));
    }
    const rows = await query
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const ids = rows.map(({ id }) => id);
    const secrets = ids.length === 0 ? [] : await secretsOf(db, ids);
    return paged(
      rows,
      limit,
      row => [row.created_at, row.id],
      row => shown({ row, secrets: secrets.filter(({ key_id }) => key_id === row.id) }, now),
    );
  }

  async change(id: string, wanted: z.output<typeof change>, version: number, by: By): Promise<Found> {
    const now = this.now();
    const expires = expiryOf(wanted, now);
    const bound = this.#bound(wanted);
    return await this.#changing(id, version, async (tx, { row, secrets }) => {
      refuseRevoked(row);
      const name = wanted.name ?? row.name;
      const after = { ...row, ...bound, name, expires_at: expires === undefined ? row.expires_at : expires };
      if (wanted.end_previous) await end(tx, secrets.slice(1));
      return { action: 'keys.change', after, by };
    });
  }

  /** A second secret, beside the one so far until the deadline. */
  async rotate(id: string, wanted: z.output<typeof rotation>, version: number, by: By): Promise<Made> {
    const now = this.now();
    const deadline = deadlineOf(wanted, now);
    const expires = expiryOf(wanted, now);
    const key = anotherKey(id);
    const found = await this.#changing(id, version, async (tx, { row, secrets }) => {
      refuseRevoked(row);
      const expires_at = expires === undefined ? row.expires_at : expires;
      if (expires_at !== null && expires_at <= now) {
        throw new Refusal(409, 'The key has expired.', 'Rotate it with `lifetime` or `expires_at`.');
      }
      const overlap = await addSecret(tx, id, key, secrets, { deadline, now, end_oldest: wanted.end_oldest });
      return { action: 'keys.rotate', after: { ...row, expires_at }, by, told: { previous_valid_until: overlap } };
    });
    return { ...found, key };
  }

  /** Another secret of every live key of a partner, all or none; one entry of the audit log. */
  async rotateAll(partner: string, wanted: RotationOfAll, by: By): Promise<Made[]> {
    const now = this.now();
    const deadline = deadlineOf(wanted, now);
    return await this.#parts.store.write(['keys'], async (tx, revisions) => {
      const rows = await tx
        .selectFrom('keys')
        .selectAll()
        .where('partner', '=', partner)
        .where('revoked_at', 'is', null)
        .where(it => it.or([it('expires_at', 'is', null), it('expires_at', '>', now)]))
        .orderBy('created_at')
        .orderBy('id')
        .limit(MAX_ROTATED + 1)
        .execute();
      if (rows.length > MAX_ROTATED) {
        throw new Refusal(409, `${partner} has more than ${MAX_ROTATED} keys.`, 'Rotate them one by one.');
      }
      const made: Made[] = [];
      for (const [index, row] of rows.entries()) {
        // SQLite works on this thread.
        if (index % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await breathe();
        const { id } = row;
        const key = anotherKey(id);
        await addSecret(tx, id, key, await secretsOf(tx, [id]), { deadline, now, end_oldest: wanted.end_oldest });
        const changed = { version: row.version + 1, revision: revisions.keys };
        await tx.updateTable('keys').set(changed).where('id', '=', id).execute();
        made.push({ row: { ...row, ...changed }, secrets: await secretsOf(tx, [id]), key });
      }
      const valid = deadline > now ? rfc3339(deadline) : null;
      const after = {
        rotated: rows.length,
        ids: rows.slice(0, NAMED).map(({ id }) => id),
        previous_valid_until: valid,
      };
      await by.audit(tx, revisions, { action: 'partners.rotate', target: partner, after });
      return made;
    });
  }

  async revoke(id: string, why: string | undefined, version: number, by: By): Promise<Found> {
    return await this.#changing(id, version, async (_, { row }) => {
      const first = { revoked_at: this.now(), revoked_by: by.name, revoked_why: why ?? null };
      return { action: 'keys.revoke', after: { ...row, ...(row.revoked_at === null && first) }, by };
    });
  }

  /** Whose secret it is, by its hash: for what was found somewhere. */
  async identify(id: string, digest: string) {
    const found = await this.find(id);
    const now = this.now();
    const [newest, ...older] = counting(found.secrets, now);
    const secret =
      newest?.digest === digest ? 'current' : older.some(one => one.digest === digest) ? 'previous' : 'none';
    return { ...shown(found, now), secret };
  }

  /** One change of one key, with its entry in the audit log. */
  async #changing(
    id: string,
    version: number,
    act: (tx: Writing, found: Found) => Promise<{ action: string; after: KeysTable; by: By; told?: object }>,
  ): Promise<Found> {
    return await this.#parts.store.write(['keys'], async (tx, revisions) => {
      const row = existing(await tx.selectFrom('keys').selectAll().where('id', '=', id).executeTakeFirst());
      expectVersion(version, row.version);
      const { action, after, by, told } = await act(tx, { row, secrets: await secretsOf(tx, [id]) });
      // Its last use may be written at this moment, too: it is no part of any change.
      const { last_used_at: _, ...rest } = after;
      const changed = { ...rest, version: row.version + 1, revision: revisions.keys };
      await tx.updateTable('keys').set(changed).where('id', '=', id).execute();
      const [before, now] = [recorded(row), { ...recorded(after), ...told }];
      await by.audit(tx, revisions, { action, target: id, before, after: now });
      return { row: { ...after, ...changed }, secrets: await secretsOf(tx, [id]) };
    });
  }

  /** What was given of what a key is bound to, as columns. */
  #bound(wanted: Partial<Record<Listing, string[] | undefined>>) {
    this.#refuseUnserved(wanted.hosts ?? []);
    const { scopes, certificates, networks, hosts } = wanted;
    const columns = {
      scopes,
      certificates: certificates?.map(plainHex),
      networks: networks?.map(plainNetwork),
      hosts,
    };
    const given = Object.entries(columns).filter(([, list]) => list !== undefined);
    return Object.fromEntries(given.map(([name, list]) => [name, JSON.stringify([...new Set(list)])])) as Record<
      keyof typeof columns,
      string
    >;
  }

  #refuseUnserved(hosts: readonly string[]): void {
    const served = this.#parts.hosts();
    const errors = hosts.flatMap((host, at) =>
      served.includes(host) ? [] : [{ pointer: `/hosts/${at}`, detail: 'is not served' }],
    );
    if (errors.length === 0) return;
    throw new Refusal(422, 'Such a host is not served.', `Hosts: ${served.join(', ') || 'none'}.`, errors);
  }

  async #refuseStranger(tx: Writing, name: string): Promise<void> {
    // Whoever takes a partner away locks the topic `keys` as well: it is there until this is committed.
    if (await tx.selectFrom('partners').select('name').where('name', '=', name).executeTakeFirst()) return;
    throw new Refusal(422, `There is no partner ${name}.`, 'Add it first: `portcullis partner add`.', [
      { pointer: '/partner', detail: 'is not known' },
    ]);
  }

  async #refuseTooMany(now: number): Promise<void> {
    if (now - this.#counted.at > COUNT_MS || now < this.#counted.at) {
      const { db } = this.#parts.store;
      const unrevoked = db
        .selectFrom('keys')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .where('revoked_at', 'is', null);
      const all = await unrevoked.executeTakeFirstOrThrow();
      const over = await unrevoked.where('expires_at', '<=', now - EXPIRED_MS).executeTakeFirstOrThrow();
      this.#counted = { count: all.count - over.count, at: now };
    }
    if (this.#counted.count >= MAX_KEYS) {
      throw new Refusal(409, `There are ${MAX_KEYS} keys.`, 'Revoke some of them.');
    }
  }
}

/** As the admin API shows it. */
export function shown({ row, secrets }: Found, now: number) {
  const { version: _, revision: __, ...rest } = row;
  return {
    ...rest,
    ...listsOf(row),
    state: stateOf(row, now),
    secrets: counting(secrets, now).map(({ created_at, not_after }) => ({
      created_at: rfc3339(created_at),
      valid_until: written(not_after),
    })),
    expires_at: written(row.expires_at),
    created_at: rfc3339(row.created_at),
    last_used_at: written(row.last_used_at),
    revoked_at: written(row.revoked_at),
  };
}

/** With what is shown only once. */
export function shownOnce(made: Made, now: number) {
  const { id, kind } = made.row;
  const secret = kind === 'service' ? { client_id: id, client_secret: made.key } : { key: made.key };
  return { ...shown(made, now), ...secret };
}

export function listsOf({ scopes, certificates, networks, hosts }: Record<Listing, string>) {
  const read = (text: string) => JSON.parse(text) as string[];
  return { scopes: read(scopes), certificates: read(certificates), networks: read(networks), hosts: read(hosts) };
}

/** Those of a key's secrets that count. */
export function counting<S extends Pick<Secret, 'not_after'>>(secrets: readonly S[], now: number): S[] {
  return secrets.filter(({ not_after }) => not_after === null || not_after > now);
}

function stateOf({ revoked_at, expires_at }: KeysTable, now: number): State {
  if (revoked_at !== null) return 'revoked';
  return expires_at !== null && expires_at <= now ? 'expired' : 'active';
}

/** In the audit log. */
function recorded(row: KeysTable) {
  const { name, kind, partner, revoked_why } = row;
  const [expires_at, revoked_at] = [written(row.expires_at), written(row.revoked_at)];
  return { name, kind, partner, ...listsOf(row), expires_at, revoked_at, revoked_why };
}

/** The newest first: it alone has no deadline. */
async function secretsOf(db: Writing | Store['db'], ids: readonly string[]): Promise<Secret[]> {
  const rows = await db.selectFrom('key_secrets').selectAll().where('key_id', 'in', ids).execute();
  const end = ({ not_after }: Secret) => not_after ?? Number.POSITIVE_INFINITY;
  return rows.sort((a, b) => (end(a) === end(b) ? b.created_at - a.created_at : end(b) - end(a)));
}

/** A secret beside the newest so far; answers until when that one counts, null for no longer. */
async function addSecret(
  tx: Writing,
  id: string,
  key: string,
  secrets: readonly Secret[],
  { deadline, now, end_oldest }: { deadline: number; now: number; end_oldest: true | undefined },
): Promise<string | null> {
  const [newest, ...older] = counting(secrets, now);
  const [oldest] = older;
  if (oldest && deadline > now && !end_oldest) {
    const until = oldest.not_after === null ? '' : ` until ${rfc3339(oldest.not_after)}`;
    throw new Refusal(
      409,
      `The key ${id} has two secrets${until} already.`,
      'Wait; or send `end_oldest: true`, with which the older one ends now; or `overlap: 0h`, with which both do.',
    );
  }
  // What counts no longer is not kept: nobody could ask for more rows than these.
  await end(
    tx,
    secrets.filter(one => one !== newest || deadline <= now),
  );
  if (newest && deadline > now) {
    const ends = Math.min(deadline, newest.not_after ?? deadline);
    await tx.updateTable('key_secrets').set({ not_after: ends }).where('digest', '=', newest.digest).execute();
  }
  const secret: Secret = { digest: digestOf(key), key_id: id, created_at: now, not_after: null };
  await tx.insertInto('key_secrets').values(secret).execute();
  return newest && deadline > now ? rfc3339(deadline) : null;
}

/** At once, and on every gateway alike: an end by the clock would be as far off as another machine's clock is. */
async function end(tx: Writing, secrets: readonly Secret[]): Promise<void> {
  const digests = secrets.map(({ digest }) => digest);
  if (digests.length > 0) await tx.deleteFrom('key_secrets').where('digest', 'in', digests).execute();
}

interface Ending {
  expires_at?: string | undefined;
  lifetime?: string | undefined;
  allow_no_expiry?: true | undefined;
}

/** Unix milliseconds, null for never, undefined when nothing is said. */
function expiryOf({ expires_at, lifetime, allow_no_expiry }: Ending, now: number): number | null | undefined {
  const given = Object.entries({ expires_at, lifetime, allow_no_expiry }).filter(([, value]) => value !== undefined);
  if (given.length > 1) {
    const errors = given.map(([name]) => ({ pointer: `/${name}`, detail: 'stands beside another one' }));
    throw new Refusal(422, 'A key has one end.', 'One of `expires_at`, `lifetime` and `allow_no_expiry`.', errors);
  }
  if (allow_no_expiry) return null;
  if (lifetime !== undefined) return now + milliseconds(lifetime);
  if (expires_at === undefined) return undefined;
  const at = Date.parse(expires_at);
  const within = at > now && at <= now + milliseconds(MAX_LIFETIME);
  if (within) return at;
  const detail = at <= now ? 'lies in the past' : `lies more than ${MAX_LIFETIME} ahead`;
  throw new Refusal(422, 'A key cannot end then.', `A time within the next ${MAX_LIFETIME}, or \`allow_no_expiry\`.`, [
    { pointer: '/expires_at', detail },
  ]);
}

function deadlineOf({ overlap, deadline }: RotationOfAll, now: number): number {
  if (deadline === undefined) return now + milliseconds(overlap ?? DEFAULT_OVERLAP);
  if (overlap !== undefined) {
    const errors = ['/overlap', '/deadline'].map(pointer => ({ pointer, detail: 'stands beside the other' }));
    throw new Refusal(422, 'A rotation has one deadline.', 'Either `overlap` or `deadline`.', errors);
  }
  const at = Date.parse(deadline);
  if (at > now && at <= now + milliseconds(MAX_OVERLAP)) return at;
  throw new Refusal(
    422,
    'That is no deadline.',
    `A time within the next ${MAX_OVERLAP}; \`overlap: 0h\` for at once.`,
    [{ pointer: '/deadline', detail: at <= now ? 'lies in the past' : `lies more than ${MAX_OVERLAP} ahead` }],
  );
}

function plainNetwork(text: string): string {
  const read = readNetwork(text);
  if ('network' in read) return read.network;
  throw new Error(`${text} was taken for a network`);
}

function refuseRevoked({ revoked_at }: KeysTable): void {
  if (revoked_at !== null) throw new Refusal(409, 'The key is revoked.', 'That is for ever: create another one.');
}

function existing(row: KeysTable | undefined): KeysTable {
  if (row) return row;
  throw new Refusal(404, 'There is no such key.', 'GET /keys lists those there are.');
}

function written(at: number | null): string | null {
  return at === null ? null : rfc3339(at);
}
