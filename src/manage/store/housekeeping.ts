// What the store forgets, day by day: records of traffic, revocations of tokens of which none can be good any more, and
// what limits have no use for.
// What was issued or audited stays, and certificates that were revoked.

import type { Log } from '../log.js';
import type { Store } from './open.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** A quarter: long enough for whoever looks at a yearly certificate's last use to have been warned of its end. */
export const KEEP_DAYS = 90;
/** Of observed volume: a week has every hour of work and every night in it. */
export const KEEP_VOLUMES_DAYS = 7;
/** Rows in one statement: milliseconds, on the main thread for SQLite. */
const BATCH = 500;
/** Not in the middle of a start. */
const FIRST_MS = 60_000;

/** Once a day from now on; answers how to stop. */
export function keepHouse(store: Store, log: Log): () => void {
  const clean = async () => {
    try {
      const deleted = await forget(store, Date.now());
      if (deleted > 0)
        log.info({ deleted }, 'old records of traffic, lapsed revocations of tokens and ended exemptions were deleted');
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'old records cannot be deleted now');
    }
  };
  const first = setTimeout(clean, FIRST_MS).unref();
  const daily = setInterval(clean, DAY_MS).unref();
  return () => {
    clearTimeout(first);
    clearInterval(daily);
  };
}

/** Deletes what is too old at `now`, in small batches; answers how many rows. */
export async function forget({ db }: Store, now: number): Promise<number> {
  const before = now - KEEP_DAYS * DAY_MS;
  const seen = await batches(() => {
    const old = db.selectFrom('seen').select('fingerprint').where('last_seen', '<', before).limit(BATCH);
    return db.deleteFrom('seen').where('fingerprint', 'in', old).executeTakeFirst();
  });
  const hours = await batches(() => {
    const old = db
      .selectFrom('mtls_hours')
      .select(['host', 'operation', 'hour', 'node'])
      .where('hour', '<', Math.floor(before / HOUR_MS))
      .limit(BATCH);
    return db
      .deleteFrom('mtls_hours')
      .where(({ eb, refTuple }) =>
        eb(refTuple('host', 'operation', 'hour', 'node'), 'in', old.$asTuple('host', 'operation', 'hour', 'node')),
      )
      .executeTakeFirst();
  });
  const tokens = await batches(() => {
    const lapsed = db
      .selectFrom('token_revocations')
      .select('id')
      // Clocks of a fleet differ; and whoever was away for so long has started anew.
      .where(({ eb, or, and }) =>
        or([eb('until', '<', now - DAY_MS), and([eb('state', '=', 'restored'), eb('at', '<', before)])]),
      )
      .limit(BATCH);
    return db.deleteFrom('token_revocations').where('id', 'in', lapsed).executeTakeFirst();
  });
  return seen + hours + tokens + (await forgetLimits(db, now));
}

async function forgetLimits(db: Store['db'], now: number): Promise<number> {
  const volumes = await batches(() => {
    const old = db
      .selectFrom('volumes')
      .select(['host', 'operation', 'bucket', 'node'])
      .where('bucket', '<', now - KEEP_VOLUMES_DAYS * DAY_MS)
      .limit(BATCH);
    return db
      .deleteFrom('volumes')
      .where(({ eb, refTuple }) =>
        eb(refTuple('host', 'operation', 'bucket', 'node'), 'in', old.$asTuple('host', 'operation', 'bucket', 'node')),
      )
      .executeTakeFirst();
  });
  const exemptions = await batches(() => {
    const ended = db
      .selectFrom('limit_exemptions')
      .select(['rule', 'key'])
      // Clocks of a fleet differ.
      .where('until', '<', now - DAY_MS)
      .limit(BATCH);
    return db
      .deleteFrom('limit_exemptions')
      .where(({ eb, refTuple }) => eb(refTuple('rule', 'key'), 'in', ended.$asTuple('rule', 'key')))
      .executeTakeFirst();
  });
  const resets = await batches(() => {
    // Only a process that could not read the store for all that time has missed it.
    const seen = db
      .selectFrom('limit_resets')
      .select(['rule', 'key'])
      .where('at', '<', now - DAY_MS)
      .limit(BATCH);
    return db
      .deleteFrom('limit_resets')
      .where(({ eb, refTuple }) => eb(refTuple('rule', 'key'), 'in', seen.$asTuple('rule', 'key')))
      .executeTakeFirst();
  });
  return volumes + exemptions + resets;
}

async function batches(act: () => Promise<{ numDeletedRows: bigint }>): Promise<number> {
  for (let all = 0; ; ) {
    const deleted = Number((await act()).numDeletedRows);
    all += deleted;
    if (deleted < BATCH) return all;
  }
}
