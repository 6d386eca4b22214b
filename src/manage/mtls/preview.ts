// What a client-certificate rule would do, told from the traffic of the last day.

import type { Store } from '../store/open.js';

const HOUR_MS = 3_600_000;
const HOURS = 24;
/** Certificates that are named; the rest is counted. */
const NAMED = 20;

export interface Operation {
  id: string;
  /** Template. */
  path: string;
}

export interface Preview {
  since: number;
  requests: number;
  valid: number;
  absent: number;
  invalid: number;
  /** Operations below the path whose requests would be denied, most first. */
  operations: { id: string; requests: number; denied: number }[];
  /** Requests whose path is not described: they are part of the sums although they may lie elsewhere. */
  undescribed: number;
  /** Certificates that are accepted now and would not be, because the rule does not trust who issued them. */
  losing: { count: number; certificates: { subject: string; authority: string; lastSeen: number }[] };
}

/** `operations`: those of the host; with none described, all of its requests count. */
export async function preview(
  store: Store,
  rule: { host: string; path: string; trust: readonly string[] },
  operations: readonly Operation[],
  now: number,
): Promise<Preview> {
  const hour = Math.floor(now / HOUR_MS) - HOURS + 1;
  const within = new Set(operations.filter(({ path }) => below(rule.path, path)).map(({ id }) => id));
  const { fn } = store.db;
  const rows = await store.db
    .selectFrom('mtls_hours')
    .select(['operation', fn.sum<number>('valid').as('valid'), fn.sum<number>('absent').as('absent')])
    .select(fn.sum<number>('invalid').as('invalid'))
    .where('host', '=', rule.host)
    .where('hour', '>=', hour)
    .groupBy('operation')
    .execute();
  const counted = rows.filter(({ operation }) => operation === '-' || within.has(operation));
  const sum = (of: (row: (typeof counted)[number]) => number) => counted.reduce((total, row) => total + of(row), 0);
  const all = ({ valid, absent, invalid }: (typeof counted)[number]) => valid + absent + invalid;
  return {
    since: hour * HOUR_MS,
    requests: sum(all),
    valid: sum(row => row.valid),
    absent: sum(row => row.absent),
    invalid: sum(row => row.invalid),
    operations: counted
      .filter(({ operation, absent, invalid }) => operation !== '-' && absent + invalid > 0)
      .map(row => ({ id: row.operation, requests: all(row), denied: row.absent + row.invalid }))
      .sort((a, b) => b.denied - a.denied),
    undescribed: sum(row => (row.operation === '-' ? all(row) : 0)),
    losing: await losing(store, rule, hour * HOUR_MS),
  };
}

async function losing(
  store: Store,
  { host, trust }: { host: string; trust: readonly string[] },
  since: number,
): Promise<Preview['losing']> {
  const rows = await store.db
    .selectFrom('seen')
    .select(['subject', 'authority', 'last_seen', 'hosts'])
    .where('last_seen', '>=', since)
    .where('authority', 'is not', null)
    .where('authority', 'not in', trust.length > 0 ? trust : [''])
    .orderBy('last_seen', 'desc')
    .limit(10_000)
    .execute();
  const here = rows.filter(({ hosts }) => (JSON.parse(hosts) as string[]).includes(host));
  return {
    count: here.length,
    certificates: here.slice(0, NAMED).map(({ subject, authority, last_seen }) => ({
      subject,
      authority: authority as string,
      lastSeen: last_seen,
    })),
  };
}

/** Whole segments; a template's variable may stand for any. */
function below(prefix: string, template: string): boolean {
  const wanted = prefix.split('/').filter(Boolean);
  const there = template.split('/').filter(Boolean);
  return wanted.every((segment, index) => {
    const actual = there[index];
    return actual !== undefined && (actual === segment || actual.includes('{'));
  });
}
