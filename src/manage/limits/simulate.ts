// A limit that is only a draft, against what was recorded: whom it would have refused.
//
// What was recorded is less than the requests: of each session its count in ten minutes, and the most in one aligned
// second, ten seconds and minute. So there are three answers. `certain`: no order of these requests would have kept the
// limit. `spared`: every order would have. `possible`: it depends on what was not recorded.
//
// Both sides rest on what a bucket of `burst` that fills evenly admits: at most burst + w * amount / period in any window
// w, and it refuses nothing that keeps this. Arithmetic is in requests times seconds of the period, in whole numbers, so
// that nothing is certain by rounding.

import type { Bucket } from './recorded.js';
import { rest } from './spread.js';
import { BUCKET_MS, SPANS_S, type Volume } from './volume.js';

/** A whole number of each span. */
const WINDOWS_S = 240;

export interface Draft {
  amount: number;
  /** Whole seconds. */
  periodS: number;
  burst: number;
  /** `local`: each process counts by itself; `fleet`: all together. */
  counters: 'local' | 'fleet';
}

export type Verdict = 'certain' | 'possible' | 'spared';

export interface Hit {
  session: string;
  verdict: Verdict;
  /** That are known of: in ten minutes in which it was among the heaviest. */
  requests: number;
  /** Certain refusals. */
  refused: number;
  /** Beginning of the ten minutes by whose end the first refusal is certain; null while none is. */
  first: number | null;
}

export interface Simulated {
  from: number | null;
  until: number | null;
  buckets: number;
  requests: number;
  /** The least share of sessions that was counted in any bucket. */
  share: number;
  sessions: Record<Verdict, number>;
  /** Requests that would have been refused for certain. */
  refused: number;
  /** Certain first, the most refused before. Those that are spared are left out. */
  hits: Hit[];
  /** Sessions of ten minutes that were not among the heaviest; their names are not known. */
  others: { sessions: number; certain: number; verdict: Verdict };
}

