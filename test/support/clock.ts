// A clock that a test moves: the wall's may jump, the steady one only goes on.

import type { Clock } from '../../src/manage/pki/clock.js';

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
  async advance(ms: number, all: readonly { tick(): Promise<void> }[], steps = 4): Promise<void> {
    for (let step = 0; step < steps; step++) {
      this.#wall += ms / steps;
      this.#elapsed += ms / steps;
      await Promise.all(all.map(one => one.tick()));
    }
  }

  /** Somebody sets the wall's clock. */
  jump(ms: number): void {
    this.#wall += ms;
  }
}
