// SQLite in a folder, through libsql: the store of one machine.

import { chmodSync, closeSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Kysely } from 'kysely';
import Database from 'libsql';
import { Dialect, SqliteConnection } from './libsql.js';
import { StoreRefused } from './refused.js';
import type { Tables } from './tables.js';

/** Opens `store.db` in the folder, made where it is not there yet; `admit` throws where a query may not start. */
export async function openSqlite(folder: string, admit: () => void): Promise<Kysely<Tables>> {
  const file = join(folder, 'store.db');
  make(folder, file);
  const database = new Database(file);
  try {
    const connection = new SqliteConnection(database);
    for (const pragma of ['journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']) {
      await connection.ask(`pragma ${pragma}`);
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
  const { ino } = statSync(file);
  const present = () => {
    // A file that was removed can still be written to, and all of it is lost with the process.
    const now = statSync(file, { throwIfNoEntry: false });
    if (now?.ino !== ino) throw new Error(`${file} was removed or replaced while it was in use: restart the gateway`);
  };
  return new Kysely<Tables>({ dialect: new Dialect(database, { admit, present }) });
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

export function unopened(error: unknown, folder: string): unknown {
  if (error instanceof StoreRefused) return error;
  const file = join(folder, 'store.db');
  const { message, code = '' } = error as NodeJS.ErrnoException;
  if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT')) {
    return new StoreRefused(
      `${file} is no store, or is damaged: ${message}`,
      'restore it from a backup (docs/store.md)',
    );
  }
  return new StoreRefused(`the store cannot be opened: ${message}`, `the gateway has to be able to write to ${file}`);
}
