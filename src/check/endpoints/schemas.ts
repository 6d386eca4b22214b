// One schema, with everything inside of it, in draft 2020-12.

import { child } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import type { Loose } from './dialect.js';
import type { Direction, Directions } from './directions.js';
import { type Choice, choose, readDiscriminator } from './discriminator.js';
import { isEnforced, mayBeRounded } from './formats.js';
import { DEFINITIONS, type Draft, type Kind, kindOf, PLAIN, referencesStandAlone, SILENT, TYPES } from './keywords.js';
import { modernise } from './older.js';
import { patternFault } from './patterns.js';
import { RECURSIVE, type References, type Resource } from './references.js';
import type { Unchecked } from './remarks.js';

/** Schemas within schemas, as written; references start again. Real ones stay below 20. */
const MAX_DEPTH = 64;

const OTHER_KEYWORD =
  'keyword of a schema is not known and not checked|keywords of schemas are not known and not checked';
const OTHER_FORMAT = 'format is not known and not checked|formats are not known and not checked';
const LONE_NULLABLE =
  '`nullable` has no `type` beside it and no effect|`nullable` have no `type` beside them and no effect';
const ROUNDED =
  'number of a schema is beyond 2^53 and may be read as another one|numbers of schemas are beyond 2^53 and may be read as other ones';
const UNCHECKED_PATTERN =
  'pattern needs look-around or back-references and is not checked (allowUncheckedPatterns)|patterns need look-around or back-references and are not checked (allowUncheckedPatterns)';

/** Where a schema stands. */
export interface Scope {
  direction: Direction;
  /** Members that an enclosing composition hides from this direction. */
  hidden: ReadonlySet<string>;
  draft: Draft;
  depth: number;
  /** The pointer of the resource that is kept whole around this; null outside of one. */
  root: string | null;
}

/** What a schema says about others: the URI that names them in the document. */
export interface Links {
  link(found: Found, scope: Scope, hidden: ReadonlySet<string>): string;
  dynamic(resource: Resource, scope: Scope, anchor: string): string;
  draft(dialect: unknown, at: string): Draft;
}

const NOTHING: ReadonlySet<string> = new Set();

export class Schemas {
  constructor(
    private readonly description: Description,
    private readonly unchecked: Unchecked,
    private readonly loose: Loose,
    private readonly references: References,
    private readonly directions: Directions,
    private readonly links: Links,
  ) {}

  convert({ value: schema, pointer: at }: Found, outer: Scope): unknown {
    const older = outer.draft === 'openapi-3.0';
    if (typeof schema === 'boolean' && (!older || at.endsWith('/additionalProperties'))) return schema;
    if (!isMapping(schema)) return this.#broken(at, 'this is not a schema');
    if (outer.depth > MAX_DEPTH) return this.#broken(at, 'schemas are nested too deeply here');
    const resource = this.references.embedding(at);
    // A resource inside of another one keeps to itself.
    if (resource && resource.found.pointer === at && outer.root !== at) {
      return { $ref: this.links.link({ value: schema, pointer: at }, outer, outer.hidden) };
    }
    const draft =
      schema.$schema === undefined || older ? outer.draft : this.links.draft(schema.$schema, child(at, '$schema'));
    const out: Mapping = Object.create(null);
    const hidden = new Set([
      ...outer.hidden,
      ...this.directions.hidden({ value: schema, pointer: at }, outer.direction),
    ]);
    const scope: Scope = { ...outer, draft, depth: outer.depth + 1, hidden };
    if (Object.hasOwn(schema, '$ref')) {
      const target = this.references.resolve(schema.$ref, child(at, '$ref'));
      if (target === null) return false;
      const alone = referencesStandAlone(draft);
      out.$ref = this.links.link(target, scope, alone ? outer.hidden : hidden);
      if (alone) {
        if (schema.nullable === true) this.#nullable(at);
        return out;
      }
    }
    this.#dynamic(schema, at, scope, out);
    const choice = readDiscriminator({ value: schema, pointer: at }, this.description, this.references, this.unchecked);
    for (const [keyword, value] of Object.entries(schema)) {
      if (keyword === choice?.keyword) continue;
      const below = child(at, keyword);
      const kind = kindOf(keyword, draft);
      if (kind !== undefined) {
        const converted = this.#keyword(keyword, kind, value, below, scope);
        if (converted !== undefined) out[keyword] = converted;
      } else if (!SILENT.has(keyword) && !keyword.startsWith('x-')) this.unchecked.add(OTHER_KEYWORD, below);
    }
    if (choice) this.#choose(choice, schema, at, scope, out);
    if (Array.isArray(out.required)) out.required = out.required.filter(name => !hidden.has(name as string));
    if (Array.isArray(out.required) && out.required.length === 0) delete out.required;
    modernise(draft, out);
    if (older && schema.nullable === true && !nullable(out)) this.#nullable(at);
    return out;
  }

