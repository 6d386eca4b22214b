// YAML 1.2 as values: a parser's events put together here, so that keys stay text, a key written twice is found with
// its place, and anchors cannot multiply what was written.

import {
  EVENT_ID,
  type Event,
  getScalarValue,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from 'js-yaml';
import { repeated } from './json.js';
import { type Fault, MAX_NESTING, MAX_VALUES, Outline, type Read, TOO_DEEP, TOO_MANY } from './outline.js';

/** Values that aliases and merges may add, in all: as many as GitHub's whole description has. */
const MAX_ALIASED = 500_000;
/** Characters that may begin a value, before anything is parsed: an event of the parser takes 70 bytes. */
const MAX_MARKS = 8_000_000;

interface Frame {
  node: number;
  flow: boolean;
  list: unknown[] | null;
  map: Record<string, unknown>;
  /** Of a map: the key whose value comes next; null when a key comes next. */
  key: Key | null;
  merges: { value: unknown; key: Key }[];
  anchor: Anchor | null;
  size: number;
  height: number;
}

interface Key {
  /** null for what cannot be a key, which was told. */
  name: string | null;
  merge: boolean;
  start: number;
  end: number;
}

interface Anchor {
  value: unknown;
  node: number;
  size: number;
  height: number;
  whole: boolean;
  /** What it says as a key; null for collections. */
  name: string | null;
}

export function readYaml(text: string): Read {
  if (tooManyMarks(text)) {
    return { value: undefined, outline: new Outline(() => null), faults: [{ start: 0, end: 1, ...TOO_MANY }] };
  }
  let events: Event[];
  try {
    events = parseEvents(text, { maxDepth: MAX_NESTING });
  } catch (error) {
    const start = error instanceof YAMLException ? (error.mark?.position ?? 0) : 0;
    const message = error instanceof YAMLException ? error.reason : 'this cannot be read as YAML';
    const fault = /^nesting exceeded/.test(message) ? TOO_DEEP : { message: CLEARER.get(message) ?? message };
    return { value: undefined, outline: new Outline(() => null), faults: [{ start, end: start + 1, ...fault }] };
  }
  return new Composer(text).compose(events);
}

class Composer {
  readonly #faults: Fault[] = [];
  readonly #frames: Frame[] = [];
  readonly #anchors = new Map<string, Anchor>();
  /** Keys whose text is not what stands in the file. */
  readonly #names = new Map<number, string>();
  readonly #outline: Outline;
  #root: unknown;
  #aliased = 0;

  constructor(private readonly text: string) {
    this.#outline = new Outline((node, [start, end]) => this.#names.get(node) ?? text.slice(start, end));
  }

  compose(events: readonly Event[]): Read {
    let documents = 0;
    for (const event of events) {
      if (event.type === EVENT_ID.DOCUMENT && ++documents === 2) {
        const start = Math.max(0, this.text.indexOf('\n---', Math.max(0, this.#outline.last - 1)) + 1);
        this.#fault(start, start + 3, 'a second document begins here', 'a description is one document');
        break;
      }
      this.#event(event);
      if (this.#outline.count > MAX_VALUES) this.#fault(0, 1, TOO_MANY.message, TOO_MANY.hint);
      if (this.#aliased > MAX_ALIASED || this.#outline.count > MAX_VALUES) break;
    }
    const faults = this.#faults;
    return { value: faults.length > 0 ? undefined : this.#root, outline: this.#outline, faults };
  }

  #event(event: Event): void {
    switch (event.type) {
      case EVENT_ID.SCALAR:
        this.#scalar(event);
        break;
      case EVENT_ID.ALIAS:
        this.#alias(event.anchorStart, event.anchorEnd);
        break;
      case EVENT_ID.POP:
        this.#pop();
        break;
      case EVENT_ID.SEQUENCE:
      case EVENT_ID.MAPPING: {
        const isList = event.type === EVENT_ID.SEQUENCE;
        const node = isList ? this.#outline.list(event.start) : this.#outline.map(event.start);
        const anchor = this.#anchor(event.anchorStart, event.anchorEnd, node);
        const [list, map] = [isList ? [] : null, {}];
        const flow = '[{'.includes(this.text.charAt(event.start));
        this.#frames.push({ node, flow, list, map, key: null, merges: [], anchor, size: 1, height: 1 });
      }
    }
  }

  #scalar(event: ScalarEvent): void {
    const quoted = event.style === SCALAR_STYLE.SINGLE_QUOTED || event.style === SCALAR_STYLE.DOUBLE_QUOTED;
    const absent = event.valueStart < 0;
    const start = absent ? this.#outline.last : event.valueStart - (quoted ? 1 : 0);
    const end = absent ? this.#outline.last : event.valueEnd + (quoted ? 1 : 0);
    const written = copied(getScalarValue(this.text, event));
    const node = this.#outline.scalar(start, end);
    const anchor = this.#anchor(event.anchorStart, event.anchorEnd, node);
    if (this.#keyIsNext()) {
      if (quoted || !event.fast) this.#names.set(node, written);
      const merge = written === '<<' && event.style === SCALAR_STYLE.PLAIN && event.tagStart < 0;
      if (anchor) Object.assign(anchor, { value: written, name: written, whole: true });
      this.#key({ name: written, merge, start, end });
      return;
    }
    const tag = event.tagStart < 0 ? '' : this.text.slice(event.tagStart, event.tagEnd);
    const plain = tag === '' ? event.style === SCALAR_STYLE.PLAIN : CORE_TAGS.has(tag);
    const value = plain ? resolve(written) : written;
    if (anchor) Object.assign(anchor, { value, name: written, whole: true });
    this.#value(value, 1, 0);
  }

  #alias(anchorStart: number, anchorEnd: number): void {
    const [start, name] = [anchorStart - 1, this.text.slice(anchorStart, anchorEnd)];
    const anchor = this.#anchors.get(name);
    const node = this.#outline.alias(start, anchorEnd, anchor?.node ?? 0);
    if (!anchor) this.#fault(start, anchorEnd, `the anchor \`&${name}\` is not defined above`);
    else if (!anchor.whole) this.#fault(start, anchorEnd, 'this alias stands inside what it stands for', USE_REF);
    if (this.#keyIsNext()) {
      const key = { name: anchor?.name ?? null, merge: false, start, end: anchorEnd };
      if (key.name === null && anchor) this.#fault(start, anchorEnd, NO_KEY);
      if (key.name !== null) this.#names.set(node, key.name);
      this.#key(key);
      return;
    }
    if (!anchor?.whole) {
      this.#value(null, 1, 0);
      return;
    }
    this.#add(anchor.size, start, anchorEnd);
    if (this.#frames.length + anchor.height > MAX_NESTING) this.#fault(start, anchorEnd, TOO_DEEP.message);
    this.#value(anchor.value, anchor.size, anchor.height);
  }

  #pop(): void {
    const frame = this.#frames.pop();
    // The end of the document.
    if (!frame) return;
    this.#outline.close(frame.flow ? this.#bracket() : undefined);
    for (const { value, key } of frame.merges) this.#merge(frame, value, key);
    const value = frame.list ?? frame.map;
    if (frame.anchor) {
      Object.assign(frame.anchor, { value, size: frame.size, height: frame.height, whole: true });
    }
    if (this.#keyIsNext()) {
      const start = this.#outline.last - 1;
      this.#fault(start, start + 1, NO_KEY);
      this.#key({ name: null, merge: false, start, end: start + 1 });
    } else this.#value(value, frame.size, frame.height);
  }

  #keyIsNext(): boolean {
    const frame = this.#frames.at(-1);
    return frame !== undefined && frame.list === null && frame.key === null;
  }

  #key(key: Key): void {
    const frame = this.#frames.at(-1) as Frame;
    frame.key = key;
    if (key.name === null || key.merge) return;
    if (Object.hasOwn(frame.map, key.name)) this.#faults.push(repeated([key.start, key.end]));
    else put(frame.map, key.name, null);
  }

  #value(value: unknown, size: number, height: number): void {
    const frame = this.#frames.at(-1);
    if (!frame) {
      this.#root = value;
      return;
    }
    frame.size += size;
    frame.height = Math.max(frame.height, height + 1);
    if (frame.list) frame.list.push(value);
    else if (frame.key?.merge) frame.merges.push({ value, key: frame.key });
    else if (frame.key?.name != null) put(frame.map, frame.key.name, value);
    frame.key = null;
  }

  /** Members of maps that `<<` names; what is written out wins, then what was named first. */
  #merge(frame: Frame, value: unknown, { start, end }: Key): void {
    for (const source of Array.isArray(value) ? value : [value]) {
      if (typeof source !== 'object' || source === null || Array.isArray(source)) {
        this.#fault(start, end, '`<<` takes a map, or a list of maps');
        return;
      }
      const names = Object.keys(source);
      this.#add(names.length, start, end);
      if (this.#aliased > MAX_ALIASED) return;
      for (const name of names) if (!Object.hasOwn(frame.map, name)) put(frame.map, name, source[name as never]);
    }
  }

  #anchor(start: number, end: number, node: number): Anchor | null {
    if (start < 0) return null;
    const anchor: Anchor = { value: null, node, size: 1, height: 0, whole: false, name: null };
    this.#anchors.set(this.text.slice(start, end), anchor);
    return anchor;
  }

  /** Where the flow collection that ends here ends; what its last value is followed by is nearly always its bracket. */
  #bracket(): number {
    let at = this.#outline.last;
    while (' \t\r\n,'.includes(this.text.charAt(at)) && at < this.text.length) at++;
    return ']}'.includes(this.text.charAt(at)) ? at + 1 : at;
  }

  #add(values: number, start: number, end: number): void {
    const before = this.#aliased;
    this.#aliased += values;
    if (before <= MAX_ALIASED && this.#aliased > MAX_ALIASED) {
      this.#fault(start, end, `aliases stand for more than ${MAX_ALIASED} values in all`, USE_REF);
    }
  }

  #fault(start: number, end: number, message: string, hint?: string): void {
    this.#faults.push({ start, end, message, ...(hint && { hint }) });
  }
}

