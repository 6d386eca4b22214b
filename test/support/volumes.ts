// Volume as the engine records it, out of requests one by one; and what a limit would have done to them.

import { createHash } from 'node:crypto';
import type { Draft } from '../../src/manage/limits/simulate.js';
import {
  BUCKET_MS,
  type Heavy,
  SESSION_DIGITS,
  SPANS_S,
  type Told,
  type Volume,
} from '../../src/manage/limits/volume.js';

export interface Request {
  /** Unix milliseconds. */
  at: number;
  session: string;
  node: string;
}

export interface Recorded {
  at: number;
  nodes: (Volume & { node: string })[];
}

export function sessionHash(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, SESSION_DIGITS);
}

/** `most`: of the heaviest. */
export function recordedOf(requests: readonly Request[], most: number): Recorded[] {
  const buckets = grouped(requests, ({ at }) => at - (at % BUCKET_MS));
  return [...buckets]
    .sort(([a], [b]) => a - b)
    .map(([at, all]) => ({
      at,
      nodes: [...grouped(all, ({ node }) => node)]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([node, theirs]) => ({ node, ...volumeOf(theirs, most) })),
    }));
}

export function volumeOf(requests: readonly Request[], most: number): Volume {
  const sessions = [...grouped(requests, ({ session }) => session)]
    .map(([session, theirs]): Heavy => {
      const peaks = SPANS_S.map(span => peakOf(theirs, span)) as [number, number, number];
      return [sessionHash(session), theirs.length, ...peaks];
    })
    .sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const steps = grouped(sessions, ([, count]) => stepOf(count).join());
  return {
    ...{ requests: requests.length, anonymous: 0, sessions: sessions.length, share: 1 },
    histogram: [...steps.values()]
      .map((some): [number, number, number] => [...stepOf(some[0]?.[1] ?? 0), some.length])
      .sort(([a], [b]) => a - b),
    ...{ statuses: { 200: requests.length }, methods: { GET: requests.length } },
    heaviest: sessions.slice(0, most) as Volume['heaviest'],
  };
}

export function told(requests: readonly Request[], operation = 'listOrders', changes: Partial<Told> = {}): Told[] {
  return recordedOf(requests, 200).flatMap(({ at, nodes }) =>
    nodes.map(({ node: _, ...volume }) => ({ host: 'api.test', operation, bucket: at, ...volume, ...changes })),
  );
}

function peakOf(requests: readonly Request[], span: number): number {
  const spans = grouped(requests, ({ at }) => Math.floor(at / (span * 1_000)));
  return Math.max(...[...spans.values()].map(some => some.length));
}

/** Each number up to 15 alone, then eight steps to each power of two. */
export function stepOf(count: number): [least: number, most: number] {
  if (count < 16) return [count, count];
  const width = 2 ** (Math.floor(Math.log2(count)) - 3);
  const least = Math.floor(count / width) * width;
  return [least, least + width - 1];
}

/** The limit, request by request: of each session, when it was refused. */
export function replayed(requests: readonly Request[], draft: Draft): Map<string, number[]> {
  const { amount, periodS, burst, counters } = draft;
  // Of a request, in milliseconds times `amount`, so that nothing is rounded.
  const cost = periodS * 1_000;
  const levels = new Map<string, { level: number; at: number }>();
  const refused = new Map<string, number[]>();
  for (const { at, session, node } of [...requests].sort((a, b) => a.at - b.at)) {
    const key = counters === 'local' ? `${session} ${node}` : session;
    const before = levels.get(key) ?? { level: 0, at };
    const level = Math.max(0, before.level - (at - before.at) * amount);
    const admitted = level + cost <= burst * cost;
    levels.set(key, { level: admitted ? level + cost : level, at });
    const known = refused.get(session) ?? [];
    refused.set(session, admitted ? known : [...known, at]);
  }
  return refused;
}

function grouped<T, K>(all: readonly T[], keyOf: (one: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const one of all) {
    const some = groups.get(keyOf(one));
    if (some) some.push(one);
    else groups.set(keyOf(one), [one]);
  }
  return groups;
}
