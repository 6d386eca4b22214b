// `readOnly` and `writeOnly` by direction: what only responses hold is no part of requests, and the other way round.
//
// A schema that says neither anywhere below itself means the same in both directions, and is compiled once.

import { child } from '../../config/pointer.js';
import { type Found, isMapping, type Mapping } from './description.js';
import { DEFINITIONS, type Draft, kindOf, referencesStandAlone } from './keywords.js';
import type { References } from './references.js';

export type Direction = 'request' | 'response';

/** References to references and parts of parts: real ones stay below 10. */
const MAX_PARTS = 64;
const FLAGS = { request: 'readOnly', response: 'writeOnly' } as const;
const NONE: ReadonlySet<string> = new Set();

export class Directions {
  /** By the pointer of a schema. */
  readonly #same = new Set<string>();
  readonly #different = new Set<string>();
  readonly #hidden = {
    request: new Map<string, ReadonlySet<string>>(),
    response: new Map<string, ReadonlySet<string>>(),
  };

  constructor(private readonly references: References) {}

  /** Whether a member, by its schema, is none of this direction's. */
  isHidden(member: Found, direction: Direction): boolean {
    return this.#parts(member).some(({ value }) => (value as Mapping)[FLAGS[direction]] === true);
  }

  /** Members that a schema, or what it is composed of by `allOf` and `$ref`, says are none of this direction's. */
  hidden(schema: Found, direction: Direction): ReadonlySet<string> {
    const known = this.#hidden[direction].get(schema.pointer);
    if (known) return known;
    const names = new Set<string>();
    for (const { value, pointer } of this.#parts(schema)) {
      const { properties } = value as Mapping;
      if (!isMapping(properties)) continue;
      const at = child(pointer, 'properties');
      for (const [name, member] of Object.entries(properties)) {
        if (this.isHidden({ value: member, pointer: child(at, name) }, direction)) names.add(name);
      }
    }
    const hidden = names.size > 0 ? names : NONE;
    this.#hidden[direction].set(schema.pointer, hidden);
    return hidden;
  }

  /** Names that a schema and its parts require. */
  required(schema: Found): Set<string> {
    return new Set(
      this.#parts(schema).flatMap(({ value }) => {
        const { required } = value as Mapping;
        return Array.isArray(required) ? (required as string[]) : [];
      }),
    );
  }

  /** Whether a schema means something else for requests than for responses, in any schema that it leads to. */
  differs(schema: Found): boolean {
    if (this.#different.has(schema.pointer)) return true;
    const seen = new Set<string>();
    // An alias of YAML is one value in several places, and can even hold itself.
    const values = new Set<unknown>();
    const open = [schema];
    for (let found = open.pop(); found; found = open.pop()) {
      if (values.has(found.value) || this.#same.has(found.pointer)) continue;
      if (this.#different.has(found.pointer) || this.#flagged(found)) {
        this.#different.add(schema.pointer);
        return true;
      }
      seen.add(found.pointer);
      if (isMapping(found.value)) values.add(found.value);
      open.push(...this.#below(found));
    }
    for (const pointer of seen) this.#same.add(pointer);
    return false;
  }

  #flagged({ value, pointer }: Found): boolean {
    if (!isMapping(value) || !isMapping(value.properties)) return false;
    const at = child(pointer, 'properties');
    return Object.entries(value.properties).some(([name, member]) => {
      const found = { value: member, pointer: child(at, name) };
      return this.isHidden(found, 'request') || this.isHidden(found, 'response');
    });
  }

  #below({ value, pointer }: Found): Found[] {
    if (!isMapping(value)) return [];
    const draft = this.references.draftAt(pointer);
    const below: Found[] = [];
    for (const keyword of ['$ref', '$dynamicRef']) {
      if (typeof value[keyword] !== 'string') continue;
      const target = this.references.resolve(value[keyword], child(pointer, keyword));
      // What a dynamic reference leads to is in the resource, or in one that refers to it.
      const whole = target && this.references.embedding(target.pointer)?.found;
      if (target) below.push(whole ?? target);
    }
    if (typeof value.$ref === 'string' && referencesStandAlone(draft)) return below;
    for (const [keyword, inside] of Object.entries(value)) {
      const at = child(pointer, keyword);
      const kind = DEFINITIONS.includes(keyword) ? 'map' : kindOf(keyword, draft);
      if (kind === 'schema' || (kind === 'items' && !Array.isArray(inside))) below.push({ value: inside, pointer: at });
      else if ((kind === 'schemas' || kind === 'items') && Array.isArray(inside)) {
        below.push(...inside.map((item, index) => ({ value: item, pointer: child(at, index) })));
      } else if ((kind === 'map' || kind === 'dependencies') && isMapping(inside)) {
        below.push(...Object.entries(inside).map(([name, item]) => ({ value: item, pointer: child(at, name) })));
      }
    }
    return below;
  }

  /** A schema, what its `$ref` names, and the parts of `allOf`, theirs too. All of them are mappings. */
  #parts(schema: Found): Found[] {
    const parts: Found[] = [];
    const open = [schema];
    for (let found = open.pop(); found && parts.length < MAX_PARTS; found = open.pop()) {
      const { value, pointer } = found;
      if (!isMapping(value) || parts.some(part => part.value === value)) continue;
      const alone = typeof value.$ref === 'string' && referencesStandAlone(this.#draft(pointer));
      if (!alone) parts.push(found);
      if (typeof value.$ref === 'string') {
        const target = this.references.resolve(value.$ref, child(pointer, '$ref'));
        if (target) open.push(target);
      }
      if (!alone && Array.isArray(value.allOf)) {
        const at = child(pointer, 'allOf');
        open.push(...value.allOf.map((part, index) => ({ value: part, pointer: child(at, index) })));
      }
    }
    return parts;
  }

  #draft(pointer: string): Draft {
    return this.references.draftAt(pointer);
  }
}
