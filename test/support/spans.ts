// What a limit admitted, seen from outside: a request was decided at some moment between being sent and being answered,
// so in a span are, for certain, those that were sent and answered within it.

export interface Spent {
  /** Milliseconds, of a clock that never goes back. */
  sent: number;
  received: number;
}

export interface Worst {
  /** How many more were admitted than `burst + perMs * length`; below 0: there never were so many. */
  over: number;
  admitted: number;
  from: number;
  to: number;
}

/**
 * The span in which most was admitted beyond `burst + perMs * length`: of all spans, in n log n steps. Spans begin with
 * a sending and end with an answer: any other can be made shorter and holds the same.
 */
export function worstSpan(admitted: readonly Spent[], perMs: number, burst: number): Worst {
  const starts = admitted.map(({ sent }) => sent).sort((a, b) => a - b);
  const tree = new MostOfPrefix(starts.length);
  let begun = 0;
  const place = new Map(starts.map((start, index) => [start, index]));
  let worst: Worst = { over: Number.NEGATIVE_INFINITY, admitted: 0, from: 0, to: 0 };
  for (const { sent, received } of [...admitted].sort((a, b) => a.received - b.received)) {
    for (; begun < starts.length && (starts[begun] as number) <= received; begun++) {
      tree.begin(begun, perMs * (starts[begun] as number));
    }
    const index = place.get(sent) as number;
    // It is in every span that begins no later than it was sent.
    tree.add(index, 1);
    const most = tree.most();
    const over = most.value - perMs * received - burst;
    if (over > worst.over) {
      const from = starts[most.index] as number;
      worst = { over, admitted: Math.round(most.value - perMs * from), from, to: received };
    }
  }
  return worst;
}

/** Most that were admitted in any span of this length. */
export function mostWithin(admitted: readonly Spent[], lengthMs: number): number {
  const bySending = [...admitted].sort((a, b) => a.sent - b.sent);
  let most = 0;
  for (const [index, { sent }] of bySending.entries()) {
    let count = 0;
    for (let i = index; i < bySending.length && (bySending[i] as Spent).sent <= sent + lengthMs; i++) {
      if ((bySending[i] as Spent).received <= sent + lengthMs) count += 1;
    }
    most = Math.max(most, count);
  }
  return most;
}

/** Numbers of which those up to an index can be raised, and the largest is known: a segment tree. */
class MostOfPrefix {
  readonly #leaves: number;
  readonly #most: Float64Array;
  /** What all below a node were raised by, and its `most` knows already. */
  readonly #raised: Float64Array;

  constructor(count: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(1, count)));
    this.#most = new Float64Array(2 * this.#leaves).fill(Number.NEGATIVE_INFINITY);
    this.#raised = new Float64Array(2 * this.#leaves);
  }

  /** A number that was not there. None above it was raised before, so nothing has to be taken off. */
  begin(index: number, value: number): void {
    let node = index + this.#leaves;
    this.#most[node] = value;
    for (; node > 1; node >>= 1) this.#pull(node >> 1);
  }

  /** Raises all from 0 to `last`. */
  add(last: number, by: number): void {
    let node = last + this.#leaves;
    this.#raise(node, by);
    for (; node > 1; node >>= 1) {
      // A right child's left sibling is in the prefix as a whole.
      if (node % 2 === 1) this.#raise(node - 1, by);
      this.#pull(node >> 1);
    }
  }

  most(): { value: number; index: number } {
    let node = 1;
    while (node < this.#leaves) {
      const left = 2 * node;
      node = (this.#most[left] as number) >= (this.#most[left + 1] as number) ? left : left + 1;
    }
    return { value: this.#most[1] as number, index: node - this.#leaves };
  }

  #raise(node: number, by: number): void {
    this.#most[node] = (this.#most[node] as number) + by;
    this.#raised[node] = (this.#raised[node] as number) + by;
  }

  #pull(node: number): void {
    const below = Math.max(this.#most[2 * node] as number, this.#most[2 * node + 1] as number);
    this.#most[node] = below + (this.#raised[node] as number);
  }
}
