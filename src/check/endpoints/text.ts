// One file of a description: its text as plain values, and where each stands.

import type { Place } from '../../config/problem.js';
import { readJson } from './json.js';
import type { Fault, Outline } from './outline.js';
import { copied, readYaml } from './yaml.js';

/** What is shown of a line: one of a minified description is megabytes long. */
const SHOWN = 200;

export class Text {
  readonly value: unknown;
  readonly faults: readonly Fault[];
  readonly #text: string;
  readonly #outline: Outline;
  #lines: Int32Array | null = null;

  /** `shown`: how the file is called in remarks. */
  constructor(
    readonly shown: string,
    text: string,
  ) {
    this.#text = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    // JSON is YAML, and what is nearly JSON often too: only what is JSON throughout is read as such.
    const read = (/^\s*\{/.test(this.#text) ? readJson(this.#text) : null) ?? readYaml(this.#text);
    this.value = read.value;
    this.faults = read.faults;
    this.#outline = read.outline;
  }

  /** Whether the text says this anywhere, be it in prose. */
  mentions(what: RegExp): boolean {
    return what.test(this.#text);
  }

  /** Place of a member's key, of a list's item; of what encloses it when it is not in the file itself. */
  place(path: readonly string[]): Place {
    return this.placed(...this.#outline.locate(path));
  }

  placed(start: number, end: number): Place {
    const line = this.#line(start);
    const from = this.#starts()[line] as number;
    const lineEnd = this.#text.indexOf('\n', from);
    const text = this.#text
      .slice(from, Math.min(lineEnd < 0 ? this.#text.length : lineEnd, start + SHOWN))
      .replace(/\r$/, '');
    const column = start - from + 1;
    const width = Math.max(1, Math.min(end - start, text.length - (column - 1)));
    const place = { file: this.shown, line: line + 1, column };
    return column > SHOWN ? { ...place, text: '', width: 1 } : { ...place, text: copied(text), width };
  }

  #line(offset: number): number {
    const starts = this.#starts();
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #starts(): Int32Array {
    if (this.#lines) return this.#lines;
    const starts = [0];
    for (let at = this.#text.indexOf('\n'); at >= 0; at = this.#text.indexOf('\n', at + 1)) starts.push(at + 1);
    this.#lines = Int32Array.from(starts);
    return this.#lines;
  }
}
