// Two clocks, because the wall's jumps: dates that others see are read from the wall, how long to wait is not.

export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  /** Milliseconds since some moment, never backwards. */
  elapsed(): number;
  /** Calls again and again, `ms` between calls by the steady clock. Answers how to stop. */
  every(ms: number, act: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  every: (ms, act) => {
    const timer = setInterval(act, ms);
    timer.unref();
    return () => clearInterval(timer);
  },
};
