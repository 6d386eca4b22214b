// SQLite in a folder, through libsql: the store of one machine.
//
// libsql works synchronously, on the thread that asks. So nothing here waits inside it: while another process holds the
// write lock, the wait is a timer's, and the event loop goes on.

import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  CompiledQuery,
  type DatabaseConnection,
  Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteDialect,
  SqliteDriver,
} from 'kysely';
import Database from 'libsql';
import { StoreRefused } from './refused.js';
import type { Tables } from './tables.js';

/** How long a statement waits for another process's transaction. Ours take milliseconds. */
const BUSY_MS = 5_000;
/** Between two tries: about as long as a transaction takes on a disk that has to be asked to write through. */
const RETRY_MS = 5;
/** Within SQLite, and so of the event loop: for locks that are held for the time of a memory copy. */
const BLOCK_MS = 5;

/** Opens `store.db` in the folder, made where it is not there yet; `admit` throws where a query may not start. */
export async function openSqlite(folder: string, admit: () => void): Promise<Kysely<Tables>> {
  const file = join(folder, 'store.db');
  try {
    make(folder, file);
    const database = new Database(file);
    try {
      database.pragma(`busy_timeout = ${BLOCK_MS}`);
      for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']) {
        await patiently(() => database.pragma(pragma));
      }
      const set = (name: string) => Object.values((database.pragma(name) as object[])[0] ?? {})[0];
      const [mode, synchronous] = [set('journal_mode'), set('synchronous')];
      // What SQLite cannot do it does not do, without a word: WAL on network file systems.
      if (mode !== 'wal' || synchronous !== 2) {
        throw new StoreRefused(
          `SQLite cannot keep ${file} safely: its journal is \`${mode}\` instead of \`wal\``,
          'a folder on a local disk, or PostgreSQL by `store.url`',
        );
      }
    } catch (error) {
      database.close();
      throw error;
    }
    return new Kysely<Tables>({ dialect: new Dialect(database, file, admit) });
  } catch (error) {
    throw explained(error, file);
  }
}

/** Only its owner can read the file; its companions (`-wal`, `-shm`) get the modes that SQLite finds on it. */
function make(folder: string, file: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    // Never opened once it is there: closing a file drops all the locks that this process has on it.
    closeSync(openSync(file, 'wx', 0o600));
    chmodSync(file, 0o600);
    const above = openSync(folder, 'r');
    fsyncSync(above);
    closeSync(above);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function explained(error: unknown, file: string): unknown {
  if (error instanceof StoreRefused) return error;
  const { message, code = '' } = error as NodeJS.ErrnoException;
  if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT')) {
    return new StoreRefused(
      `${file} is no store, or is damaged: ${message}`,
      'restore it from a backup (docs/store.md)',
    );
  }
  return new StoreRefused(`the store cannot be opened: ${message}`, `the gateway has to be able to write to ${file}`);
}

class Dialect extends SqliteDialect {
  readonly #database: Database.Database;
  readonly #file: string;
  readonly #admit: () => void;

  constructor(database: Database.Database, file: string, admit: () => void) {
    super({ database: database as never });
    this.#database = database;
    this.#file = file;
    this.#admit = admit;
  }

  override createAdapter() {
    return new Adapter();
  }

  override createDriver() {
    return new Driver(this.#database, this.#file, this.#admit);
  }
}

/** Migrations in one transaction: it holds the write lock, so of two processes one comes after the other. */
class Adapter extends SqliteAdapter {
  override get supportsTransactionalDdl() {
    return true;
  }
}

class Driver extends SqliteDriver {
  readonly #database: Database.Database;
  readonly #admit: () => void;
  readonly #present: () => void;
  #patient: PatientConnection | null = null;

  constructor(database: Database.Database, file: string, admit: () => void) {
    super({ database: database as never });
    this.#database = database;
    this.#admit = admit;
    const { ino } = statSync(file);
    this.#present = () => {
      // A file that was removed can still be written to, and all of it is lost with the process.
      const now = statSync(file, { throwIfNoEntry: false });
      if (now?.ino !== ino) throw new Error(`${file} was removed or replaced while it was in use: restart the gateway`);
    };
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    this.#admit();
    const connection = await super.acquireConnection();
    this.#patient ??= new PatientConnection(connection, this.#present);
    return this.#patient;
  }

  /**
   * Takes the write lock at once: a transaction that begins by reading could find that it comes too late to write.
   * By `exec`: a prepared `begin` that found the lock taken would count as running until it is collected as garbage,
   * and no transaction can commit while a statement that writes is running.
   */
  override async beginTransaction(): Promise<void> {
    await patiently(() => {
      this.#present();
      this.#database.exec('begin immediate');
    });
  }

  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // A full disk has SQLite roll back by itself.
    if (this.#database.inTransaction) await super.rollbackTransaction(connection);
  }
}

class PatientConnection implements DatabaseConnection {
  readonly #connection: DatabaseConnection;
  readonly #present: () => void;

  constructor(connection: DatabaseConnection, present: () => void) {
    this.#connection = connection;
    this.#present = present;
  }

  executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return patiently(() => {
      this.#present();
      return this.#connection.executeQuery<R>(query);
    });
  }

  streamQuery<R>(query: CompiledQuery, chunk: number): AsyncIterableIterator<QueryResult<R>> {
    return this.#connection.streamQuery<R>(query, chunk);
  }
}

async function patiently<T>(act: () => T | Promise<T>): Promise<T> {
  for (const deadline = Date.now() + BUSY_MS; ; ) {
    try {
      return await act();
    } catch (error) {
      if (!busy(error) || Date.now() > deadline) throw error;
    }
    await pause(RETRY_MS * (1 + Math.random()));
  }
}

function busy(error: unknown): boolean {
  const { code = '', message } = error as NodeJS.ErrnoException;
  return code.startsWith('SQLITE_BUSY') || /database (table )?is locked/.test(message);
}
