// Partners as rows of the store: made, changed, suspended, and taken away when nothing is left of them.
//
// How a row comes into force is following.ts.

import { sql } from 'kysely';
import { z } from 'zod';
import { expectVersion, Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import { rfc3339 } from '../pki/lifetime.js';
import { defined } from '../pki/names.js';
import type { By } from '../pki/service.js';
import type { Store, Writing } from '../store/open.js';
import type { PartnersTable } from '../store/tables.js';
import { refuseShared } from './overlap.js';
import {
  type ChangedPartner,
  type Partner,
  patternsOf,
  periodOf,
  type Quota,
  type ShownPartner,
  type Status,
  secondsOf,
  type WantedPartner,
} from './shapes.js';

/** Each is looked through for what another one claims, and told to the engine whole. */
export const MAX_PARTNERS = 10_000;

export type PartnerRow = PartnersTable;
type Db = Writing | Store['db'];

/** Pages are in the order of names. */
const PLACE = z.tuple([z.string()]);

export interface Filter {
  status?: Status | undefined;
  cursor?: string | undefined;
  limit: number;
}

export class Partners {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  async list({ status, cursor, limit }: Filter) {
    const after = readCursor(PLACE, cursor);
    const now = this.#now();
    let query = this.#store.db.selectFrom('partners').selectAll();
    if (status === 'suspended') query = query.where('suspended_at', 'is not', null);
    else if (status !== undefined) {
      query = query.where('suspended_at', 'is', null);
      query =
        status === 'expired'
          ? query.where('expires_at', '<=', now)
          : query.where(it => it.or([it('expires_at', 'is', null), it('expires_at', '>', now)]));
    }
    if (after) query = query.where('name', '>', after[0]);
    const rows = await query
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    return paged(
      rows,
      limit,
      row => [row.name],
      row => shown(row, now),
    );
  }

  /** With what is tied to it. */
  async find(name: string): Promise<{ partner: ShownPartner; version: number }> {
    const { db } = this.#store;
    const row = await existing(db, name);
    const [keys, certificates] = [await keysOf(db, name, this.#now()), await issuedTo(db, name, this.#now())];
    const used = [keys.usedAt, await certificatesUsedAt(db, row)].filter(at => at !== null);
    const holds = {
      keys: { live: keys.live, all: keys.all },
      certificates,
      last_used_at: used.length === 0 ? null : rfc3339(Math.max(...used)),
    };
    return { partner: { ...shown(row, this.#now()), holds }, version: row.version };
  }

  async create({ name, ...wanted }: WantedPartner, by: By): Promise<PartnerRow> {
    refusePast(wanted.expires_at, this.#now());
    return await this.#store.write(['partners'], async (tx, revisions) => {
      const { count } = await tx
        .selectFrom('partners')
        .select(({ fn }) => fn.countAll<number>().as('count'))
        .executeTakeFirstOrThrow();
      if (Number(count) >= MAX_PARTNERS) throw new Refusal(409, `There are ${MAX_PARTNERS} partners already.`);
      if (await found(tx, name)) {
        throw new Refusal(409, `There is a partner ${name} already.`, 'Another name, or change that one.');
      }
      await refuseShared(tx, name, wanted);
      const row: PartnerRow = {
        name,
        owner: wanted.owner,
        contact: wanted.contact,
        expires_at: wanted.expires_at === undefined ? null : Date.parse(wanted.expires_at),
        suspended_at: null,
        suspended_why: null,
        certificates: JSON.stringify(wanted.certificates),
        tokens: JSON.stringify(wanted.tokens),
        operations: JSON.stringify([...new Set(wanted.operations)]),
        quota: writtenQuota(wanted.quota ?? null),
        created_at: this.#now(),
        created_by: by.name,
        version: revisions.partners,
        revision: revisions.partners,
      };
      await tx.insertInto('partners').values(row).execute();
      await by.audit(tx, revisions, { action: 'partners.create', target: name, before: null, after: recorded(row) });
      return row;
    });
  }

  async change(name: string, wanted: ChangedPartner, version: number, by: By): Promise<PartnerRow> {
    refusePast(wanted.expires_at ?? undefined, this.#now());
    const { certificates, tokens, operations } = wanted;
    return await this.#update(name, version, 'partners.change', by, async (tx, row) => {
      await refuseShared(tx, name, { certificates: certificates ?? [], tokens: tokens ?? [] });
      return {
        ...row,
        ...defined({ owner: wanted.owner, contact: wanted.contact }),
        ...(wanted.expires_at !== undefined && {
          expires_at: wanted.expires_at === null ? null : Date.parse(wanted.expires_at),
        }),
        ...(certificates && { certificates: JSON.stringify(certificates) }),
        ...(tokens && { tokens: JSON.stringify(tokens) }),
        ...(operations && { operations: JSON.stringify([...new Set(operations)]) }),
        ...(wanted.quota !== undefined && { quota: writtenQuota(wanted.quota) }),
      };
    });
  }

  /** Whatever it was before: who suspends in a hurry need not have read. The first time stays, the reason is the last. */
  suspend(name: string, why: string, by: By): Promise<PartnerRow> {
    return this.#update(name, null, 'partners.suspend', by, async (_, row) => ({
      ...row,
      suspended_at: row.suspended_at ?? this.#now(),
      suspended_why: why,
    }));
  }

  resume(name: string, version: number, by: By): Promise<PartnerRow> {
    return this.#update(name, version, 'partners.resume', by, async (_, row) => {
      if (row.suspended_at === null) throw new Refusal(409, `${name} is not suspended.`);
      return { ...row, suspended_at: null, suspended_why: null };
    });
  }

  /** Only when nothing is left that would count as nobody's afterwards. */
  async remove(name: string, version: number, by: By): Promise<void> {
    // Whoever issues or makes a key waits meanwhile: nothing comes to be in between.
    await this.#store.write(['partners', 'certificates', 'keys'], async (tx, revisions) => {
      const row = await existing(tx, name);
      expectVersion(version, row.version);
      const [keys, certificates] = [await keysOf(tx, name, this.#now()), await issuedTo(tx, name, this.#now())];
      if (keys.live + certificates.live > 0) {
        throw new Refusal(
          409,
          `${name} still holds ${keys.live} keys and ${certificates.live} certificates.`,
          'Revoke them first: without the partner they would count as nobody’s. `suspend` refuses all of it at once.',
          [],
          { members: { keys: keys.live, certificates: certificates.live } },
        );
      }
      await tx.deleteFrom('partners').where('name', '=', name).execute();
      await by.audit(tx, revisions, { action: 'partners.delete', target: name, before: recorded(row), after: null });
    });
  }

  /** `version`: null when it does not matter. */
  async #update(
    name: string,
    version: number | null,
    action: string,
    by: By,
    next: (tx: Writing, row: PartnerRow) => Promise<PartnerRow>,
  ): Promise<PartnerRow> {
    return await this.#store.write(['partners'], async (tx, revisions) => {
      const row = await existing(tx, name);
      if (version !== null) expectVersion(version, row.version);
      const numbers = { version: revisions.partners, revision: revisions.partners };
      const after = { ...(await next(tx, row)), ...numbers };
      await tx.updateTable('partners').set(after).where('name', '=', name).execute();
      await by.audit(tx, revisions, { action, target: name, before: recorded(row), after: recorded(after) });
      return after;
    });
  }
}

