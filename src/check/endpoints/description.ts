// An OpenAPI description as plain values, with the place of each, and its references looked up.
//
// JSON is YAML: one reader serves both. Places are found on demand, by walking the tree that yaml kept: a large
// description has a hundred thousand values and a handful of remarks.

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { path as tokens, at as valueAt } from '../../config/pointer.js';
import type { Place, Problem } from '../../config/problem.js';

/** How often anchors may be used, times what they expand to: yaml's own default against alias bombs. */
const MAX_ALIASES = 100;
/** A reference that leads to a reference: longer chains are not written by anybody. */
const MAX_REFERENCES = 16;

export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value and where it stands. */
export interface Found {
  value: unknown;
  pointer: string;
}

export class Description {
  readonly problems: Problem[] = [];
  /** undefined when the text is not YAML. */
  readonly root: unknown;
  readonly #document: Document;
  readonly #lines = new LineCounter();

  constructor(
    readonly file: string,
    readonly text: string,
  ) {
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false, merge: true });
    for (const { pos, code, message } of this.#document.errors) {
      this.#add(
        'problem',
        this.#placed(pos[0], pos[1]),
        code === 'DUPLICATE_KEY' ? 'this key is written twice' : sentence(message),
      );
    }
    if (this.problems.length > 0) return;
    try {
      this.root = this.#document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch (error) {
      this.#add('problem', this.#placed(0, 1), sentence((error as Error).message), 'write anchors out, or use `$ref`');
    }
  }

  problem(pointer: string, message: string, hint?: string): void {
    this.#add('problem', this.place(pointer), message, hint);
  }

  warning(pointer: string, message: string, hint?: string): void {
    this.#add('warning', this.place(pointer), message, hint);
  }

  /** Place of a member's key, of a list's item; of what encloses it when it is not in the file itself. */
  place(pointer: string): Place {
    let node: unknown = this.#document.contents;
    let nearest = node;
    for (const token of tokens(pointer)) {
      if (isAlias(node)) node = node.resolve(this.#document);
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === token);
        if (!pair) break;
        nearest = pair.key;
        node = pair.value;
      } else if (isSeq(node)) {
        const item: unknown = node.items[Number(token)];
        if (!item) break;
        nearest = item;
        node = item;
      } else break;
    }
    const range = (nearest as Node | null)?.range;
    return this.#placed(range?.[0] ?? 0, range?.[1] ?? 1);
  }

  /** Follows a `$ref` that stands in place of a value; null when it leads nowhere, which is a problem. */
  follow(found: Found): Found | null {
    let { value, pointer } = found;
    for (let step = 0; isMapping(value) && Object.hasOwn(value, '$ref'); step++) {
      const target = this.target(value.$ref, `${pointer}/$ref`);
      if (target === null) return null;
      if (step === MAX_REFERENCES) {
        this.problem(`${pointer}/$ref`, 'this reference leads back to itself');
        return null;
      }
      ({ value, pointer } = target);
    }
    return { value, pointer };
  }

  /** What one `$ref` names. `at` is the place of the reference. */
  target(reference: unknown, at: string): Found | null {
    if (typeof reference !== 'string') {
      this.problem(at, '`$ref` is not text');
      return null;
    }
    if (!reference.startsWith('#')) {
      this.problem(
        at,
        `\`${reference}\`: references to other files are not supported yet`,
        'bundle the description into one file',
      );
      return null;
    }
    const pointer = decode(reference.slice(1));
    if (pointer === null || (pointer !== '' && !pointer.startsWith('/'))) {
      this.problem(
        at,
        `\`${reference}\`: only JSON pointers are supported yet`,
        'such as `#/components/schemas/Order`',
      );
      return null;
    }
    const value = valueAt(this.root, pointer);
    if (value === undefined) {
      this.problem(at, `\`${reference}\` leads nowhere`);
      return null;
    }
    return { value, pointer };
  }

  /** What a reference names, without a word when it names nothing. */
  peek(reference: string, _base?: string): unknown {
    const pointer = reference.startsWith('#') ? decode(reference.slice(1)) : null;
    return pointer === null ? undefined : valueAt(this.root, pointer);
  }

  #add(severity: Problem['severity'], place: Place, message: string, hint?: string): void {
    this.problems.push({ severity, place, message, ...(hint && { hint }) });
  }

  #placed(start: number, end: number): Place {
    const { line, col } = this.#lines.linePos(Math.min(start, this.text.length));
    const from = start - (col - 1);
    const lineEnd = this.text.indexOf('\n', from);
    // A line of a minified description is megabytes long: what is shown of it is not.
    const text = this.text
      .slice(from, Math.min(lineEnd < 0 ? this.text.length : lineEnd, start + 200))
      .replace(/\r$/, '');
    const width = Math.max(1, Math.min(end - start, text.length - (col - 1)));
    const place: Place = { file: this.file, line: Math.max(1, line), column: Math.max(1, col), width, text };
    return col > 200 ? { ...place, text: '', width: 1 } : place;
  }
}

/** Fragments are percent-encoded (RFC 3986, 3.5). */
function decode(fragment: string): string | null {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return null;
  }
}

function sentence(message: string): string {
  const first = message.split('\n', 1)[0] as string;
  return /^[A-Z][a-z]/.test(first) ? first[0]?.toLowerCase() + first.slice(1) : first;
}
