// A strict reader of structured fields (RFC 9651): what is not exactly in the grammar throws. Only lists and what is in
// them, without dates and display strings; written from the RFC alone, so that what writes the fields is judged by it.

/** A token, to tell it from a string. */
export class Token {
  constructor(readonly name: string) {}
}

export type Bare = number | string | boolean | Token | Buffer;

export interface Item {
  value: Bare;
  parameters: Record<string, Bare>;
}

/** Inner lists are refused: none of our fields has one. */
export function parseList(field: string): Item[] {
  const text = new Text(field);
  const items: Item[] = [];
  text.take(/ */y);
  if (text.atEnd()) return items;
  for (;;) {
    items.push({ value: bare(text), parameters: parameters(text) });
    text.take(/[ \t]*/y);
    if (text.atEnd()) return items;
    text.must(/,/y, 'a comma');
    text.take(/[ \t]*/y);
    if (text.atEnd()) text.fail('a member after the comma');
  }
}

function parameters(text: Text): Record<string, Bare> {
  const found: Record<string, Bare> = {};
  while (text.take(/;/y) !== null) {
    text.take(/ */y);
    const name = text.must(/[a-z*][a-z0-9_.*-]*/y, 'the name of a parameter');
    // The RFC lets the last one win; nobody should write it twice.
    if (name in found) text.fail(`${name} only once`);
    found[name] = text.take(/=/y) === null ? true : bare(text);
  }
  return found;
}

function bare(text: Text): Bare {
  const boolean = text.take(/\?[01](?![A-Za-z0-9])/y);
  if (boolean !== null) return boolean === '?1';
  const number = text.take(/-?\d+(\.\d+)?/y);
  if (number !== null) {
    const [whole = '', fraction] = number.replace('-', '').split('.');
    if (fraction === undefined ? whole.length > 15 : whole.length > 12 || fraction.length > 3)
      text.fail('fewer digits');
    return Number(number);
  }
  const string = text.take(/"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/y);
  if (string !== null) return string.slice(1, -1).replace(/\\(["\\])/g, '$1');
  const bytes = text.take(/:[A-Za-z0-9+/]*={0,2}:/y);
  if (bytes !== null) return Buffer.from(bytes.slice(1, -1), 'base64');
  return new Token(text.must(/[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/y, 'an item'));
}

class Text {
  #at = 0;

  constructor(readonly all: string) {
    if (!/^[\x20-\x7e\t]*$/.test(all)) throw new Error(`is no structured field: ${JSON.stringify(all)}`);
    // Spaces behind the last member are allowed, tabs are not.
    this.all = all.replace(/ +$/, '');
  }

  atEnd(): boolean {
    return this.#at === this.all.length;
  }

  /** What a sticky pattern finds here; null, and nothing is taken, when it is not here. */
  take(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.all)?.[0] ?? null;
    this.#at += found?.length ?? 0;
    return found;
  }

  must(pattern: RegExp, what: string): string {
    return this.take(pattern) ?? this.fail(what);
  }

  fail(wanted: string): never {
    throw new Error(`${JSON.stringify(this.all)} is no structured field: at ${this.#at} it should have ${wanted}`);
  }
}
