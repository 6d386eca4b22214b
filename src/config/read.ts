// From the text of a YAML file to plain values, with the place of each kept.
//
// The tree is walked by hand rather than with yaml's own conversion, so that each value is interpolated
// on the way and every JSON pointer leads back to its line and column.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { characterOf, offsetInSource } from './align.js';
import { interpolate, type Surroundings } from './interpolate.js';
import { child, parent } from './pointer.js';
import type { Place, Problem } from './problem.js';

/** Values after aliases are expanded: far above any real configuration, far below an alias bomb. */
const MAX_VALUES = 200_000;
/** Levels of nesting; the schema knows eight. */
const MAX_DEPTH = 32;
/** Keys whose text is a secret, or may be: private members of a JWK (RFC 7518, 6), and what holds whole keys. */
const SECRETS = new Set(['secret', 'password', 'inline', 'k', 'd', 'p', 'q', 'dp', 'dq', 'qi']);

/** Of these only texts: a map is one with keys of its own, or something that an operator has called so. */
const NAMES_TOO = new Set(['inline', 'password']);

type Span = readonly [start: number, end: number];

interface Origin {
  key: Span | null;
  value: Span;
  /** The string as it stands in the file, when the value is exactly that. */
  verbatim: string | null;
}

export class Source {
  readonly problems: Problem[] = [];
  /** Pointers of values that could not be read: what else is said about them is only an echo. */
  readonly unread = new Set<string>();
  readonly value: unknown;
  readonly #lines = new LineCounter();
  /** What is never shown. */
  readonly #secrets: Span[];
  readonly #origins = new Map<string, Origin>();
  readonly #from: Surroundings;
  readonly #anchors = new Map<string, Node>();
  /** Maps and sequences around the node being walked: an alias to one of them would never end. */
  readonly #open = new Set<Node>();
  #values = 0;
  #full = false;