export function statusOf(
  { suspended_at, expires_at }: Pick<PartnerRow, 'suspended_at' | 'expires_at'>,
  now: number,
): Status {
  if (suspended_at !== null) return 'suspended';
  return expires_at !== null && expires_at <= now ? 'expired' : 'active';
}

export function shown(row: PartnerRow, now: number): Partner {
  return {
    name: row.name,
    owner: row.owner,
    contact: row.contact,
    status: statusOf(row, now),
    expires_at: row.expires_at === null ? null : rfc3339(row.expires_at),
    suspended: row.suspended_at === null ? null : { at: rfc3339(row.suspended_at), why: row.suspended_why ?? '' },
    ...patternsOf(row),
    operations: JSON.parse(row.operations) as string[],
    quota: readQuota(row.quota),
    created_at: rfc3339(row.created_at),
    created_by: row.created_by,
  };
}

/** For the audit log: what can be changed. */
function recorded(row: PartnerRow) {
  const { name: _, status: _status, created_at: _at, created_by: _by, ...rest } = shown(row, 0);
  return rest;
}

function found(db: Db, name: string): Promise<PartnerRow | undefined> {
  return db.selectFrom('partners').selectAll().where('name', '=', name).executeTakeFirst();
}

export async function existing(db: Db, name: string): Promise<PartnerRow> {
  const row = await found(db, name);
  if (row) return row;
  throw new Refusal(404, `No partner is called ${name}.`, 'GET /partners lists them.');
}

