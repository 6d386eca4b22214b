// Things that end, of which there may be millions: each is told of when 30, 7 and 1 days are left, by one process of a
// fleet, and not again after a restart. What was told is one mark for each distance, which moves along the ends.

import { DAYS, type Days } from '../journal/metrics/revocation.js';
import { takeTurn } from './pki/turns.js';
import type { Store } from './store/open.js';

const DAY_MS = 86_400_000;
const TURN_MS = 30_000;
/** Of one look, so that a batch that ends together floods no log; the rest follows at the next. */
const LINES = 500;
/** Behind every id: DEL, the last of ASCII. */
const END = '\x7f';

/** Up to which end, and at that end up to which id. */
export interface Mark {
  at: number;
  /** ASCII. */
  id: string;
}

type Marks = Partial<Record<Days, Mark>>;

export interface Ends<R> {
  store: Store;
  /** Of the turn. */
  name: string;
  now: number;
  /** Those that end behind `from`, at `to` at the latest, in the order of ends and ids. */
  ending(from: Mark, to: number, limit: number): Promise<R[]>;
  markOf(row: R): Mark;
  tell(row: R, days: Days): void;
}

export async function tellOfEnds<R>({ store, name, now, ending, markOf, tell }: Ends<R>): Promise<void> {
  const taken = await takeTurn<Marks>(store, name, {}, now, { forMs: TURN_MS, mostMs: 0 });
  if (!taken.turn) return;
  const marks: Marks = { ...taken.turn.state };
  let left = LINES;
  for (const [index, days] of DAYS.entries()) {
    // What has come nearer than the next distance meanwhile is told there.
    const nearest = now + (DAYS[index + 1] ?? 0) * DAY_MS;
    const farthest = now + days * DAY_MS;
    const mark = marks[days];
    // A mark beyond what is due is of a clock that was ahead: it comes back, and nothing is told twice for it.
    const ahead = mark !== undefined && mark.at > farthest;
    const from = ahead ? { at: farthest, id: END } : mark && mark.at >= nearest ? mark : { at: nearest, id: '' };
    const rows = await ending(from, farthest, left);
    for (const row of rows) tell(row, days);
    left -= rows.length;
    const last = rows.at(-1);
    marks[days] = left > 0 || !last ? { at: farthest, id: END } : markOf(last);
    if (left <= 0) break;
  }
  await taken.turn.end(marks, 0);
}
