// Runs on a pool thread: bodies stay in native memory, what comes here are the tickets under which they wait there.

import { inspect } from '../../native.js';

/** When the batch was begun, in milliseconds since the epoch: what came before is time in the queue. */
export default function inspectAll(tickets: Uint32Array): number {
  const begun = performance.timeOrigin + performance.now();
  for (const ticket of tickets) inspect(ticket);
  return begun;
}
