// The store: SQLite in a folder, or PostgreSQL by a URL; one query layer over both.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Kysely, Migrator, PostgresDialect, SqliteDialect, sql, type Transaction } from 'kysely';
import Database from 'libsql';
import pg from 'pg';
import { migrations } from './migrations.js';
import { Sealer } from './secrets.js';
import { type Tables, TOPICS, type Topic } from './tables.js';

/** How long a writer waits for another process's transaction. */
const BUSY_MS = 5_000;
const POSTGRES_CONNECTIONS = 8;
/** Between two looks at what other processes changed. With its effect it has to stay well below a second. */
const FOLLOW_MS = 200;

export interface StoreOptions {
  /** `postgres://...`; else SQLite in `folder`. */
  url: string | null;
  folder: string;
  /** 32 bytes. */
  key: Buffer;
}

/** Within `Store.write`: everything or nothing. */
export type Writing = Transaction<Tables>;

export class Store {
  readonly kind: 'sqlite' | 'postgres';
  readonly db: Kysely<Tables>;
  readonly #sealer: Sealer;
  readonly #followers = new Map<Topic, Set<(revision: number) => void>>();
  #known: Map<Topic, number> | null = null;
  #timer: NodeJS.Timeout | null = null;

  private constructor(kind: Store['kind'], db: Kysely<Tables>, sealer: Sealer) {
    this.kind = kind;
    this.db = db;
    this.#sealer = sealer;
  }

  /** Opens, and makes or migrates what is not there yet. Rejects when the key is not the one it was made with. */
  static async open({ url, folder, key }: StoreOptions): Promise<Store> {
    const sealer = new Sealer(key);
    const db = url === null ? sqlite(folder) : postgres(url);
    const store = new Store(url === null ? 'sqlite' : 'postgres', db, sealer);
    try {
      const { error } = await new Migrator({ db, provider: migrations }).migrateToLatest();
      if (error) throw error;
      await store.#checkKey();
    } catch (error) {
      await db.destroy();
      throw error;
    }
    return store;
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
   */
  write<T>(topics: readonly Topic[], act: (tx: Writing, revisions: Record<Topic, number>) => Promise<T>): Promise<T> {
    // One order for all, so that two writers never wait for each other. Every change is audited.
    const locked = TOPICS.filter(topic => topic === 'audit' || topics.includes(topic));
    return this.db.transaction().execute(async tx => {
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
      return await act(tx, revisions);
    });
  }

  async revisions(): Promise<Map<Topic, number>> {
    const rows = await this.db.selectFrom('revisions').selectAll().execute();
    return new Map(rows.map(({ topic, value }) => [topic, value]));
  }

  /** Calls `changed` within a fraction of a second of any process's change. Answers how to stop. */
  follow(topic: Topic, changed: (revision: number) => void): () => void {
    const followers = this.#followers.get(topic) ?? new Set();
    followers.add(changed);
    this.#followers.set(topic, followers);
    this.#timer ??= setInterval(() => void this.#look(), FOLLOW_MS);
    return () => followers.delete(changed);
  }

  async close(): Promise<void> {
    if (this.#timer) clearInterval(this.#timer);
    await this.db.destroy();
  }

  async #look(): Promise<void> {
    try {
      const now = await this.revisions();
      const before = this.#known;
      this.#known = now;
      if (before === null) return;
      for (const [topic, value] of now) {
        if (before.get(topic) === value) continue;
        for (const follower of this.#followers.get(topic) ?? []) follower(value);
      }
    } catch {
      // The store is away: the next look tells.
    }
  }

  async #checkKey(): Promise<void> {
    const row = await this.db.selectFrom('meta').select('value').where('key', '=', 'sealing').executeTakeFirst();
    if (!row) {
      const value = this.seal('portcullis', 'sealing');
      await this.db
        .insertInto('meta')
        .values({ key: 'sealing', value })
        .onConflict(it => it.doNothing())
        .execute();
      return;
    }
    try {
      this.unseal(row.value, 'sealing');
    } catch {
      throw new Error(
        "the store was made with another key: its authorities' private keys cannot be read with this one",
      );
    }
  }
}

function sqlite(folder: string): Kysely<Tables> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new Database(join(folder, 'store.db'), { timeout: BUSY_MS });
  for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON', `busy_timeout = ${BUSY_MS}`]) {
    database.pragma(pragma);
  }
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: database as never }) });
}

function postgres(url: string): Kysely<Tables> {
  const types = new pg.TypeOverrides();
  // Integers of 64 bits: all of ours are below 2^53.
  types.setTypeParser(pg.types.builtins.INT8, Number);
  const pool = new pg.Pool({ connectionString: url, max: POSTGRES_CONNECTIONS, types: types as never });
  pool.on('error', () => {});
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}
