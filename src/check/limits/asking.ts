// How an edge thread asks the fleet's counters: once a turn of its loop, for all exchanges of that turn together.
//
// Native code has gathered their questions by server; each batch goes out as one write, and its exchanges go on when all
// of it has been answered, or their time is up, whichever is first. The time begins when the first of them asked.

import type { Batch } from '../../../native/door/index.js';
import type { Counted } from './counted.js';
import { FleetCounters, type Pending, type Standing } from './fleet.js';
import type { SharedPlan } from './shared.js';

/**
 * Batches under way at once. What is asked meanwhile leaves together when one comes back: the busier it is, the more
 * requests share a call, and none waits longer than an answer takes.
 */
const FLYING = 8;
const TELL_MS = 1_000;

/** The part of the native door that is asked. */
export interface AskingDoor {
  nextBatch(): Batch | null;
  batchAnswered(number: number, call: number, reply: Buffer | null): void;
  batchOver(number: number): void;
  countersUp(up: boolean): void;
}

export interface AskingParts {
  plan: SharedPlan;
  door: AskingDoor;
  /** An exchange of a batch goes on. Contains what it throws. */
  asked: (slot: number, batch: number) => void;
  tell: (told: Told) => void;
}

/** To the main thread: how it fares, null when it asks no more; and what was counted since it told before. */
export interface Told {
  standing: Standing | null;
  counted: Counted;
}

interface Flying {
  batch: Batch;
  pending: Pending[];
  left: number;
  deadline: number;
}

export class Asking {
  readonly #parts: AskingParts;
  readonly #fleet: FleetCounters;
  /** Oldest first. */
  readonly #flying = new Set<Flying>();
  /** When the first of those that wait asked; 0: nobody waits. */
  #since = 0;
  #scheduled = false;
  #timer: NodeJS.Timeout | null = null;
  readonly #telling: NodeJS.Timeout;
  #up: () => void = () => {};

  constructor(parts: AskingParts) {
    this.#parts = parts;
    parts.door.countersUp(false);
    this.#fleet = new FleetCounters(parts.plan, standing => {
      parts.door.countersUp(standing.up);
      if (standing.up) this.#up();
      this.#tell();
    });
    this.#telling = setInterval(() => this.#fleet.counts && this.#tell(), TELL_MS);
    this.#telling.unref();
  }

  /** Resolves when the counters can be asked, or after so long: until then every limit falls back. */
  ready(ms: number): Promise<void> {
    return new Promise(resolve => {
      if (this.#fleet.standing.up) return resolve();
      const timer = setTimeout(resolve, ms);
      this.#up = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** An exchange asks: its batch leaves at the end of this turn. */
  wanted(): void {
    if (this.#since === 0) this.#since = performance.now();
    this.#schedule();
  }

  /** Whoever still waits goes on without an answer. */
  close(): void {
    clearInterval(this.#telling);
    if (this.#timer) clearTimeout(this.#timer);
    for (const flying of this.#flying) this.#giveUp(flying);
    this.#parts.tell({ standing: null, counted: this.#fleet.counted() });
    this.#fleet.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#since === 0 || this.#flying.size >= FLYING) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    const deadline = this.#since + this.#parts.plan.timeoutMs;
    this.#since = 0;
    for (let batch = this.#parts.door.nextBatch(); batch !== null; batch = this.#parts.door.nextBatch()) {
      this.#fly({ batch, pending: [], left: batch.calls.length, deadline });
    }
  }

  #fly(flying: Flying): void {
    const { batch, pending } = flying;
    this.#flying.add(flying);
    batch.calls.forEach(({ keys, records }, place) => {
      pending.push(
        this.#fleet.ask(keys, records, reply => {
          this.#parts.door.batchAnswered(batch.number, place, reply);
          flying.left -= 1;
          if (flying.left === 0 && pending.length === batch.calls.length) this.#over(flying);
        }),
      );
    });
    if (flying.left === 0) this.#over(flying);
    else this.#watch();
  }

  #over(flying: Flying): void {
    const { number, slots } = flying.batch;
    if (!this.#flying.delete(flying)) return;
    for (const slot of slots) this.#parts.asked(slot, number);
    this.#parts.door.batchOver(number);
    this.#schedule();
  }

  #giveUp({ pending }: Flying): void {
    for (const one of pending) one.giveUp();
  }

  /** One timer, for the oldest. */
  #watch(): void {
    if (this.#timer !== null) return;
    for (const { deadline } of this.#flying) {
      this.#timer = setTimeout(
        () => {
          // What has come while this thread was busy is read first: it is not late.
          setImmediate(() => {
            this.#timer = null;
            this.#expire();
            this.#watch();
          });
        },
        Math.max(1, deadline - performance.now()),
      );
      return;
    }
  }

  #expire(): void {
    const now = performance.now();
    for (const flying of this.#flying) {
      if (flying.deadline > now) return;
      this.#giveUp(flying);
    }
  }

  #tell(): void {
    this.#parts.tell({ standing: this.#fleet.standing, counted: this.#fleet.counted() });
  }
}