export class Simulation {
  readonly #draft: Draft;
  /** By process, or all in one. */
  readonly #counters = new Map<string, Counter>();
  readonly #simulated = {
    from: null as number | null,
    until: null as number | null,
    buckets: 0,
    requests: 0,
    share: 1,
  };

  constructor(draft: Draft) {
    this.#draft = draft;
  }

  /** In the order of time. */
  add({ at, nodes }: Bucket): void {
    const all = this.#simulated;
    all.from ??= at;
    all.until = at + BUCKET_MS;
    all.buckets += 1;
    for (const { requests, share } of nodes) {
      all.requests += requests;
      all.share = Math.min(all.share, share);
    }
    if (this.#draft.counters === 'fleet') this.#counter('').add(at, nodes);
    else for (const node of nodes) this.#counter(node.node).add(at, [node]);
  }

  /** `most`: hits that are told one by one. */
  result(most: number): Simulated {
    const sessions = new Map<string, Hit>();
    const others: Simulated['others'] = { sessions: 0, certain: 0, verdict: 'spared' };
    const unnamed: Counter[] = [];
    for (const counter of this.#counters.values()) {
      for (const hit of counter.hits()) sessions.set(hit.session, either(hit, sessions.get(hit.session)));
      const told = counter.others();
      others.sessions += told.sessions;
      others.certain += told.certain;
      others.verdict = worse(others.verdict, told.verdict);
      if (told.verdict !== 'spared') unnamed.push(counter);
    }
    for (const [session, hit] of sessions) {
      // One that a process does not name may be among its others.
      if (hit.verdict === 'spared' && unnamed.some(counter => !counter.names(session))) {
        sessions.set(session, { ...hit, verdict: 'possible' });
      }
    }
    const counts = { certain: 0, possible: 0, spared: 0 };
    let refused = 0;
    for (const hit of sessions.values()) {
      counts[hit.verdict] += 1;
      refused += hit.refused;
    }
    const hits = [...sessions.values()]
      .filter(({ verdict }) => verdict !== 'spared')
      .sort((a, b) => b.refused - a.refused || b.requests - a.requests || (a.session < b.session ? -1 : 1));
    return { ...this.#simulated, sessions: counts, refused, hits: hits.slice(0, most), others };
  }

  #counter(node: string): Counter {
    const known = this.#counters.get(node);
    if (known) return known;
    const made = new Counter(this.#draft);
    this.#counters.set(node, made);
    return made;
  }
}

/** Of one session, up to some ten minutes. */
interface Session {
  requests: number;
  /** Excess of windows that are over, and of one that goes on: certain refusals. */
  over: number;
  going: number;
  first: number | null;
  /** When it was last among the heaviest. */
  at: number;
  /** The most that can be in the bucket at the end of then, and ever. */
  level: number;
  highest: number;
  /** By SPANS_S. */
  peaks: readonly number[];
  /** It was not among the heaviest all the time. */
  gaps: boolean;
}

class Counter {
  readonly #amount: number;
  readonly #period: number;
  readonly #burst: number;
  /** What drains within a bucket of time. */
  readonly #drained: number;
  readonly #sessions = new Map<string, Session>();
  #from: number | null = null;
  #at = 0;
  /** The most that a session can have made in ten minutes in which it was not among the heaviest. */
  #unseen = 0;
  /** `seen`: there are some, counted or not. */
  #others = { sessions: 0, certain: 0, seen: false };

  constructor({ amount, periodS, burst }: Draft) {
    this.#amount = amount;
    this.#period = periodS;
    this.#burst = burst * periodS;
    this.#drained = (BUCKET_MS / 1_000) * amount;
  }

  add(at: number, nodes: readonly Volume[]): void {
    this.#from ??= at;
    const unseen = nodes.map(unseenBy);
    const all = unseen.reduce((sum, one) => sum + one, 0);
    for (const [session, { known, most, peaks, least }] of merged(nodes, unseen)) {
      this.#count(session, at, { known, most, peaks, least });
    }
    this.#unseen = Math.max(this.#unseen, all);
    this.#at = at;
    for (const node of nodes) {
      if (node.share < 1) this.#others.seen = true;
      for (const [least, , sessions] of rest(node)) {
        this.#others.sessions += sessions;
        if (least * this.#period > this.#burst + this.#drained) this.#others.certain += sessions;
        this.#others.seen = true;
      }
    }
  }

  names(session: string): boolean {
    return this.#sessions.has(session);
  }

  *hits(): Generator<Hit> {
    for (const [session, { over, requests, first, ...state }] of this.#sessions) {
      const refused = Math.ceil(over / this.#period);
      const verdict = refused > 0 ? 'certain' : this.#spares(state) ? 'spared' : 'possible';
      yield { session, verdict, requests, refused, first };
    }
  }

  /** At most as many requests as the least of the heaviest, in each ten minutes. */
  others(): Simulated['others'] {
    const { sessions, certain, seen } = this.#others;
    if (certain > 0) return { sessions, certain, verdict: 'certain' };
    const most = this.#unseen * this.#period;
    const spared = !seen || (most <= this.#drained && 2 * most <= this.#burst);
    return { sessions, certain, verdict: spared ? 'spared' : 'possible' };
  }

  #count(name: string, at: number, { known, most, peaks, least }: Merged): void {
    const session = this.#sessions.get(name) ?? this.#begun(at);
    const gap = Math.round((at - session.at) / BUCKET_MS) - 1;
    // Whole windows of ten minutes, and one within them.
    const gain = known * this.#period - this.#drained;
    const going = Math.max(session.going - gap * this.#drained + gain, session.over - this.#burst + gain);
    const within = SPANS_S.map((span, i) => (least[i] as number) * this.#period - this.#burst - span * this.#amount);
    const over = Math.max(session.over, going, session.over + Math.max(...within));
    // The most that can be in the bucket.
    const [before, highest] = this.#after(session, gap);
    const full = most * this.#period;
    this.#sessions.set(name, {
      requests: session.requests + known,
      over,
      going,
      first: session.first ?? (over > 0 ? at : null),
      at,
      level: full + Math.max(0, before - this.#drained),
      highest: Math.max(session.highest, highest, full + Math.max(0, before)),
      peaks: peaks.map((peak, i) => Math.max(peak, session.peaks[i] as number)),
      gaps: session.gaps || gap > 0,
    });
  }

  #begun(at: number): Session {
    const known = { requests: 0, over: 0, going: Number.NEGATIVE_INFINITY, first: null };
    // Before the first recorded bucket there was nothing; before another one it may have been unseen.
    const since = (this.#from ?? at) - BUCKET_MS;
    return { ...known, at: since, level: 0, highest: 0, peaks: [0, 0, 0], gaps: false };
  }

  /** What may be left right before now, when it was unseen for `gap` buckets; and the most that was there meanwhile. */
  #after({ level }: Pick<Session, 'level'>, gap: number): [level: number, highest: number] {
    if (gap <= 0) return [level, 0];
    const unseen = this.#unseen * this.#period;
    if (unseen === 0) return [Math.max(0, level - gap * this.#drained), 0];
    if (unseen > this.#drained) return [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    return [Math.max(unseen, level - gap * (this.#drained - unseen)), unseen + Math.max(unseen, level)];
  }

  #spares({ at, level, highest, peaks, gaps }: Pick<Session, 'at' | 'level' | 'highest' | 'peaks' | 'gaps'>): boolean {
    const away = at < this.#at;
    const later = away ? this.#after({ level }, 1)[1] : 0;
    if (Math.max(highest, later) <= this.#burst) return true;
    return this.#sparesPeaks(gaps || away ? peaks.map(peak => Math.max(peak, this.#unseen)) : peaks);
  }

  /**
   * By the most in any aligned second, ten seconds and minute: a window of w seconds touches w / span + 2 of them. Where a
   * span brings no more than drains in it, no window longer than those that are looked at is worse than the last one.
   */
  #sparesPeaks(peaks: readonly number[]): boolean {
    const worst = (seconds: number, i: number) =>
      (Math.floor(seconds / (SPANS_S[i] as number)) + 2) * (peaks[i] as number) * this.#period - seconds * this.#amount;
    const steady = (i: number) => (peaks[i] as number) * this.#period <= (SPANS_S[i] as number) * this.#amount;
    if (![0, 1, 2].some(i => steady(i) && worst(WINDOWS_S, i) <= this.#burst)) return false;
    // Once for each session that is left: nothing is allocated.
    for (let seconds = 0; seconds < WINDOWS_S; seconds++) {
      if (Math.min(worst(seconds, 0), worst(seconds, 1), worst(seconds, 2)) > this.#burst) return false;
    }
    return true;
  }
}

/** A session of ten minutes, as all of its counters' processes saw it. */
interface Merged {
  /** Requests that are known of, and the most that there can have been. */
  known: number;
  most: number;
  /** Of SPANS_S: at least, as two processes' peaks may have been at different moments, and at most. */
  least: number[];
  peaks: number[];
}

function merged(nodes: readonly Volume[], unseen: readonly number[]): Map<string, Merged> {
  const all = new Map<string, Merged>();
  const everywhere = unseen.reduce((sum, one) => sum + one, 0);
  for (const [index, { heaviest }] of nodes.entries()) {
    const here = unseen[index] as number;
    for (const [session, requests, ...peaks] of heaviest) {
      const before = all.get(session) ?? {
        ...{ known: 0, most: everywhere, least: [0, 0, 0] },
        peaks: SPANS_S.map(() => everywhere),
      };
      all.set(session, {
        known: before.known + requests,
        most: before.most - here + requests,
        least: before.least.map((peak, i) => Math.max(peak, peaks[i] as number)),
        peaks: before.peaks.map((peak, i) => peak - here + (peaks[i] as number)),
      });
    }
  }
  return all;
}

/** The most requests of a session that a process does not name. */
function unseenBy(volume: Volume): number {
  // Not in the sample: it may have made all of them.
  if (volume.share < 1) return volume.requests;
  const others = rest(volume).at(-1);
  return others ? Math.min(others[1], volume.heaviest.at(-1)?.[1] ?? others[1]) : 0;
}

const ORDER: readonly Verdict[] = ['certain', 'possible', 'spared'];

function worse(one: Verdict, other: Verdict): Verdict {
  return ORDER.indexOf(one) < ORDER.indexOf(other) ? one : other;
}

/** Of two processes that count for themselves. */
function either(one: Hit, other: Hit | undefined): Hit {
  if (!other) return one;
  const firsts = [one.first, other.first].filter(first => first !== null);
  return {
    session: one.session,
    verdict: worse(one.verdict, other.verdict),
    requests: one.requests + other.requests,
    refused: one.refused + other.refused,
    first: firsts.length === 0 ? null : Math.min(...firsts),
  };
}
