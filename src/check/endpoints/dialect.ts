// Schemas of OpenAPI 3.0 and 3.1 as one JSON Schema of draft 2020-12, for the direction of requests.
//
// Every schema that a `$ref` names is written once, under `$defs`; every body is one of `properties`. Keywords that
// never change a verdict are dropped, so that what reaches the engine is what is enforced.

import { child, path } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import { patternFault } from './patterns.js';
import type { Unchecked } from './remarks.js';

/** Schemas within schemas, as written; references start again. Real ones stay below 20. */
const MAX_DEPTH = 64;
const INT32 = { least: -2_147_483_648, most: 2_147_483_647 };

type Kind =
  | 'schema'
  | 'schemas'
  | 'map'
  | 'number'
  | 'positive'
  | 'count'
  | 'text'
  | 'flag'
  | 'names'
  | 'list'
  | 'any'
  | 'dependencies'
  | 'type';

/** Keywords that decide, of both versions. */
const SHARED = keywords({
  type: 'type',
  number: 'maximum minimum',
  positive: 'multipleOf',
  count: 'maxLength minLength maxItems minItems maxProperties minProperties',
  text: 'pattern format',
  flag: 'uniqueItems',
  names: 'required',
  list: 'enum',
  schema: 'not items additionalProperties',
  schemas: 'allOf anyOf oneOf',
  map: 'properties',
});
/** Keywords that decide in OpenAPI 3.1 only. */
const SINCE_31 = keywords({
  any: 'const',
  number: 'exclusiveMaximum exclusiveMinimum',
  count: 'maxContains minContains',
  schema: 'contains propertyNames if then else unevaluatedItems unevaluatedProperties',
  schemas: 'prefixItems',
  map: 'patternProperties dependentSchemas',
  dependencies: 'dependentRequired',
});
/** Keywords that decide nothing, or are read with another keyword. */
const SILENT = new Set(
  (
    'title description default example examples deprecated readOnly writeOnly discriminator externalDocs xml nullable ' +
    'exclusiveMaximum exclusiveMinimum $comment $id $anchor $dynamicAnchor $defs definitions ' +
    'contentEncoding contentMediaType contentSchema'
  ).split(' '),
);
/** Draft 2020-12 and OpenAPI 3.1's own dialect, which adds only annotations to it. */
const DIALECTS = /^https:\/\/(json-schema\.org\/draft\/2020-12\/schema|spec\.openapis\.org\/oas\/3\.1\/dialect\/.*)#?$/;
const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];
const OTHER_KEYWORD =
  'keyword is unknown to this version of OpenAPI and not enforced|keywords are unknown to this version of OpenAPI and not enforced';
const OTHER_DIALECT = 'schema dialect is read as draft 2020-12|schema dialects are read as draft 2020-12';
const LONE_NULLABLE = '`nullable` without `type` has no effect|`nullable` without `type` have no effect';

export class Dialect {
  readonly #properties: Mapping = Object.create(null);
  readonly #defs: Mapping = Object.create(null);
  /** Where each property and definition was written, for the problems that the engine finds. */
  readonly origins = new Map<string, string>();
  readonly #names = new Map<string, string>();
  readonly #bodies = new Map<string, string>();
  readonly #waiting: { name: string; found: Found }[] = [];

  constructor(
    private readonly description: Description,
    private readonly unchecked: Unchecked,
    private readonly modern: boolean,
  ) {}

  /** The name of the property that checks a body; a body without a schema still has to be JSON. */
  body(schema: Found | null): string {
    const known = this.#bodies.get(schema?.pointer ?? '');
    if (known !== undefined) return known;
    const name = `body${this.#bodies.size}`;
    this.#bodies.set(schema?.pointer ?? '', name);
    this.origins.set(`/properties/${name}`, schema?.pointer ?? '');
    this.#properties[name] = schema ? this.#convert(schema.value, schema.pointer, 0, new Set()) : true;
    while (this.#waiting.length > 0) {
      const { name, found } = this.#waiting.pop() as { name: string; found: Found };
      this.#defs[name] = this.#convert(found.value, found.pointer, 0, new Set());
    }
    return name;
  }

  /** A dialect that the description names: what it means beyond draft 2020-12 is not enforced. */
  named(dialect: unknown, at: string): void {
    if (typeof dialect !== 'string' || !DIALECTS.test(dialect)) this.unchecked.add(OTHER_DIALECT, at);
  }

