// What is written for single operations: by `operationId`, or by `METHOD /path` as described.

import type { Loading } from './loading.js';
import { child } from './pointer.js';
import { suggest } from './suggest.js';

/** What is said for one operation, and where. */
export interface Said<T> {
  overrides: T;
  at: string;
}

interface Entry<T> {
  key: string;
  overrides: T;
  used: boolean;
  /** Another key that names the same operation. */
  rival: string | null;
}

export class Overridden<T> {
  readonly #entries = new Map<string, Entry<T>>();
  /** Keys that another one spells differently: `get /a` beside `GET /a`. */
  readonly #twice: Entry<T>[] = [];
  /** What could have been written, for suggestions. */
  readonly #known = new Set<string>();

  constructor(
    operations: Readonly<Record<string, T>>,
    private readonly at: string,
    private readonly otherwise = 'write its `operationId`, or `METHOD /path` as described',
  ) {
    for (const [key, overrides] of Object.entries(operations)) {
      const first = this.#entries.get(normal(key));
      const entry = { key, overrides, used: true, rival: first?.key ?? null };
      if (first) this.#twice.push(entry);
      else this.#entries.set(normal(key), { ...entry, used: false });
    }
  }

  /** What is said for the operation that goes by these names: `operationId`, `METHOD /path` with and without base. */
  of(names: readonly string[]): Said<T> | null {
    for (const name of names) this.#known.add(name);
    const [first, second] = new Set(names.flatMap(name => this.#entries.get(normal(name)) ?? []));
    if (first === undefined) return null;
    first.used = true;
    if (second !== undefined) {
      second.used = true;
      second.rival = first.key;
    }
    return { overrides: first.overrides, at: child(this.at, first.key) };
  }

  /** Tells of keys that name no operation, or one that another key names. */
  report(loading: Loading): void {
    for (const { key, used, rival } of [...this.#entries.values(), ...this.#twice]) {
      const at = child(this.at, key);
      if (rival !== null) {
        loading.problem(at, `\`${key}\` names the same operation as \`${rival}\``, { key: true, hint: 'keep one' });
      } else if (!used) {
        const meant = suggest(key, this.#known);
        const hint = meant ? `did you mean \`${meant}\`?` : this.otherwise;
        loading.problem(at, `no operation is called \`${key}\``, { key: true, hint });
      }
    }
  }
}

/** Methods are sent in capitals: `post /orders` is surely `POST /orders`. */
function normal(key: string): string {
  const [, method, path] = /^([A-Za-z]+) +(\/.*)$/.exec(key) ?? [];
  return method === undefined ? key : `${method.toUpperCase()} ${path}`;
}
