// A limit for an operation, out of what was asked of it: requests of one session in ten minutes. The formula and its
// numbers are told in docs/limits-volume.md.

import type { Bucket } from './recorded.js';
import { type Class, type Sensitivity, sensitivityOf } from './sensitivity.js';
import { Spread } from './spread.js';
import { BUCKET_MS } from './volume.js';

interface Formula {
  /** Of this percentile so many times, and at least so much. */
  percentile: 90 | 99;
  factor: number;
  floor: number;
}

/** Where credentials are tried out the heaviest sessions are the ones to stop: nine in ten count, not ninety-nine. */
export const FORMULAS: Readonly<Record<Class, Formula>> = {
  login: { percentile: 90, factor: 1.5, floor: 5 },
  token: { percentile: 99, factor: 1.2, floor: 10 },
  refused: { percentile: 90, factor: 1.5, floor: 10 },
  search: { percentile: 99, factor: 1.2, floor: 15 },
  write: { percentile: 99, factor: 1.2, floor: 10 },
  other: { percentile: 99, factor: 1.5, floor: 20 },
};

export const PERIOD_S = BUCKET_MS / 1_000;

/** Sessions (one of each ten minutes), buckets and days from which a limit can be trusted. */
export const HIGH = { sessions: 1_000, buckets: 144, days: 3 } as const;
export const MEDIUM = { sessions: 100, buckets: 12, days: 1 } as const;
/** p99 beyond so many times p90: few sessions decide, and others may come tomorrow. One step less. */
export const WIDE = 5;

const CONFIDENCES = ['low', 'medium', 'high'] as const;
export type Confidence = (typeof CONFIDENCES)[number];

/** Most of the requests have no session: their addresses count. */
const ANONYMOUS_SHARE = 0.5;

export interface Recommendation {
  host: string;
  operation: string;
  from: number;
  until: number;
  requests: number;
  anonymous: number;
  /** One of each ten minutes, as counted. */
  sessions: number;
  buckets: number;
  days: number;
  /** The least share of sessions that was counted in any bucket. */
  share: number;
  /** Processes that recorded. */
  nodes: number;
  p50: number;
  p90: number;
  p99: number;
  sensitivity: Sensitivity;
  limit: number;
  /** How the number came about. */
  formula: string;
  confidence: Confidence;
  confidenceReason: string;
  counted: Counted;
}

/** What tells callers apart: the session, a key or certificate where the host has no sessions, or the address. */
export const COUNTED = ['session', 'caller', 'address'] as const;
export type Counted = (typeof COUNTED)[number];

/** The operation, where the description still has it. */
export interface Described {
  method: string | null;
  path: string | null;
  /** The host says what identifies a session. */
  sessions: boolean;
}

/** Of one operation: bucket after bucket. */
export class Recommending {
  readonly #spread = new Spread();
  readonly #days = new Set<number>();
  readonly #nodes = new Set<string>();
  readonly #statuses: Record<string, number> = {};
  readonly #methods: Record<string, number> = {};
  #from = Number.POSITIVE_INFINITY;
  #until = 0;
  #requests = 0;
  #anonymous = 0;
  #buckets = 0;
  #share = 1;

  add({ at, nodes }: Bucket): void {
    this.#spread.add(nodes);
    this.#buckets += 1;
    this.#days.add(Math.floor(at / 86_400_000));
    this.#from = Math.min(this.#from, at);
    this.#until = Math.max(this.#until, at + BUCKET_MS);
    for (const { node, requests, anonymous, share, statuses, methods } of nodes) {
      this.#nodes.add(node);
      this.#requests += requests;
      this.#anonymous += anonymous;
      this.#share = Math.min(this.#share, share);
      add(this.#statuses, statuses);
      add(this.#methods, methods);
    }
  }

  result(host: string, operation: string, described: Described): Recommendation {
    const method = described.method ?? this.#mostly();
    const [p50, p90, p99] = [50, 90, 99].map(percent => this.#spread.percentile(percent)) as [number, number, number];
    const sensitivity = sensitivityOf({ operation, method, path: described.path, statuses: this.#statuses });
    const { percentile, factor, floor } = FORMULAS[sensitivity.class];
    const base = percentile === 90 ? p90 : p99;
    const limit = Math.max(floor, readable(Math.ceil((factor * 10 * base) / 10)));
    const { confidence, reason } = this.#confidence(p90, p99);
    return {
      ...{ host, operation, from: this.#from, until: this.#until, requests: this.#requests },
      ...{ anonymous: this.#anonymous, sessions: this.#spread.counted, buckets: this.#buckets },
      ...{ days: this.#days.size, share: this.#share, nodes: this.#nodes.size, p50, p90, p99, sensitivity, limit },
      formula: `max(${floor}, ${factor} x p${percentile} = ${factor} x ${base}, rounded up to two digits)`,
      ...{ confidence, confidenceReason: reason },
      counted:
        this.#anonymous > ANONYMOUS_SHARE * this.#requests ? 'address' : described.sessions ? 'session' : 'caller',
    };
  }

  /** The method of more than half of the requests. */
  #mostly(): string | null {
    const [method] = Object.entries(this.#methods).find(([, count]) => 2 * count > this.#requests) ?? [null];
    return method;
  }

  #confidence(p90: number, p99: number): { confidence: Confidence; reason: string } {
    const there = { sessions: this.#spread.counted, buckets: this.#buckets, days: this.#days.size };
    const lacks = (wanted: typeof HIGH | typeof MEDIUM) =>
      (['sessions', 'buckets', 'days'] as const).filter(what => there[what] < wanted[what]);
    const step = lacks(MEDIUM).length > 0 ? 0 : lacks(HIGH).length > 0 ? 1 : 2;
    const wide = p99 > WIDE * p90;
    const confidence = CONFIDENCES[Math.max(0, step - (wide ? 1 : 0))] as Confidence;
    const wanted = step === 0 ? MEDIUM : HIGH;
    const missing = step === 2 ? [] : lacks(wanted).map(what => `${there[what]} of ${wanted[what]} ${what}`);
    const reasons = [...missing, ...(wide ? [`p99 is more than ${WIDE} times p90: few sessions decide`] : [])];
    return { confidence, reason: reasons.join(', ') || 'enough sessions, over enough days, close to each other' };
  }
}

function add(sums: Record<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + count;
}

/** Up to two significant digits: nobody takes 137 for anything but 140. */
function readable(number: number): number {
  const scale = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, number))) - 1);
  return Math.ceil(number / scale) * scale;
}
