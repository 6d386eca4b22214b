// The recorded volume, read back: operation after operation, and of each one ten minutes after the other, with what every
// process saw of them.

import { setImmediate as others } from 'node:timers/promises';
import type { Store } from '../store/open.js';
import type { VolumesTable } from '../store/tables.js';
import { unpack, type Volume } from './volume.js';

/** Rows that are read at once: unpacked within milliseconds, on the main thread, which settles leases of limits as well. */
const PAGE = 20;

export interface Wanted {
  host?: string | undefined;
  operation?: string | undefined;
  /** Unix milliseconds: buckets that began from then on, and before that. */
  since?: number | undefined;
  until?: number | undefined;
}

/** Ten minutes of an operation. */
export interface Bucket {
  host: string;
  operation: string;
  at: number;
  nodes: (Volume & { node: string })[];
}

/** A row's place among all: host, operation, bucket, node. */
export type Place = [string, string, number, string];

export const placeOf = ({ host, operation, bucket, node }: VolumesTable): Place => [host, operation, bucket, node];

/** Some rows behind a place, by host, operation, time and process. */
export function rowsBehind(
  db: Store['db'],
  { host, operation, since, until }: Wanted,
  place: Place | null,
  limit: number,
): Promise<VolumesTable[]> {
  let query = db.selectFrom('volumes').selectAll();
  if (host !== undefined) query = query.where('host', '=', host);
  if (operation !== undefined) query = query.where('operation', '=', operation);
  if (since !== undefined) query = query.where('bucket', '>=', since);
  if (until !== undefined) query = query.where('bucket', '<', until);
  if (place) {
    query = query.where(({ eb, refTuple, tuple }) =>
      eb(refTuple('host', 'operation', 'bucket', 'node'), '>', tuple(...place)),
    );
  }
  return query.orderBy('host').orderBy('operation').orderBy('bucket').orderBy('node').limit(limit).execute();
}

/** By host, operation and time. What nobody can read is passed over. */
export async function* recorded(db: Store['db'], wanted: Wanted): AsyncGenerator<Bucket> {
  let bucket = null as Bucket | null;
  for await (const { host, operation, bucket: at, node, data } of rows(db, wanted)) {
    const volume = unpack(data);
    if (!volume) continue;
    if (bucket?.host === host && bucket.operation === operation && bucket.at === at) {
      bucket.nodes.push({ ...volume, node });
      continue;
    }
    if (bucket) yield bucket;
    bucket = { host, operation, at, nodes: [{ ...volume, node }] };
  }
  if (bucket) yield bucket;
}

async function* rows(db: Store['db'], wanted: Wanted): AsyncGenerator<VolumesTable> {
  for (let last: Place | null = null; ; ) {
    const page: VolumesTable[] = await rowsBehind(db, wanted, last, PAGE);
    yield* page;
    const end = page.at(-1);
    if (!end || page.length < PAGE) return;
    last = placeOf(end);
    await others();
  }
}
