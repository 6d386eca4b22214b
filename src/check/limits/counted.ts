// What a thread counts of its calls until the main thread asks for it.

/** Upper bounds in seconds: a server beside us answers in a tenth of a millisecond; a second is the longest bound. */
export const CALL_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] as const;

export interface Counted {
  answered: number;
  failed: number;
  late: number;
  /** Of those that were answered, by the bounds of CALL_SECONDS, not cumulated; the last is beyond all of them. */
  buckets: number[];
  seconds: number;
}

export function nothingCounted(): Counted {
  return { answered: 0, failed: 0, late: 0, buckets: Array(CALL_SECONDS.length + 1).fill(0), seconds: 0 };
}

export function countAnswered(counted: Counted, seconds: number): void {
  counted.answered += 1;
  counted.seconds += seconds;
  let bucket = 0;
  while (bucket < CALL_SECONDS.length && seconds > (CALL_SECONDS[bucket] as number)) bucket += 1;
  counted.buckets[bucket] = (counted.buckets[bucket] as number) + 1;
}