/** What the parser says too shortly. */
const CLEARER = new Map([
  ['deficient indentation', 'what a bracket or quote opens here is not closed, or goes on with too little indentation'],
  ['can not read a document', 'this cannot be read as YAML'],
]);
const NO_KEY = 'this cannot be a key';
const USE_REF = 'write it out, or use `$ref`';
/** Tags under which a scalar means what it would mean without quotes. */
const CORE_TAGS = new Set(['!!null', '!!bool', '!!int', '!!float']);

/** What a scalar without quotes means: the core schema of YAML 1.2 (10.3.2), nothing of 1.1. */
function resolve(text: string): unknown {
  if (!/^[-+.0-9~nNtTfF]|^$/.test(text)) return text;
  if (/^(~|null|Null|NULL|)$/.test(text)) return null;
  if (/^(true|True|TRUE|false|False|FALSE)$/.test(text)) return /^t/i.test(text);
  if (/^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$/.test(text)) return Number(text);
  if (/^0o[0-7]+$|^0x[0-9a-fA-F]+$/.test(text)) return Number(text);
  if (/^[-+]?\.(inf|Inf|INF)$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity;
  return /^\.(nan|NaN|NAN)$/.test(text) ? Number.NaN : text;
}

function put(map: Record<string, unknown>, name: string, value: unknown): void {
  // An assignment to it would set the prototype.
  if (name !== '__proto__') map[name] = value;
  else Object.defineProperty(map, name, { value, writable: true, enumerable: true, configurable: true });
}

function tooManyMarks(text: string): boolean {
  if (text.length <= MAX_MARKS) return false;
  let marks = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    // Line feed, comma, hyphen, colon, question mark, brackets.
    if (code === 0x0a || code === 0x2c || code === 0x2d || code === 0x3a || code === 0x3f || (code | 0x20) === 0x7b) {
      marks++;
    }
  }
  return marks > MAX_MARKS;
}

/** The same characters by themselves: a part cut out of a large text keeps all of it in memory. */
export function copied(part: string): string {
  return part.length < 13 ? part : ` ${part}`.slice(1);
}
