// What the store forgets, day by day: records of traffic, and revocations of tokens of which none can be good any more.
// What was issued or audited stays, and certificates that were revoked.

import type { Log } from '../log.js';
import type { Store } from './open.js';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** A quarter: long enough for whoever looks at a yearly certificate's last use to have been warned of its end. */
export const KEEP_DAYS = 90;
/** Rows in one statement: milliseconds, on the main thread for SQLite. */
const BATCH = 500;
/** Not in the middle of a start. */
const FIRST_MS = 60_000;

/** Once a day from now on; answers how to stop. */
export function keepHouse(store: Store, log: Log): () => void {
  const clean = async () => {
    try {
      const deleted = await forget(store, Date.now());
      if (deleted > 0) log.info({ deleted }, 'old records of traffic and lapsed revocations of tokens were deleted');
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
  return seen + hours + tokens;
}

async function batches(act: () => Promise<{ numDeletedRows: bigint }>): Promise<number> {
  for (let all = 0; ; ) {
    const deleted = Number((await act()).numDeletedRows);
    all += deleted;
    if (deleted < BATCH) return all;
  }
}