  root(): unknown {
    return { $defs: this.#defs, properties: this.#properties };
  }

  /** `inherited`: members that an enclosing `allOf` says are read-only. */
  #convert(schema: unknown, at: string, depth: number, inherited: ReadonlySet<string>): unknown {
    if (typeof schema === 'boolean' && (this.modern || at.endsWith('/additionalProperties'))) return schema;
    if (!isMapping(schema)) return this.#broken(at, 'this is not a schema');
    if (depth > MAX_DEPTH) return this.#broken(at, 'schemas are nested too deeply here');
    const out: Mapping = Object.create(null);
    if (Object.hasOwn(schema, '$ref')) {
      const name = this.#reference(schema.$ref, child(at, '$ref'));
      if (name === null) return false;
      out.$ref = `#/$defs/${name}`;
      // In OpenAPI 3.0 a reference stands alone: what is written beside it does not count.
      if (!this.modern) return out;
    }
    const readOnly = new Set([...inherited, ...this.#readOnly(schema, 0)]);
    for (const [keyword, value] of Object.entries(schema)) {
      const below = child(at, keyword);
      const kind = this.#kind(keyword);
      if (kind !== undefined) {
        const inside = keyword === 'allOf' ? readOnly : new Set<string>();
        const converted = this.#keyword(kind, value, below, depth + 1, inside);
        if (converted !== undefined) out[keyword] = converted;
      } else if (keyword === '$dynamicRef' || keyword === '$recursiveRef') {
        this.#broken(below, `\`${keyword}\` is not supported yet`, 'use `$ref`');
      } else if (keyword === '$schema') {
        this.named(value, below);
      } else if (keyword !== '$ref' && !SILENT.has(keyword) && !keyword.startsWith('x-')) {
        this.unchecked.add(OTHER_KEYWORD, below);
      }
    }
    // A server fills in what is read-only: a request need not hold it, even when it is required.
    if (Array.isArray(out.required)) {
      const required = out.required.filter(name => !readOnly.has(name as string));
      if (required.length > 0) out.required = required;
      else delete out.required;
    }
    if (!this.modern) this.#older(schema, out, at);
    if (out.format === 'int32') {
      if (typeof out.minimum !== 'number' || out.minimum < INT32.least) out.minimum = INT32.least;
      if (typeof out.maximum !== 'number' || out.maximum > INT32.most) out.maximum = INT32.most;
    }
    return out;
  }

  #kind(keyword: string): Kind | undefined {
    return SHARED.get(keyword) ?? (this.modern ? SINCE_31.get(keyword) : undefined);
  }

  #keyword(kind: Kind, value: unknown, at: string, depth: number, readOnly: ReadonlySet<string>): unknown {
    switch (kind) {
      case 'schema':
        return this.#convert(value, at, depth, readOnly);
      case 'schemas':
        if (!Array.isArray(value) || value.length === 0) return this.#broken(at, 'expected a list of schemas');
        return value.map((item, index) => this.#convert(item, child(at, index), depth, readOnly));
      case 'map': {
        if (!isMapping(value)) return this.#broken(at, 'expected a map of schemas');
        const out: Mapping = Object.create(null);
        for (const [name, item] of Object.entries(value)) {
          if (at.endsWith('/patternProperties')) this.#pattern(name, child(at, name));
          out[name] = this.#convert(item, child(at, name), depth, readOnly);
        }
        return out;
      }
      case 'type':
        return this.#type(value, at);
      case 'dependencies': {
        if (!isMapping(value)) return this.#broken(at, 'expected a map of lists of names');
        for (const [name, list] of Object.entries(value))
          this.#keyword('names', list, child(at, name), depth, readOnly);
        return value;
      }
      default: {
        const expected = PLAIN[kind];
        if (!expected.holds(value)) return this.#broken(at, `expected ${expected.name}`);
        if (at.endsWith('/pattern')) this.#pattern(value as string, at);
        return value;
      }
    }
  }

  #type(value: unknown, at: string): unknown {
    const known = (name: unknown) =>
      typeof name === 'string' && TYPES.includes(name) && (this.modern || name !== 'null');
    if (known(value)) return value;
    if (this.modern && Array.isArray(value) && value.length > 0 && value.every(known)) return [...new Set(value)];
    if (!this.modern && value === 'null') {
      return this.#broken(at, '`null` is no type of OpenAPI 3.0', 'write `nullable: true` beside another type');
    }
    return this.#broken(
      at,
      `expected ${this.modern ? 'types of' : 'one of'} ${TYPES.slice(this.modern ? 0 : 1).join(', ')}`,
    );
  }

  #pattern(pattern: string, at: string): void {
    const fault = patternFault(pattern);
    if (fault !== null) this.#broken(at, fault.message, fault.hint);
  }

  /** What OpenAPI 3.0 writes otherwise than draft 2020-12. */
  #older(schema: Mapping, out: Mapping, at: string): void {
    for (const [flag, bound] of [
      ['exclusiveMinimum', 'minimum'],
      ['exclusiveMaximum', 'maximum'],
    ] as const) {
      const value = schema[flag];
      if (value === undefined) continue;
      if (typeof value !== 'boolean') {
        this.#broken(child(at, flag), `\`${flag}\` is true or false in OpenAPI 3.0`, `write the bound as \`${bound}\``);
      } else if (value && Object.hasOwn(out, bound)) {
        out[flag] = out[bound];
        delete out[bound];
      }
    }
    if (schema.nullable === true) {
      if (typeof out.type === 'string') out.type = [out.type, 'null'];
      else this.unchecked.add(LONE_NULLABLE, child(at, 'nullable'), 'OpenAPI 3.0.3: it widens the `type` beside it');
    }
  }

  /** Members of a schema, and of what it is composed of by `allOf`, that only responses hold. */
  #readOnly(schema: Mapping, depth: number): string[] {
    if (depth > MAX_DEPTH) return [];
    const names: string[] = [];
    if (isMapping(schema.properties)) {
      for (const [name, member] of Object.entries(schema.properties)) {
        if (this.#chain(member).some(link => link.readOnly === true)) names.push(name);
      }
    }
    if (Array.isArray(schema.allOf)) {
      for (const part of schema.allOf) {
        for (const link of this.#chain(part)) names.push(...this.#readOnly(link, depth + 1));
      }
    }
    return names;
  }

  /** A schema and those that its `$ref` leads to; broken references are reported where they are converted. */
  #chain(schema: unknown): Mapping[] {
    const chain: Mapping[] = [];
    let link: unknown = schema;
    while (isMapping(link) && !chain.includes(link)) {
      chain.push(link);
      link = typeof link.$ref === 'string' ? this.description.peek(link.$ref) : undefined;
    }
    return chain;
  }

  #reference(reference: unknown, at: string): string | null {
    const found = this.description.target(reference, at);
    if (found === null) return null;
    const known = this.#names.get(found.pointer);
    if (known !== undefined) return known;
    const wish = (path(found.pointer).at(-1) ?? 'root').replace(/[^A-Za-z0-9._-]/g, '_');
    let name = wish;
    for (let other = 2; Object.hasOwn(this.#defs, name); other++) name = `${wish}.${other}`;
    this.#names.set(found.pointer, name);
    this.origins.set(`/$defs/${name}`, found.pointer);
    // Taken now: the schema itself is converted when the one that refers to it is done.
    this.#defs[name] = false;
    this.#waiting.push({ name, found });
    return name;
  }

  /** `false` allows nothing: a schema that could not be read never lets anything through. */
  #broken(at: string, message: string, hint?: string): false {
    this.description.problem(at, message, hint);
    return false;
  }
}

function keywords(kinds: Partial<Record<Kind, string>>): ReadonlyMap<string, Kind> {
  const pairs = Object.entries(kinds).flatMap(([kind, list]) =>
    list.split(' ').map(keyword => [keyword, kind as Kind]),
  );
  return new Map(pairs as [string, Kind][]);
}

const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const names = (value: unknown) =>
  Array.isArray(value) && value.every(name => typeof name === 'string') && new Set(value).size === value.length;

const PLAIN: Record<
  Exclude<Kind, 'schema' | 'schemas' | 'map' | 'type' | 'dependencies'>,
  { name: string; holds(value: unknown): boolean }
> = {
  number: { name: 'a number', holds: value => Number.isFinite(value) },
  positive: { name: 'a number above 0', holds: value => Number.isFinite(value) && (value as number) > 0 },
  count: { name: 'a whole number, 0 or more', holds: whole },
  text: { name: 'text', holds: value => typeof value === 'string' },
  flag: { name: 'true or false', holds: value => typeof value === 'boolean' },
  names: { name: 'a list of different names', holds: names },
  list: { name: 'a list', holds: Array.isArray },
  any: { name: 'a value', holds: () => true },
};
