// How long to wait before the next attempt. A fleet that lost its server at one moment must not come back at one moment:
// half of each wait is left to chance.

/** Beyond this the longest wait is reached, whatever the first was. */
const MOST_DOUBLINGS = 30;

/** After so many failures in a row. */
export function backoff(failures: number, firstMs: number, mostMs: number): number {
  return Math.min(mostMs, firstMs * 2 ** Math.min(MOST_DOUBLINGS, Math.max(0, failures - 1)));
}

export function spread(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
