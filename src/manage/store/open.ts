// The store: SQLite in a folder, or PostgreSQL by a URL; one query layer over both.

import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { type Kysely, sql, type Transaction } from 'kysely';
import { type Changed, Following, type Standing } from './following.js';
import { migrate } from './migrations.js';
import { StoreRefused } from './refused.js';
import { Sealer } from './secrets.js';
import { openSqlite, unopened } from './sqlite.js';
import { type Tables, TOPICS, type Topic } from './tables.js';
import { readTarget } from './target.js';

/** A transaction that met another one is made again this often; each time it can only be because another got through. */
const WRITE_ATTEMPTS = 8;
const WRITE_AGAIN_MS = 10;
/** PostgreSQL's serialization_failure and deadlock_detected: nothing happened, and what was asked may be asked again. */
const PASSING = new Set(['40001', '40P01']);

export interface StoreOptions {
  /** `postgres://...`; else SQLite in `folder`. */
  url: string | null;
  folder: string;
  /** 32 bytes. */
  key: Buffer;
  /** Told when the store goes away or is back, and of followers that fail. */
  standing?: Standing;
}

/** Within `Store.write`: everything or nothing. */
export type Writing = Transaction<Tables>;

export class Store {
  readonly kind: 'sqlite' | 'postgres';
  /** Not within `write`: there, what is asked goes through its transaction. */
  readonly db: Kysely<Tables>;
  readonly #sealer: Sealer;
  readonly #following: Following;
  readonly #writing: AsyncLocalStorage<{ active: boolean }>;

  private constructor(
    kind: Store['kind'],
    db: Kysely<Tables>,
    sealer: Sealer,
    writing: AsyncLocalStorage<{ active: boolean }>,
    opened: ReadonlyMap<Topic, number>,
    standing: Standing,
  ) {
    this.kind = kind;
    this.db = db;
    this.#sealer = sealer;
    this.#writing = writing;
    this.#following = new Following(() => this.revisions(), opened, standing);
  }

  /** Opens, and makes or migrates what is not there yet. Rejects with StoreRefused when that cannot be. */
  static async open({ url, folder, key, standing = SILENT }: StoreOptions): Promise<Store> {
    const sealer = new Sealer(key);
    const writing = new AsyncLocalStorage<{ active: boolean }>();
    // On SQLite it would wait for itself for ever; on PostgreSQL it would be outside the transaction, unnoticed.
    const admit = () => {
      if (writing.getStore()?.active) throw new Error('within `write`, its transaction is what to ask');
    };
    if (url === null) {
      try {
        const db = await openSqlite(folder, admit);
        return await Store.#made('sqlite', db, () => migrate(db), sealer, writing, standing);
      } catch (error) {
        throw unopened(error, folder);
      }
    }
    const target = readTarget(url);
    // Only where it is wanted: pg is half of what a start on SQLite would load.
    const { openForMigrations, openPostgres, unreachable } = await import('./postgres.js');
    try {
      const db = await openPostgres(target, admit);
      const migrateByItself = () => {
        const patient = openForMigrations(target);
        return migrate(patient).finally(() => patient.destroy());
      };
      return await Store.#made('postgres', db, migrateByItself, sealer, writing, standing);
    } catch (error) {
      throw unreachable(error, target);
    }
  }

