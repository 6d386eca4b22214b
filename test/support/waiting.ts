const STEP_MS = 10;

/** Waits until something is so; for what tells nobody when it changes. */
export async function until(fits: () => boolean | Promise<boolean>, withinMs = 10_000): Promise<void> {
  for (const deadline = Date.now() + withinMs; !(await fits()); ) {
    if (Date.now() > deadline) throw new Error(`still not so after ${withinMs} ms: ${fits}`);
    await pause(STEP_MS);
  }
}

/** Waits until a number that grew has come to a rest, and answers it. */
export async function settled(count: () => number, restMs = 400, withinMs = 15_000): Promise<number> {
  let [last, since] = [count(), Date.now()];
  for (const deadline = since + withinMs; Date.now() - since < restMs; ) {
    if (Date.now() > deadline) throw new Error(`it never came to a rest: ${last}`);
    await pause(STEP_MS);
    const now = count();
    if (now !== last) [last, since] = [now, Date.now()];
  }
  return last;
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
