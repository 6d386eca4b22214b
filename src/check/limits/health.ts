// Whether a server, or the part of a cluster that counts a partition, is asked at all.
//
// It is down as soon as a call fails, or several in a row come late; while it is, nobody waits for it, and one probe at a
// time finds out whether it counts again. Probes are further and further apart, and each at a moment of chance.

import { backoff, spread } from './backoff.js';
import type { Fault } from './faults.js';

/** One late answer is a pause of the server's, or of our own; three in a row are no accident. */
const LATE_IN_A_ROW = 3;
const FIRST_PROBE_MS = 50;
/** Each thread of each node sends one in so long, which no server notices; a recovery is noticed as soon. */
const MOST_PROBE_MS = 1_000;
/** Functions that were just loaded are there. */
const LOADED_MS = 20;

export class Health {
  /** null: up. */
  why: Fault | null = 'starting';
  #late = 0;
  #probes = 0;
  readonly #changed: () => void;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get up(): boolean {
    return this.why === null;
  }

  answered(): void {
    this.#late = 0;
    if (this.why === null) return;
    this.#probes = 0;
    this.#become(null);
  }

  failed(why: Fault): void {
    if (this.why !== why) this.#become(why);
  }

  late(): void {
    this.#late += 1;
    if (this.up && this.#late >= LATE_IN_A_ROW) this.#become('late');
  }

  /** How long to wait before the next probe. */
  next(): number {
    this.#probes += 1;
    const ms =
      this.why === 'functions' && this.#probes < 4 ? LOADED_MS : backoff(this.#probes, FIRST_PROBE_MS, MOST_PROBE_MS);
    return spread(ms);
  }

  #become(why: Fault | null): void {
    this.why = why;
    this.#changed();
  }
}
