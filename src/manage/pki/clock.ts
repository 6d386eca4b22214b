// Two clocks, because the wall's jumps: dates that others see are read from the wall, how long to wait is not.

/**
 * How much the clocks of devices, and of whoever reads lists and answers, may be behind ours: what is signed here is
 * used in the second in which it was made.
 */
export const CLOCK_SKEW_MS = 5 * 60_000;

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
