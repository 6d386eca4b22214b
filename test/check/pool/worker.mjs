// Stands in for src/check/schema/inspect.ts: the ticket says how the thread behaves (test/check/pool.test.ts).
import { setTimeout as sleep } from 'node:timers/promises';

const SLOW = 1_000_000;
const STUCK = 1_000_001;
const THROWS = 1_000_002;
const DIES = 1_000_003;

export default async function inspectAll(tickets) {
  const begun = performance.timeOrigin + performance.now();
  for (const ticket of tickets) {
    if (ticket === SLOW) await sleep(100);
    if (ticket === STUCK) await sleep(60_000);
    if (ticket === THROWS) throw new Error('a ticket that throws');
    if (ticket === DIES) process.exit(1);
  }
  return begun;
}