  static async #made(
    kind: Store['kind'],
    db: Kysely<Tables>,
    migrated: () => Promise<void>,
    sealer: Sealer,
    writing: AsyncLocalStorage<{ active: boolean }>,
    standing: Standing,
  ): Promise<Store> {
    try {
      await migrated();
      await checkKey(db, sealer);
      return new Store(kind, db, sealer, writing, await readRevisions(db), standing);
    } catch (error) {
      await db.destroy();
      throw error;
    }
  }

  /** For a secret that goes into a row; `purpose` names the row and column. */
  seal(plain: string, purpose: string): string {
    return this.#sealer.seal(plain, purpose);
  }

  unseal(sealed: string, purpose: string): string {
    return this.#sealer.unseal(sealed, purpose);
  }

  /**
   * One transaction that changes what the topics stand for. Writers of a topic come one after the other, over all
   * processes, so `revisions` grow in the order of commits: a reader that asks for rows above the revision it knows
   * misses none. `revisions.audit` is the number of the next entry of the audit log: `audit` in audit.ts writes it.
   *
   * An error in `act` undoes everything. `act` may run more than once, each time in a transaction of its own: what it
   * does beside the transaction has to bear that. While it runs, other writers wait: what takes long comes before.
   * When the store goes away in between, `write` rejects; only then it may be that the change was made all the same.
   */
  async write<T>(
    topics: readonly Topic[],
    act: (tx: Writing, revisions: Record<Topic, number>) => Promise<T>,
  ): Promise<T> {
    // One order for all, so that two writers never wait for each other. Every change is audited.
    const locked = TOPICS.filter(topic => topic === 'audit' || topics.includes(topic));
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.db.transaction().execute(tx => this.#within(tx, locked, act));
      } catch (error) {
        if (attempt === WRITE_ATTEMPTS || !PASSING.has((error as { code?: string }).code ?? '')) throw error;
      }
      await pause(WRITE_AGAIN_MS * attempt * Math.random());
    }
  }

  /** For `audit`, how many entries there are. */
  revisions(): Promise<Map<Topic, number>> {
    return readRevisions(this.db);
  }

  /**
   * Calls `changed` within a fraction of a second of any process's change, the first time for what changed since the
   * store was opened. What it throws is told, and it is called again with the revision of then, until it takes it.
   * Answers how to stop.
   */
  follow(topic: Topic, changed: Changed): () => void {
    return this.#following.follow(topic, changed);
  }

  async close(): Promise<void> {
    await this.#following.stop();
    await this.db.destroy();
  }

  async #within<T>(
    tx: Writing,
    locked: readonly Topic[],
    act: (tx: Writing, revisions: Record<Topic, number>) => Promise<T>,
  ): Promise<T> {
    const revisions = {} as Record<Topic, number>;
    for (const topic of locked) {
      // An entry of the audit log raises its own topic, so that its numbers have no gaps; here it is only locked.
      const step = topic === 'audit' ? 0 : 1;
      const { value } = await tx
        .updateTable('revisions')
        .set({ value: sql`value + ${sql.lit(step)}` })
        .where('topic', '=', topic)
        .returning('value')
        .executeTakeFirstOrThrow();
      revisions[topic] = value + 1 - step;
    }
    const inside = { active: true };
    try {
      return await this.#writing.run(inside, () => act(tx, revisions));
    } finally {
      inside.active = false;
    }
  }
}

const SILENT: Standing = { up: () => {}, failed: () => {} };

async function readRevisions(db: Kysely<Tables>): Promise<Map<Topic, number>> {
  const rows = await db.selectFrom('revisions').selectAll().execute();
  return new Map(rows.map(({ topic, value }) => [topic, value]));
}

/** The first process to open a store seals a word with its key; whoever comes later has to be able to read it. */
async function checkKey(db: Kysely<Tables>, sealer: Sealer): Promise<void> {
  const purpose = 'meta/sealing';
  await db
    .insertInto('meta')
    .values({ key: 'sealing', value: sealer.seal('portcullis', purpose) })
    .onConflict(conflict => conflict.doNothing())
    .execute();
  const { value } = await db.selectFrom('meta').select('value').where('key', '=', 'sealing').executeTakeFirstOrThrow();
  try {
    sealer.unseal(value, purpose);
  } catch {
    throw new StoreRefused(
      "the store was made with another key: its authorities' private keys cannot be read with this one",
      'the key it was made with; without it, private keys in it are lost (docs/store.md)',
    );
  }
}
