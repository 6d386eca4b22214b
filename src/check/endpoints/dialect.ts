// Schemas of OpenAPI 3.0 and 3.1, and of older drafts inside of 3.1, as one JSON Schema of draft 2020-12.
//
// Every schema that a `$ref` names is written once, under `$defs`; every value that is checked is one of `properties`.
// Keywords that never change a verdict are dropped, so that what reaches the engine is what is enforced. A schema is
// written a second time only where the direction changes what it means.

import { path } from '../../config/pointer.js';
import { cycles } from './cycles.js';
import type { Description, Found, Mapping } from './description.js';
import { type Direction, Directions } from './directions.js';
import { type Draft, draftOf } from './keywords.js';
import { fragmentOf } from './names.js';
import { References } from './references.js';
import type { Unchecked } from './remarks.js';
import { Schemas, type Scope } from './schemas.js';

export type { Direction } from './directions.js';

const OTHER_DIALECT =
  'schema names a dialect that is not known here: it is read as draft 2020-12|schemas name dialects that are not known here: they are read as draft 2020-12';

/** The document that the engine compiles; the same in native/engine/src/schema/validator.rs. */
const BASE = 'json-schema:///';

/** What an operator may loosen. */
export interface Loose {
  /** A request may hold what is `readOnly`. */
  allowReadOnly?: boolean;
  /** Patterns with look-around and back-references are left unchecked. */
  allowUncheckedPatterns?: boolean;
}

export class Dialect {
  /** Where each property and definition was written, for the problems that the engine finds. */
  readonly origins = new Map<string, string>();
  readonly #properties: Mapping = Object.create(null);
  readonly #defs: Mapping = Object.create(null);
  /** Names of properties by what they check, and by how that reads when it is converted. */
  readonly #checked = new Map<string, string>();
  readonly #texts = new Map<string, string>();
  /** Names of definitions by schema, direction and hidden members. */
  readonly #names = new Map<string, string>();
  readonly #waiting: { name: string; found: Found; scope: Scope }[] = [];
  readonly #references: References;
  readonly #directions: Directions;
  readonly #schemas: Schemas;
  readonly #draft: Draft;