  constructor(
    readonly file: string,
    readonly text: string,
    from: Surroundings,
  ) {
    this.#from = from;
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, uniqueKeys: true });
    this.#secrets = secretsOf(document);
    for (const { pos, code, message } of [...document.errors, ...document.warnings]) {
      if (code === 'DUPLICATE_KEY')
        this.#problem(this.#word(pos[0]), 'this key is written twice', 'keep one of the two');
      else this.#problem(pos, sentence(message));
    }
    // A tree with syntax errors has holes; what the schema would say about them only hides the error.
    const broken = document.errors.some(({ code }) => code !== 'DUPLICATE_KEY');
    this.value = broken ? undefined : this.#walk(document.contents, '', null);
  }

  /** Place of a value, or of its key; `bytes` narrows it down within a string. Falls back to what encloses it. */
  place(pointer: string, options: { key?: boolean; bytes?: Span } = {}): Place {
    const origin = this.#origins.get(pointer);
    if (!origin) return pointer === '' ? this.#placed([0, 1]) : this.place(parent(pointer), { key: true });
    if (options.key && origin.key) return this.#placed(origin.key);
    return this.#placed((options.bytes && this.#narrow(origin, options.bytes)) ?? origin.value);
  }

  /** What stands in the file, for a message: never what came from the environment or another file. */
  written(pointer: string): string {
    const origin = this.#origins.get(pointer);
    return origin ? this.#shown(...origin.value) : '';
  }

  #walk(node: unknown, at: string, key: Span | null): unknown {
    if (++this.#values > MAX_VALUES || this.#open.size > MAX_DEPTH) {
      if (!this.#full) this.#problem(key ?? [0, 1], 'the file is too large or nested too deeply');
      this.#full = true;
      return null;
    }
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target && !this.#open.has(target)) return this.#walk(target, at, key);
      this.#problem(span(node), `the anchor \`&${node.source}\` is not defined above`);
      this.unread.add(at);
      return null;
    }
    if (!isScalar(node) && !isMap(node) && !isSeq(node)) return null;
    if (node.anchor) this.#anchors.set(node.anchor, node);
    const value = span(node);
    // `key:` with nothing behind it has no place of its own.
    this.#origins.set(at, { key, value: value[0] === value[1] && key ? key : value, verbatim: null });
    if (isScalar(node)) return this.#scalar(node, at);
    this.#open.add(node);
    const inside = isSeq(node) ? this.#sequence(node, at) : this.#map(node, at);
    this.#open.delete(node);
    return inside;
  }

  #sequence(node: YAMLSeq, at: string): unknown[] {
    return node.items.map((item, index) => this.#walk(item, child(at, index), null));
  }

  #map(node: YAMLMap, at: string): Record<string, unknown> {
    const map: Record<string, unknown> = {};
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : null;
      if (name === null || name === '__proto__') {
        this.#problem(span(key), 'this cannot be a key');
        continue;
      }
      const below = child(at, name);
      this.#origins.set(below, { key: span(key), value: span(key), verbatim: null });
      map[name] = this.#walk(value, below, span(key));
    }
    return map;
  }

  #scalar(node: Scalar, at: string): unknown {
    const origin = this.#origins.get(at) as Origin;
    if (typeof node.value !== 'string') return node.value;
    const { text, changed, faults } = interpolate(node.value, this.#from);
    if (!changed) {
      origin.verbatim = node.value;
      return node.value;
    }
    for (const { start, end, message, hint } of faults) {
      const narrowed = this.#slice(origin, node.value, start, end);
      this.#problem(narrowed ?? origin.value, message, hint);
      this.unread.add(at);
    }
    // A plain scalar becomes what it would have been had the value stood there; a quoted one stays a string.
    if (node.type !== Scalar.PLAIN) return text;
    if (/^(true|false)$/.test(text)) return text === 'true';
    return /^-?(0|[1-9]\d{0,14})(\.\d{1,15})?$/.test(text) ? Number(text) : text;
  }

  #narrow(origin: Origin, [start, end]: Span): Span | null {
    const value = origin.verbatim;
    if (value === null) return null;
    return this.#slice(origin, value, characterOf(value, start), characterOf(value, end));
  }

  #slice({ value: [from, to] }: Origin, value: string, start: number, end: number): Span | null {
    const first = offsetInSource(value, start, this.text, from, to);
    if (first === null) return null;
    const last = end > start ? offsetInSource(value, end - 1, this.text, from, to) : null;
    return [first, last === null ? first + 1 : last + 1];
  }

  /** The word that starts at an offset, for errors that only know where it starts. */
  #word(start: number): Span {
    return [start, start + (/^[\w.-]+/.exec(this.text.slice(start, start + 100))?.[0].length ?? 1)];
  }

  #placed([start, end]: Span): Place {
    const { line, col } = this.#lines.linePos(Math.min(start, this.text.length));
    const from = start - (col - 1);
    const lineEnd = this.text.indexOf('\n', from);
    const text = this.#shown(from, lineEnd < 0 ? this.text.length : lineEnd).replace(/\r$/, '');
    const width = Math.max(1, Math.min(end - start, text.length - (col - 1)));
    return { file: this.file, line: Math.max(1, line), column: Math.max(1, col), width, text };
  }

  /** A stretch of the file; of the same width, for the carets. */
  #shown(from: number, to: number): string {
    let text = this.text.slice(from, to);
    for (const [start, end] of this.#secrets) {
      const [first, last] = [Math.max(start, from) - from, Math.min(end, to) - from];
      if (first < last) text = text.slice(0, first) + text.slice(first, last).replace(/\S/g, '*') + text.slice(last);
    }
    return text;
  }

  #problem(at: Span, message: string, hint?: string): void {
    this.problems.push({ severity: 'problem', place: this.#placed(at), message, ...(hint && { hint }) });
  }
}

/** Also of a file with syntax errors, which are shown with their lines. References name a secret and are none. */
function secretsOf(document: ReturnType<typeof parseDocument>): Span[] {
  const found: Span[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      const name = isScalar(key) ? String(key.value) : '';
      if (!SECRETS.has(name) || (NAMES_TOO.has(name) && !isScalar(value))) return;
      if (isScalar(value) && typeof value.value === 'string' && REFERENCE.test(value.value)) return;
      found.push(span(value));
    },
  });
  return found;
}

/** Nothing but one reference, without a default. */
const REFERENCE = /^\$\{(?:file:[^}]*|[^}:]*)\}$/;

function span(node: unknown): Span {
  const range = (node as Node | null)?.range;
  return range ? [range[0], range[1]] : [0, 1];
}

/** yaml's sentences start with a capital and end without a point; ours go on after a colon. */
function sentence(message: string): string {
  const first = message.split('\n', 1)[0] as string;
  return /^[A-Z][a-z]/.test(first) ? first[0]?.toLowerCase() + first.slice(1) : first;
}