async function keysOf(db: Db, name: string, now: number) {
  const row = await db
    .selectFrom('keys')
    .select(it => [
      it.fn.countAll().as('all'),
      it.fn
        .sum(
          it
            .case()
            .when(
              it.and([it('revoked_at', 'is', null), it.or([it('expires_at', 'is', null), it('expires_at', '>', now)])]),
            )
            .then(1)
            .else(0)
            .end(),
        )
        .as('live'),
      it.fn.max('last_used_at').as('used'),
    ])
    .where('partner', '=', name)
    .executeTakeFirstOrThrow();
  return { all: Number(row.all), live: Number(row.live ?? 0), usedAt: row.used === null ? null : Number(row.used) };
}

/** A certificate on hold is live: it can be restored. */
async function issuedTo(db: Db, name: string, now: number): Promise<{ live: number; all: number }> {
  const { all } = await db
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll().as('all'))
    .where('partner', '=', name)
    .executeTakeFirstOrThrow();
  const { live } = await db
    .selectFrom('certificates as c')
    .select(({ fn }) => fn.countAll().as('live'))
    .where('c.partner', '=', name)
    .where('c.not_after', '>', now)
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('revocations as r')
            .select('r.id')
            .where('r.state', '=', 'revoked')
            .where(sql<boolean>`r.id in (c.key_id || ':' || c.serial, 'sha256:' || c.fingerprint)`),
        ),
      ),
    )
    .executeTakeFirstOrThrow();
  return { live: Number(live), all: Number(all) };
}

/** Of those issued for it, and of those that its patterns name by their fingerprint. */
async function certificatesUsedAt(db: Db, row: PartnerRow): Promise<number | null> {
  const named = patternsOf(row).certificates.flatMap(({ fingerprint }) => fingerprint ?? []);
  const { at } = await db
    .selectFrom('seen')
    .select(({ fn }) => fn.max('last_seen').as('at'))
    .where(it =>
      it.or([
        it('fingerprint', 'in', it.selectFrom('certificates').select('fingerprint').where('partner', '=', row.name)),
        ...(named.length > 0 ? [it('fingerprint', 'in', named)] : []),
      ]),
    )
    .executeTakeFirstOrThrow();
  return at === null ? null : Number(at);
}

function refusePast(expires: string | undefined, now: number): void {
  if (expires === undefined || Date.parse(expires) > now) return;
  throw new Refusal(422, 'The partner would have expired already.', 'A time in the future, or suspend it.', [
    { pointer: '/expires_at', detail: 'lies in the past' },
  ]);
}

function writtenQuota(quota: Quota | null): string | null {
  return quota === null ? null : JSON.stringify({ requests: quota.requests, period_s: secondsOf(quota.period) });
}

function readQuota(quota: string | null): Quota | null {
  if (quota === null) return null;
  const { requests, period_s } = JSON.parse(quota) as { requests: number; period_s: number };
  return { requests, period: periodOf(period_s) };
}
