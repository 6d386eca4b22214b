// How many requests sessions made: one value for each session and ten minutes, over all recorded days.
//
// Of the heaviest sessions the counts are exact, and one that several processes saw is one session. Of the others only
// the histogram is known: each counts as the most that its step stands for, an eighth too high at worst, and one that two
// processes saw counts twice.

import type { Volume } from './volume.js';

export class Spread {
  /** Requests, and how many sessions made them. */
  readonly #sessions = new Map<number, number>();
  /** Sessions as they stand for others that were not counted, and as they were counted. */
  #all = 0;
  #counted = 0;

  /** Ten minutes, as each process saw them. */
  add(nodes: readonly Volume[]): void {
    for (const [requests, sessions, share] of together(nodes)) {
      const all = sessions / share;
      this.#sessions.set(requests, (this.#sessions.get(requests) ?? 0) + all);
      this.#all += all;
      this.#counted += sessions;
    }
  }

  get counted(): number {
    return this.#counted;
  }

  /** Nearest rank: the least number of requests that so many percent of the sessions do not exceed; 0 of nothing. */
  percentile(percent: number): number {
    const rank = (percent / 100) * this.#all;
    let below = 0;
    let last = 0;
    for (const requests of [...this.#sessions.keys()].sort((a, b) => a - b)) {
      below += this.#sessions.get(requests) ?? 0;
      last = requests;
      // Weights are sums of powers of two: only the rank is rounded.
      if (below >= rank - RANK_ERROR * this.#all) return requests;
    }
    return last;
  }
}

/** Of a product of two doubles, with room to spare; a millionth of a session in any number of them that is kept. */
const RANK_ERROR = 1e-12;

/** Requests, how many sessions made so many, and the share of sessions that was counted. */
type Step = [requests: number, sessions: number, share: number];

function together(nodes: readonly Volume[]): Step[] {
  const known = new Map<string, Step>();
  const others: Step[] = [];
  for (const { histogram, heaviest, share } of nodes) {
    for (const [session, requests] of heaviest) {
      const step = known.get(session);
      known.set(session, [requests + (step?.[0] ?? 0), 1, Math.max(share, step?.[2] ?? 0)]);
    }
    others.push(...rest({ histogram, heaviest }).map(([, most, sessions]): Step => [most, sessions, share]));
  }
  return [...known.values(), ...others];
}

/** The histogram without the heaviest, who are known better. */
export function rest({ histogram, heaviest }: Pick<Volume, 'histogram' | 'heaviest'>): Volume['histogram'] {
  const left: Volume['histogram'] = [];
  for (const [least, most, sessions] of histogram) {
    const known = heaviest.filter(([, requests]) => requests >= least && requests <= most).length;
    if (sessions > known) left.push([least, most, sessions - known]);
  }
  return left;
}
