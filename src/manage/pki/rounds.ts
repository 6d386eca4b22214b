// What asks others ahead of time, over and over: the places of asking.ts and fetching.ts. What is due is begun at each
// tick, so many at once, and each says how long to wait until its next turn.

import type { Clock } from './clock.js';

/** So that a fleet, and the clients of one authority, do not all come at once. */
export const JITTER = 0.1;
/** Beyond this the longest wait is reached, whatever the first was. */
const MOST_DOUBLINGS = 30;

/** Something to ask for again and again. */
export interface Due {
  /** By the steady clock. */
  due: number;
  busy: boolean;
}

export class Rounds {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #aborting = new AbortController();
  #busy = 0;
  #stopTicking = () => {};

  /** `most`: how many are under way at once. */
  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Aborted when it all stops. */
  get signal(): AbortSignal {
    return this.#aborting.signal;
  }

  start(everyMs: number, tick: () => Promise<void>): void {
    this.#stopTicking = this.#clock.every(everyMs, () => void tick());
  }

  stop(): void {
    this.#stopTicking();
    this.#aborting.abort();
  }

  /** Begins what is due. `act` never rejects, and answers how long to wait. Resolves when all of that has ended. */
  async begin<T extends Due>(all: Iterable<T>, act: (one: T) => Promise<number>): Promise<void> {
    const now = this.#clock.elapsed();
    const begun: Promise<void>[] = [];
    for (const one of all) {
      if (this.#busy >= this.#most) break;
      if (one.busy || one.due > now) continue;
      one.busy = true;
      this.#busy += 1;
      begun.push(this.#through(one, act));
    }
    await Promise.all(begun);
  }

  async #through<T extends Due>(one: T, act: (one: T) => Promise<number>): Promise<void> {
    try {
      one.due = (await act(one)) + this.#clock.elapsed();
    } finally {
      one.busy = false;
      this.#busy -= 1;
    }
  }
}

export function jittered(ms: number): number {
  return ms * (1 + JITTER * (Math.random() * 2 - 1));
}

/** How long to wait after so many failures in a row. */
export function backoff(failures: number, firstMs: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(MOST_DOUBLINGS, failures - 1));
}