  constructor(
    private readonly description: Description,
    private readonly unchecked: Unchecked,
    modern: boolean,
    loose: Loose = {},
    /** Of all names, so that several descriptions make one document. */
    private readonly prefix = '',
  ) {
    const root = description.root as Mapping;
    this.#draft = modern ? '2020-12' : 'openapi-3.0';
    if (modern && root.jsonSchemaDialect !== undefined) {
      this.#draft = this.#named(root.jsonSchemaDialect, '/jsonSchemaDialect');
    }
    this.#references = new References(description, this.#draft);
    this.#directions = new Directions(this.#references);
    this.#schemas = new Schemas(description, unchecked, loose, this.#references, this.#directions, {
      link: (found, scope, hidden) => this.#link(found, scope, hidden),
      dynamic: ({ found }, scope, anchor) =>
        `${scope.root === found.pointer ? '' : this.#link(found, scope, new Set())}#${anchor}`,
      draft: (dialect, at) => this.#named(dialect, at),
    });
  }

  /**
   * The name of the property that checks a value; a value without a schema is checked by what allows anything. The
   * same schema in the same direction has the same name, in both when the direction does not matter.
   */
  schema(found: Found | null, direction: Direction): string {
    const differs = found !== null && this.#directions.differs(found);
    const key = `${differs ? direction : ''} ${found?.pointer ?? ''}`;
    const known = this.#checked.get(key);
    if (known !== undefined) return known;
    const converted = found ? this.#convert(found, direction) : true;
    const text = JSON.stringify(converted);
    let name = this.#texts.get(text);
    if (name === undefined) {
      name = `${this.prefix}value${this.#texts.size}`;
      this.#texts.set(text, name);
      this.#properties[name] = converted;
      this.origins.set(`/properties/${name}`, found?.pointer ?? '');
    }
    this.#checked.set(key, name);
    return name;
  }

  /** Where in the description a place of the document was written, or what is around that. */
  origin(pointer: string): string {
    const [, kind, name] = pointer.split('/');
    const owner = `/${kind}/${name}`;
    const origin = this.origins.get(owner);
    return origin === undefined ? '' : origin + pointer.slice(owner.length);
  }

  root(): unknown {
    return { $defs: this.#defs, properties: this.#properties };
  }

  /** To be called when every schema is converted. */
  refuseCycles(): void {
    for (const name of cycles(this.#defs)) {
      this.description.problem(
        this.origin(`/$defs/${name}`),
        'this schema leads back to itself, and says nothing on the way: it would allow anything',
        'take the reference to itself out, or put it below `properties` or `items`',
      );
    }
  }

  #convert(found: Found, direction: Direction): unknown {
    const scope = this.#scope(found, direction, new Set());
    const embedded = this.#references.embedding(found.pointer) !== null;
    const converted = embedded ? { $ref: this.#link(found, scope, new Set()) } : this.#schemas.convert(found, scope);
    for (let next = this.#waiting.pop(); next; next = this.#waiting.pop()) {
      const definition = this.#schemas.convert(next.found, next.scope);
      this.#defs[next.name] = next.scope.root === null ? definition : whole(next.name, definition);
    }
    return converted;
  }

  #scope(found: Found, direction: Direction, hidden: ReadonlySet<string>): Scope {
    return { direction, hidden, draft: this.#references.draftAt(found.pointer), depth: 0, root: null };
  }

  /** The URI of a definition. A schema of a resource with dynamic anchors is a place inside of that resource. */
  #link(found: Found, { direction, root }: Scope, hidden: ReadonlySet<string>): string {
    const resource = this.#references.embedding(found.pointer);
    if (resource) {
      const at = resource.found.pointer;
      const uri = `${BASE}${this.#define(resource.found, direction, at === found.pointer ? hidden : new Set(), at)}`;
      return at === found.pointer ? uri : `${uri}#${fragmentOf(found.pointer.slice(at.length))}`;
    }
    const name = this.#define(found, direction, hidden, null);
    // Inside of a resource a fragment counts from there.
    return `${root === null ? '' : BASE}#/$defs/${name}`;
  }

  #define(found: Found, direction: Direction, outside: ReadonlySet<string>, root: string | null): string {
    const hidden = this.#relevant(found, direction, outside);
    const differs = hidden.size > 0 || this.#directions.differs(found);
    const key = JSON.stringify([found.pointer, differs && direction, [...hidden].sort()]);
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const wish = this.prefix + (path(found.pointer).at(-1) ?? 'root').replace(/[^A-Za-z0-9._-]/g, '_');
    let name = wish;
    for (let other = 2; Object.hasOwn(this.#defs, name); other++) name = `${wish}.${other}`;
    this.#names.set(key, name);
    this.origins.set(`/$defs/${name}`, found.pointer);
    // Taken now: the schema itself is converted when the one that refers to it is done.
    this.#defs[name] = false;
    this.#waiting.push({ name, found, scope: { ...this.#scope(found, direction, hidden), root } });
    return name;
  }

  /** Of the members that a composition hides, those that this part of it requires without hiding them itself. */
  #relevant(found: Found, direction: Direction, hidden: ReadonlySet<string>): ReadonlySet<string> {
    if (hidden.size === 0) return hidden;
    const own = this.#directions.hidden(found, direction);
    return new Set([...this.#directions.required(found)].filter(name => hidden.has(name) && !own.has(name)));
  }

  #named(dialect: unknown, at: string): Draft {
    const draft = draftOf(dialect);
    if (draft === null) this.unchecked.add(OTHER_DIALECT, at);
    return draft ?? '2020-12';
  }
}

function whole(name: string, definition: unknown): unknown {
  return typeof definition === 'object' ? { $id: BASE + name, ...definition } : definition;
}
