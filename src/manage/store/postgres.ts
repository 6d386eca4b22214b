// PostgreSQL by a URL: the store that several gateways share.

import { Kysely, PostgresDialect, type PostgresPoolClient, sql } from 'kysely';
import pg from 'pg';
import { StoreRefused } from './refused.js';
import type { Tables } from './tables.js';
import type { Target } from './target.js';

/** The control plane of one process. A server allows 100 in all unless it was told otherwise. */
const CONNECTIONS = 8;
const CONNECT_MS = 5_000;
/** Longest statement, waiting for locks included: the server gives up. */
const STATEMENT_MS = 10_000;
/** As long again for a server that does not answer at all; then the connection is given up. */
const ANSWER_MS = 15_000;
/** A client that fell silent within a transaction, its machine gone: the server frees its locks. */
const IDLE_IN_TRANSACTION_MS = 30_000;
/** A name server or a disk that hangs is noticed by what is asked; this only keeps firewalls from forgetting us. */
const KEEP_ALIVE_MS = 30_000;

/** `admit` throws where a query may not start. */
export async function openPostgres(target: Target, admit: () => void): Promise<Kysely<Tables>> {
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({
      pool: pool(target, admit, CONNECTIONS, {
        statement_timeout: STATEMENT_MS,
        query_timeout: ANSWER_MS,
        idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      }),
    }),
  });
  try {
    const { rows } = await sql<{ encoding: string }>`select current_setting('server_encoding') as encoding`.execute(db);
    const encoding = rows[0]?.encoding;
    if (encoding !== 'UTF8') {
      throw new StoreRefused(
        `the database at ${target.shown} keeps text as ${encoding}`,
        'one made with `createdb --encoding=UTF8 --template=template0`',
      );
    }
    return db;
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

/** For migrations: they take as long as they take, and so does waiting for another process's. */
export function openForMigrations(target: Target): Kysely<Tables> {
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pool(target, () => {}, 2, {}) }) });
}

export function unreachable(error: unknown, { shown }: Target): unknown {
  if (error instanceof StoreRefused) return error;
  // Of several addresses that all failed, Node tells in an error without a message.
  const { message, errors, code } = error as Error & { errors?: Error[]; code?: string };
  const why = message || errors?.map(one => one.message).join('; ') || code;
  return new StoreRefused(`PostgreSQL at ${shown} cannot be used: ${why}`, hintFor(code));
}

function hintFor(code: string | undefined): string {
  // https://www.postgresql.org/docs/current/errcodes-appendix.html
  if (code === '42501') return 'the role has to own the database, or `grant create, usage on schema public`';
  if (code === '28P01' || code === '28000')
    return 'the user and password of `store.url`, and pg_hba.conf of the server';
  if (code === '3D000') return '`createdb --encoding=UTF8` makes the database';
  return 'check `store.url`, and with `psql` and the same URL whether the server answers';
}

function pool({ connectionString, ssl }: Target, admit: () => void, max: number, timeouts: pg.PoolConfig) {
  const types = new pg.TypeOverrides();
  // Integers of 64 bits, and sums of them: all of ours are below 2^53.
  for (const type of [pg.types.builtins.INT8, pg.types.builtins.NUMERIC]) types.setTypeParser(type, Number);
  const connections = new pg.Pool({
    connectionString,
    ssl,
    max,
    types: types as never,
    application_name: 'portcullis',
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    ...timeouts,
  });
  // Connections that die while nobody asks anything: the next question gets a new one.
  connections.on('error', () => {});
  connections.on('connect', client => {
    client.on('error', () => {});
    // What was acknowledged is on the disk, whatever the server does for others.
    const durable = "set_config('synchronous_commit', 'on', false)";
    client.query(`select ${durable} where current_setting('synchronous_commit') = 'off'`).catch(() => {});
  });
  return {
    async connect() {
      admit();
      return borrowed(await connections.connect());
    },
    end: () => connections.end(),
  };
}

/** A connection that failed otherwise than by the server's own word may still be busy: it is not used again. */
function borrowed(client: pg.PoolClient): PostgresPoolClient {
  let broken: Error | undefined;
  const query = async (text: string, values: readonly unknown[]) => {
    try {
      return await client.query(text, values as unknown[]);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError)) broken = error as Error;
      throw error;
    }
  };
  // Of its two forms, the one with a cursor is for streams, which nothing here asks for.
  return { query: query as unknown as PostgresPoolClient['query'], release: () => client.release(broken) };
}
