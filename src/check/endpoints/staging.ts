// Off, log or block: what is said for the host, for a document and for one operation becomes one stage per operation.
//
// The innermost word wins. Where nobody speaks of unknown query parameters they follow the operation's `action`: what
// is not described is not allowed, and one word stages all of it.

import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyAction, PolicyResponses } from '../../config/policy.js';
import { suggest } from '../../config/suggest.js';
import type { Document, Overrides } from './config.js';

export interface Stage {
  action: PolicyAction;
  unknownQuery: PolicyAction;
  responses: 'off' | PolicyResponses['action'];
}

/** From the outermost to the innermost; the host says something about all but `unknownQuery`. */
export function stage(levels: readonly Overrides[]): Stage {
  let [action, unknownQuery, responses]: [PolicyAction, Overrides['unknownQuery'], Stage['responses']] = [
    'block',
    undefined,
    'off',
  ];
  for (const level of levels) {
    action = level.action ?? action;
    unknownQuery = level.unknownQuery ?? unknownQuery;
    responses = level.responses?.action ?? responses;
  }
  const unknown = unknownQuery ?? action;
  return { action, unknownQuery: unknown === 'ignore' ? 'off' : unknown, responses };
}

interface Entry {
  key: string;
  overrides: Overrides;
  used: boolean;
  /** Another key that names the same operation. */
  rival: string | null;
}

/** What is written under `operations` of a host or of a document. */
export class Overridden {
  readonly #entries = new Map<string, Entry>();
  /** What could have been written, for suggestions. */
  readonly #known = new Set<string>();

  constructor(
    operations: Document['operations'],
    private readonly at: string,
  ) {
    for (const [key, overrides] of Object.entries(operations)) {
      this.#entries.set(normal(key), { key, overrides, used: false, rival: null });
    }
  }

  /** What is said for the operation that goes by these names: `operationId`, `METHOD /path` with and without base. */
  of(names: readonly string[]): Overrides {
    for (const name of names) this.#known.add(name);
    const [first, second] = new Set(names.flatMap(name => this.#entries.get(name) ?? []));
    if (first === undefined) return {};
    first.used = true;
    if (second !== undefined) {
      second.used = true;
      second.rival = first.key;
    }
    return first.overrides;
  }

  /** Tells of keys that name no operation, or one that another key names. */
  report(loading: Loading): void {
    for (const { key, used, rival } of this.#entries.values()) {
      const at = child(this.at, key);
      if (rival !== null) {
        loading.problem(at, `\`${key}\` names the same operation as \`${rival}\``, { key: true, hint: 'keep one' });
      } else if (!used) {
        const meant = suggest(key, this.#known);
        const hint = meant ? `did you mean \`${meant}\`?` : 'write its `operationId`, or `METHOD /path` as described';
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
