// A clock that a test moves: the wall's may jump, the steady one only goes on.

import type { Clock } from '../../src/manage/pki/clock.js';
import { pause } from './waiting.js';

/** Long enough for what a tick started on this machine: a look into the store, a fetch on loopback. */
const SETTLE_MS = 60;

export class FakeClock implements Clock {
  #wall = Date.now();
  #elapsed = 0;

  now(): number {
    return this.#wall;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  /** Ticks are the test's. */
  every(): () => void {
    return () => {};
  }

  /** Time passes, in steps in which everybody ticks. */
  async advance(ms: number, all: readonly { fetching: { tick(): void } }[], steps = 4): Promise<void> {
    for (let step = 0; step < steps; step++) {
      this.#wall += ms / steps;
      this.#elapsed += ms / steps;
      for (const { fetching } of all) fetching.tick();
      await pause(SETTLE_MS);
    }
  }

  /** Somebody sets the wall's clock. */
  jump(ms: number): void {
    this.#wall += ms;
  }
}
