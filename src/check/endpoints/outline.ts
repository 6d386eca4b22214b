// Where the values of a text stand: a node for each key and value, in the order of the text, as numbers in flat arrays.
//
// A large description has half a million of them and a handful of remarks: objects would cost more than the description.

/** Keys and values of one file. GitHub's description has 430,000 in 13 MB; 4 million take 52 MB here. */
export const MAX_VALUES = 4_000_000;
/** Collections within collections. Real descriptions stay below 40. */
export const MAX_NESTING = 200;

export type Span = readonly [start: number, end: number];

export const TOO_DEEP = { message: `collections are nested more than ${MAX_NESTING} deep here` };
export const TOO_MANY = {
  message: `the file holds more than ${MAX_VALUES} values`,
  hint: 'split it into several files',
};

/** Something that keeps a text from being read, with its place in characters. */
export interface Fault {
  start: number;
  end: number;
  message: string;
  hint?: string;
}

export interface Read {
  /** undefined when there are faults. */
  value: unknown;
  outline: Outline;
  faults: Fault[];
}

const SCALAR = 0;
const LIST = 1;
const MAP = 2;
const ALIAS = 3;

export class Outline {
  #starts = new Int32Array(1024);
  #ends = new Int32Array(1024);
  /** Of a collection: the node behind everything in it. Of an alias: the node it stands for. */
  #links = new Int32Array(1024);
  #kinds = new Uint8Array(1024);
  readonly #open: number[] = [];
  #count = 0;
  #last = 0;

  /** `name`: what a scalar says as a key, by its node and span; null when it cannot be one. */
  constructor(private readonly name: (node: number, span: Span) => string | null) {}

  get count(): number {
    return this.#count;
  }

  get depth(): number {
    return this.#open.length;
  }

  scalar(start: number, end: number): number {
    return this.#add(SCALAR, start, end, 0);
  }

  alias(start: number, end: number, target: number): number {
    return this.#add(ALIAS, start, end, target);
  }

  list(start: number): number {
    return this.#enter(LIST, start);
  }

  map(start: number): number {
    return this.#enter(MAP, start);
  }

  /** Closes the innermost collection; its end, when not known, is that of what stands last in it. */
  close(end?: number): void {
    const node = this.#open.pop();
    if (node === undefined) return;
    this.#last = end ?? Math.max((this.#starts[node] as number) + 1, this.#last);
    this.#ends[node] = this.#last;
    this.#links[node] = this.#count;
  }

  /** Where what was added or closed last ends. */
  get last(): number {
    return this.#last;
  }

  /** The span of a member's key, of a list's item; of what encloses it when it is not there. */
  locate(path: readonly string[]): Span {
    if (this.#count === 0) return [0, 1];
    let [shown, node] = [0, 0];
    for (const token of path) {
      const next = this.#member(node, token, 0);
      if (next === null) break;
      [shown, node] = next;
    }
    return [this.#starts[shown] as number, this.#ends[shown] as number];
  }

  /** Spans of keys that a map has already. */
  *repeated(): Generator<Span> {
    for (let node = 0; node < this.#count; node++) {
      if (this.#kinds[node] !== MAP) continue;
      const seen = new Set<string>();
      for (const [key] of this.#members(node)) {
        const span: Span = [this.#starts[key] as number, this.#ends[key] as number];
        const name = this.name(key, span);
        if (name !== null && seen.has(name)) yield span;
        if (name !== null) seen.add(name);
      }
    }
  }

  #member(written: number, token: string, merges: number): [shown: number, value: number] | null {
    const node = this.#kinds[written] === ALIAS ? (this.#links[written] as number) : written;
    if (this.#kinds[node] === LIST) {
      let index = 0;
      for (const item of this.#items(node)) if (String(index++) === token) return [item, item];
      return null;
    }
    if (this.#kinds[node] !== MAP) return null;
    const merged: number[] = [];
    for (const [key, value] of this.#members(node)) {
      const name = this.name(key, [this.#starts[key] as number, this.#ends[key] as number]);
      if (name === token) return [key, value];
      if (name === '<<') merged.push(value);
    }
    if (merges > MAX_NESTING) return null;
    for (const value of merged) {
      const target = this.#kinds[value] === ALIAS ? (this.#links[value] as number) : value;
      for (const source of this.#kinds[target] === LIST ? this.#items(target) : [target]) {
        const found = this.#member(source, token, merges + 1);
        if (found) return found;
      }
    }
    return null;
  }

  *#members(map: number): Generator<[key: number, value: number]> {
    const end = this.#links[map] as number;
    for (let key = map + 1; key < end; ) {
      const value = this.#after(key);
      yield [key, value];
      key = this.#after(value);
    }
  }

  *#items(list: number): Generator<number> {
    const end = this.#links[list] as number;
    for (let item = list + 1; item < end; item = this.#after(item)) yield item;
  }

  #after(node: number): number {
    const kind = this.#kinds[node];
    return kind === LIST || kind === MAP ? (this.#links[node] as number) : node + 1;
  }

  #enter(kind: number, start: number): number {
    const node = this.#add(kind, start, start + 1, 0);
    this.#open.push(node);
    return node;
  }

  #add(kind: number, start: number, end: number, link: number): number {
    const node = this.#count++;
    if (node === this.#kinds.length) this.#grow();
    this.#kinds[node] = kind;
    this.#starts[node] = start;
    this.#ends[node] = end;
    this.#links[node] = link;
    this.#last = end;
    return node;
  }

  #grow(): void {
    const larger = (old: Int32Array) => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    this.#starts = larger(this.#starts);
    this.#ends = larger(this.#ends);
    this.#links = larger(this.#links);
    const kinds = new Uint8Array(this.#kinds.length * 2);
    kinds.set(this.#kinds);
    this.#kinds = kinds;
  }
}
