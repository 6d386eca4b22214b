// Looks at what ends soon, at the start and then once a minute. One look at a time.

import type { Log } from './log.js';
import type { Clock } from './pki/clock.js';

/** Dates are days away: this is often enough to be told on the day. */
const LOOK_MS = 60_000;

export abstract class EndWatch {
  readonly #clock: Clock;
  readonly #log: Log;
  /** What a failed look is called in the log. */
  readonly #failing: string;
  #looking: Promise<void> | null = null;
  #stop = () => {};

  constructor({ clock, log }: { clock: Clock; log: Log }, failing: string) {
    this.#clock = clock;
    this.#log = log;
    this.#failing = failing;
  }

  start(): void {
    void this.look();
    this.#stop = this.#clock.every(LOOK_MS, () => void this.look());
  }

  stop(): void {
    this.#stop();
  }

  /** Never rejects: what fails is looked up again. */
  look(): Promise<void> {
    this.#looking ??= this.lookAt(this.#clock.now())
      .catch(error => this.#log.warn({ error: (error as Error).message }, this.#failing))
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  /** `now` in Unix milliseconds. */
  protected abstract lookAt(now: number): Promise<void>;
}
