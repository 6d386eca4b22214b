// libsql under kysely, and around its edges.
//
// - It works synchronously, on the thread that asks. So nothing waits inside it: while another process holds the write
//   lock, the wait is a timer's, and the event loop goes on.
// - A statement that found the lock taken stays open, and no other can commit, until that very statement is run again.
//   So only `begin immediate` ever meets the lock, always the same prepared one.
// - A boolean as a parameter ends the process, a text with a NUL is cut there: both are refused before.

import { setTimeout as pause } from 'node:timers/promises';
import {
  type CompiledQuery,
  type DatabaseConnection,
  type QueryResult,
  SelectQueryNode,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
} from 'kysely';
import type Database from 'libsql';

/** How long a statement waits for another process's transaction. Ours take milliseconds. */
const BUSY_MS = 5_000;
/** Between two tries: about as long as a transaction takes on a disk that has to be asked to write through. */
const RETRY_MS = 4;

type Statement = ReturnType<Database.Database['prepare']>;

/** Both throw where a statement may not be run: `admit` for who asks, `present` for the file. */
export interface Checks {
  admit(): void;
  present(): void;
}

export class Dialect extends SqliteDialect {
  readonly #database: Database.Database;
  readonly #checks: Checks;

  constructor(database: Database.Database, checks: Checks) {
    super({ database: database as never });
    this.#database = database;
    this.#checks = checks;
  }

  override createAdapter() {
    return new Adapter();
  }

  override createDriver() {
    return new Driver(this.#database, this.#checks);
  }
}

/** Migrations in one transaction: it holds the write lock, so of two processes one comes after the other. */
class Adapter extends SqliteAdapter {
  override get supportsTransactionalDdl() {
    return true;
  }
}

class Driver extends SqliteDriver {
  readonly #admit: () => void;
  readonly #connection: SqliteConnection;

  constructor(database: Database.Database, { admit, present }: Checks) {
    super({ database: database as never });
    this.#admit = admit;
    this.#connection = new SqliteConnection(database, present);
  }

  /** There is one, and whoever comes while it is in use waits. */
  override async acquireConnection(): Promise<DatabaseConnection> {
    this.#admit();
    await super.acquireConnection();
    return this.#connection;
  }

  override beginTransaction(): Promise<void> {
    return this.#connection.begin();
  }

  override async commitTransaction(): Promise<void> {
    this.#connection.commit();
  }

  override async rollbackTransaction(): Promise<void> {
    this.#connection.rollback();
  }
}

export class SqliteConnection implements DatabaseConnection {
  readonly #database: Database.Database;
  readonly #present: () => void;
  readonly #begin: Statement;

  constructor(database: Database.Database, present = () => {}) {
    this.#database = database;
    this.#present = present;
    this.#begin = database.prepare('begin immediate');
  }

  /** Takes the write lock at once: a transaction that begins by reading could find that it comes too late to write. */
  async begin(): Promise<void> {
    this.#present();
    await patiently(() => this.#begin.run([]));
  }

  commit(): void {
    this.#database.prepare('commit').run([]);
  }

  rollback(): void {
    // A full disk has SQLite roll back by itself.
    if (this.#database.inTransaction) this.#database.prepare('rollback').run([]);
  }

  /** One statement without parameters that no transaction may enclose. */
  async ask(statement: string): Promise<unknown[]> {
    const prepared = this.#database.prepare(statement);
    return patiently(() => prepared.all([]));
  }

  async executeQuery<R>({ sql, parameters, query }: CompiledQuery): Promise<QueryResult<R>> {
    this.#present();
    const bound = parameters.map(bindable);
    const statement = this.#database.prepare(sql);
    if (this.#database.inTransaction) return run(statement, bound);
    if (SelectQueryNode.is(query) || ALONE.test(sql)) return patiently(() => run<R>(statement, bound));
    await this.begin();
    try {
      const result = run<R>(statement, bound);
      this.commit();
      return result;
    } catch (error) {
      this.rollback();
      throw error;
    }
  }

  // biome-ignore lint/correctness/useYield: a list in memory has to be bounded by its query, and that is how all are
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('pages instead of streams: the one connection would be held for as long as the reader takes');
  }
}

/** What takes no write lock, or does not bear a transaction around it. */
const ALONE = /^\s*(select|pragma|vacuum|explain)\b/i;

function run<R>(statement: Statement, parameters: unknown[]): QueryResult<R> {
  if (statement.reader) return { rows: statement.all(parameters) as R[] };
  const { changes, lastInsertRowid } = statement.run(parameters);
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
}

function bindable(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'string') {
    // PostgreSQL refuses it, too.
    if (value.includes('\0')) throw new TypeError('the store holds no text with a NUL');
    return value;
  }
  throw new TypeError(`the store holds texts and numbers, not this ${typeof value}`);
}

async function patiently<T>(act: () => T): Promise<T> {
  for (const deadline = Date.now() + BUSY_MS; ; ) {
    try {
      return act();
    } catch (error) {
      const busy = (error as { code?: string }).code?.startsWith('SQLITE_BUSY');
      if (!busy || Date.now() > deadline) throw error;
    }
    await pause(RETRY_MS * (1 + Math.random()));
  }
}
