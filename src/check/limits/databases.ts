// Databases that tell where an address is: files read, and known for what they are. The engine reads what is in them.

import { createHash } from 'node:crypto';
import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import type { LimitsConfig } from './config.js';

export const DATABASE_KINDS = ['country', 'asn'] as const;
export type DatabaseKind = (typeof DATABASE_KINDS)[number];

/** What a file's own type says that it holds: `GeoLite2-Country`, `GeoIP2-City`, `DBIP-ASN-Lite`, ... */
const HOLDS: Readonly<Record<DatabaseKind, RegExp>> = { country: /country|city|enterprise/i, asn: /asn|isp/i };

/** What precedes the metadata at the end of the file, in its last 128 KiB (MaxMind DB 2.0). */
const MARKER = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
const METADATA_BYTES = 128 * 1_024;
const TYPE = Buffer.from('database_type');

export interface DatabasePlan {
  kind: DatabaseKind;
  file: string;
  /** Of what it holds, to notice a change. */
  digest: string;
  /** null: the engine has it. */
  bytes: Buffer | null;
}

export function compileDatabases(written: LimitsConfig['databases'], loading: Loading): DatabasePlan[] {
  return DATABASE_KINDS.flatMap(kind => {
    const file = written[kind];
    if (file === undefined) return [];
    const at = child(pointer(['limits', 'databases']), kind);
    const bytes = loading.bytes(at, file);
    if (bytes === null) return [];
    const type = databaseType(bytes);
    if (type === null) {
      loading.problem(at, 'this is not a MaxMind database', {
        hint: 'a file that ends in `.mmdb`, out of its archive: GeoLite2, GeoIP2, DB-IP, ...',
      });
      return [];
    }
    if (!HOLDS[kind].test(type)) {
      loading.warning(at, `a database of type \`${type}\` may not tell the ${WHAT[kind]} of an address`, {
        hint: OTHER[kind],
      });
    }
    const digest = createHash('sha256').update(bytes).digest('hex');
    return [{ kind, file: loading.path(file), digest, bytes }];
  });
}

const WHAT: Readonly<Record<DatabaseKind, string>> = { country: 'country', asn: 'network' };
const OTHER: Readonly<Record<DatabaseKind, string>> = {
  country: '`GeoLite2-Country` or `GeoLite2-City` does',
  asn: '`GeoLite2-ASN` does',
};

/** As its metadata says; null when it has none. */
function databaseType(bytes: Buffer): string | null {
  const end = bytes.subarray(-METADATA_BYTES);
  const marker = end.lastIndexOf(MARKER);
  const key = marker < 0 ? -1 : end.indexOf(TYPE, marker);
  if (key < 0) return null;
  const at = key + TYPE.length;
  // A text (type 2): its length stands in five bits, or in the byte behind them.
  const [control = 0, more = 0] = end.subarray(at, at + 2);
  if (control >> 5 !== 2) return null;
  const short = control & 31;
  if (short > 29) return null;
  const [start, length] = short < 29 ? [at + 1, short] : [at + 2, 29 + more];
  return end.toString('utf8', start, start + length).replace(/[^\x20-\x7e]/g, '?');
}