  /** What only counts in a resource that is kept whole. */
  #dynamic(schema: Mapping, at: string, scope: Scope, out: Mapping): void {
    const reference = Object.hasOwn(schema, '$dynamicRef') && scope.draft === '2020-12';
    const recursive = Object.hasOwn(schema, '$recursiveRef') && scope.draft === '2019-09';
    if (reference || recursive) {
      const start = reference
        ? this.references.dynamic(schema.$dynamicRef, child(at, '$dynamicRef'))
        : this.references.recursive(at);
      if (start === null) out.not = true;
      else if ('anchor' in start) out.$dynamicRef = this.links.dynamic(start.resource, scope, start.anchor);
      // Beside a `$ref`, in a part of its own.
      else if (out.$ref !== undefined) out.allOf = [{ $ref: this.links.link(start, scope, NOTHING) }];
      else out.$ref = this.links.link(start, scope, NOTHING);
    }
    if (scope.root === null) return;
    if (typeof schema.$dynamicAnchor === 'string' && scope.draft === '2020-12')
      out.$dynamicAnchor = schema.$dynamicAnchor;
    if (schema.$recursiveAnchor === true && scope.draft === '2019-09') out.$dynamicAnchor = RECURSIVE;
    for (const keyword of DEFINITIONS) {
      if (!isMapping(schema[keyword])) continue;
      out[keyword] = this.#map(keyword, schema[keyword], child(at, keyword), { ...scope, hidden: NOTHING });
    }
  }

  #keyword(keyword: string, kind: Kind, value: unknown, at: string, scope: Scope): unknown {
    const inner: Scope = keyword === 'allOf' ? scope : { ...scope, hidden: NOTHING };
    switch (kind) {
      case 'schema':
        return this.convert({ value, pointer: at }, inner);
      case 'schemas':
        if (!Array.isArray(value) || value.length === 0) return this.#broken(at, 'expected a list of schemas');
        return value.map((item, index) => this.convert({ value: item, pointer: child(at, index) }, inner));
      case 'items':
        if (!Array.isArray(value)) return this.convert({ value, pointer: at }, inner);
        return value.map((item, index) => this.convert({ value: item, pointer: child(at, index) }, inner));
      case 'map':
        if (!isMapping(value)) return this.#broken(at, 'expected a map of schemas');
        return this.#map(keyword, value, at, inner);
      case 'dependencies': {
        if (!isMapping(value)) return this.#broken(at, 'expected a map of schemas or lists of names');
        const out: Mapping = Object.create(null);
        for (const [name, item] of Object.entries(value)) {
          out[name] = Array.isArray(item)
            ? this.#plain('required', 'names', item, child(at, name))
            : this.convert({ value: item, pointer: child(at, name) }, inner);
        }
        return out;
      }
      case 'type':
        return this.#type(value, at, scope.draft);
      default:
        return this.#plain(keyword, kind, value, at);
    }
  }

  #map(keyword: string, value: Mapping, at: string, scope: Scope): Mapping {
    const out: Mapping = Object.create(null);
    for (const [name, item] of Object.entries(value)) {
      const found = { value: item, pointer: child(at, name) };
      const converted = keyword === 'properties' && this.#isHidden(found, scope) ? false : this.convert(found, scope);
      if (keyword !== 'patternProperties' || this.#pattern(name, child(at, name))) out[name] = converted;
      // Members that the pattern may have been for are as unchecked as itself: every name matches.
      else out[''] = true;
    }
    return out;
  }

  #plain(keyword: string, kind: Kind, value: unknown, at: string): unknown {
    const expected = PLAIN[kind];
    if (expected !== undefined && !expected.holds(value)) {
      const bound = kind === 'flag' && keyword.startsWith('exclusive') ? keyword.slice(9).toLowerCase() : null;
      const hint = bound === null ? undefined : `write the bound as \`${bound}\``;
      return this.#broken(at, `expected ${expected.name}`, hint);
    }
    if (keyword === 'pattern') return this.#pattern(value as string, at) ? value : undefined;
    if (keyword === 'format' && !isEnforced(value as string)) this.unchecked.add(OTHER_FORMAT, at);
    const numbers = kind === 'list' ? (value as unknown[]) : [value];
    if (numbers.some(number => typeof number === 'number' && mayBeRounded(number))) this.unchecked.add(ROUNDED, at);
    return value;
  }

  #type(value: unknown, at: string, draft: Draft): unknown {
    const modern = draft !== 'openapi-3.0';
    const known = (name: unknown) => typeof name === 'string' && TYPES.includes(name) && (modern || name !== 'null');
    if (known(value)) return value;
    if (modern && Array.isArray(value) && value.length > 0 && value.every(known)) return [...new Set(value)];
    if (value === 'null') {
      return this.#broken(at, '`null` is no type of OpenAPI 3.0', 'write `nullable: true` beside another type');
    }
    return this.#broken(at, `expected ${modern ? 'types of' : 'one of'} ${TYPES.slice(modern ? 0 : 1).join(', ')}`);
  }

  /** Whether a pattern is to be checked. */
  #pattern(pattern: string, at: string): boolean {
    const fault = patternFault(pattern);
    if (fault === null) return true;
    if (fault.valid && this.loose.allowUncheckedPatterns) {
      this.unchecked.add(UNCHECKED_PATTERN, at);
      return false;
    }
    this.#broken(at, fault.message, fault.hint);
    return true;
  }

  #choose(choice: Choice, schema: Mapping, at: string, scope: Scope, out: Mapping): void {
    const alternatives = schema[choice.keyword] as unknown[];
    const inner = { ...scope, hidden: NOTHING };
    const place = child(at, choice.keyword);
    const parts = choose(choice, index =>
      this.convert({ value: alternatives[index], pointer: child(place, index) }, inner),
    );
    out.allOf = [...((out.allOf as unknown[] | undefined) ?? []), ...parts];
  }

  /** A member of the other direction is not allowed, unless the operator said so. */
  #isHidden(member: Found, { direction }: Scope): boolean {
    return !(direction === 'request' && this.loose.allowReadOnly) && this.directions.isHidden(member, direction);
  }

  #nullable(at: string): void {
    this.unchecked.add(LONE_NULLABLE, child(at, 'nullable'), 'OpenAPI 3.0.3: it widens the `type` beside it');
  }

  /** `false` allows nothing: a schema that could not be read never lets anything through. */
  #broken(at: string, message: string, hint?: string): false {
    this.description.problem(at, message, hint);
    return false;
  }
}

/** OpenAPI 3.0.3: `nullable` widens the `type` beside it; `enum` and all else stay as they are. */
function nullable(out: Mapping): boolean {
  if (typeof out.type !== 'string') return false;
  out.type = [out.type, 'null'];
  return true;
}
