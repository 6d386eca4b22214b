// What references between schemas name, and the resources (JSON Schema 2020-12, Core, 4.3.5) that schemas form.
//
// A file is walked once, for `$id`, anchors and `$schema`. References are resolved here, before the engine sees them:
// by `$id` and anchor inside of the files that were read, else as the description does.
//
// A schema that has no `$id` belongs to the resource of its whole file. There dynamic anchors of the same name would
// collide, so a component, or a schema written in place, counts as a resource by itself when it has any.

import { child, path, at as valueAt } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import { before, type Draft, draftOf } from './keywords.js';
import { decoded, NAMED, absolute as uriOf, VALUES } from './names.js';

/** Deepest nesting of a file that is walked: deeper ones are refused where they are converted. */
const MAX_WALK = 256;
/** The dynamic anchor that stands for `$recursiveAnchor: true` of draft 2019-09. */
export const RECURSIVE = 'recursive';
/** The base of files that have no URL. */
const BASE = 'description:///';

export interface Resource {
  found: Found;
  /** It has an `$id`: pointers count from it. */
  explicit: boolean;
  /** Absolute, without a fragment. */
  base: string;
  draft: Draft;
  /** Name to pointer. */
  anchors: Map<string, string>;
  dynamic: Map<string, string>;
}

interface File {
  root: Found;
  /** By the pointer of what has `$id`, of schemas without one, and of the file itself. */
  resources: Map<string, Resource>;
  drafts: Map<string, Draft>;
}

/** Where a `$dynamicRef` starts to look. */
export interface Dynamic {
  resource: Resource;
  anchor: string;
}

export class References {
  readonly #files = new Map<string, File>();
  /** Every resource with an `$id`, by its URI; null when two are called so. */
  readonly #ids = new Map<string, Resource | null>();
  /** By the place of the reference: a broken one is told once. */
  readonly #known = new Map<string, Found | null>();

  constructor(
    private readonly description: Description,
    private readonly draft: Draft,
  ) {}

  /** What a `$ref` at `at` names; null when it leads nowhere, which is a problem. */
  resolve(reference: unknown, at: string): Found | null {
    const known = this.#known.get(at);
    if (known !== undefined) return known;
    const found =
      (typeof reference === 'string' && this.draft !== 'openapi-3.0' ? this.#named(reference, at) : null) ??
      this.description.target(reference, at);
    this.#known.set(at, found);
    return found;
  }

  /** What a `$dynamicRef` at `at` starts from; a Found when nothing about it is dynamic. */
  dynamic(reference: unknown, at: string): Dynamic | Found | null {
    const found = this.resolve(reference, at);
    return found && this.#dynamically(found, String(reference).replace(/^[^#]*#?/, ''));
  }

  /** The same for `$recursiveRef`, whose only value is `#`: the resource around it. */
  recursive(at: string): Dynamic | Found {
    return this.#dynamically(this.#enclosing(at).found, RECURSIVE);
  }

  #dynamically(found: Found, anchor: string): Dynamic | Found {
    const resource = this.embedding(found.pointer);
    return resource?.dynamic.get(anchor) === found.pointer ? { resource, anchor } : found;
  }

  /** The resource with dynamic anchors that a schema belongs to; it has to stay whole. */
  embedding(pointer: string): Resource | null {
    if (this.draft === 'openapi-3.0') return null;
    const resource = this.#enclosing(pointer);
    // The description itself is no schema.
    return resource.dynamic.size > 0 && resource.found.pointer !== '' ? resource : null;
  }

  /** What the schema at a pointer is written in, by the `$schema` that encloses it. */
  draftAt(pointer: string): Draft {
    if (this.draft === 'openapi-3.0') return this.draft;
    const { drafts } = this.#file(pointer);
    if (drafts.size === 0) return this.draft;
    for (const prefix of prefixes(pointer)) {
      const draft = drafts.get(prefix);
      if (draft !== undefined) return draft;
    }
    return this.draft;
  }

  #named(reference: string, at: string): Found | null {
    const hash = reference.indexOf('#');
    const uri = hash < 0 ? reference : reference.slice(0, hash);
    const fragment = decoded(hash < 0 ? '' : reference.slice(hash + 1));
    if (fragment === null) return null;
    const enclosing = this.#enclosing(at);
    if (uri === '') {
      // A pointer that leads nowhere inside its resource is tried in the file: many write `$id` and
      // `#/components/…` side by side.
      const counts = enclosing.explicit || isAnchor(fragment);
      return (counts ? inside(enclosing, fragment) : null) ?? this.#anchored(this.#file(at), fragment);
    }
    const absolute = uriOf(uri, enclosing.base);
    const resource = absolute === null ? undefined : this.#ids.get(absolute);
    if (resource) return inside(resource, fragment);
    // Another file counts from the `$id` when there is one, if it was read; else from where this file is.
    if (enclosing.explicit && absolute !== null && this.description.peek(absolute, at) !== undefined) {
      return this.#elsewhere(absolute, fragment, at);
    }
    return isAnchor(fragment) ? this.#elsewhere(uri, fragment, at) : null;
  }

  /** In another file. */
  #elsewhere(uri: string, fragment: string, at: string): Found | null {
    if (!isAnchor(fragment)) return this.description.target(fragment === '' ? uri : `${uri}#${fragment}`, at);
    const root = this.description.target(uri, at);
    return root && this.#anchored(this.#file(root.pointer), fragment);
  }

  /** An anchor anywhere in a file; what has an `$id` is asked for by it. */
  #anchored(file: File, name: string): Found | null {
    if (!isAnchor(name)) return null;
    const named = [...file.resources.values()].flatMap(resource => inside(resource, name) ?? []);
    return named.length === 1 ? (named[0] as Found) : null;
  }

  #enclosing(pointer: string): Resource {
    const { resources } = this.#file(pointer);
    for (const prefix of prefixes(pointer)) {
      const resource = resources.get(prefix);
      if (resource) return resource;
    }
    // A file is a resource itself.
    return resources.get(fileOf(pointer)) as Resource;
  }

  #file(pointer: string): File {
    const key = fileOf(pointer);
    const known = this.#files.get(key);
    if (known) return known;
    const root = key === '' ? { value: this.description.root, pointer: '' } : this.description.target('#', `${key}/`);
    const file: File = { root: { value: root?.value, pointer: key }, resources: new Map(), drafts: new Map() };
    this.#files.set(key, file);
    const whole = resource(file.root, base(key), this.draft, false);
    file.resources.set(key, whole);
    this.#walk(file, file.root, whole, new Set(), false);
    return file;
  }

  /**
   * `names`: the keys of this mapping are names, not keywords. `around`: the values that this one is inside of; an
   * alias of YAML can hold itself.
   */
  #walk(file: File, { value, pointer }: Found, enclosing: Resource, around: Set<unknown>, names: boolean): void {
    if (around.size > MAX_WALK || around.has(value)) return;
    around.add(value);
    if (Array.isArray(value)) {
      value.forEach((item, index) => {
        this.#walk(file, { value: item, pointer: child(pointer, index) }, enclosing, around, false);
      });
    }
    if (isMapping(value)) this.#members(file, { value, pointer }, enclosing, around, names);
    around.delete(value);
  }

  #members(
    file: File,
    { value, pointer }: { value: Mapping; pointer: string },
    enclosing: Resource,
    around: Set<unknown>,
    names: boolean,
  ): void {
    const current = names ? enclosing : this.#enter(file, { value, pointer }, enclosing);
    for (const [key, below] of Object.entries(value)) {
      if (typeof below !== 'object' || below === null || (!names && VALUES.has(key))) continue;
      this.#walk(file, { value: below, pointer: child(pointer, key) }, current, around, !names && NAMED.has(key));
    }
  }

  /** Notes what a schema says about itself; the resource that it and what is in it belong to. */
  #enter(file: File, found: Found, enclosing: Resource): Resource {
    const schema = found.value as Mapping;
    let { draft } = enclosing;
    let current = enclosing;
    if (typeof schema.$schema === 'string') {
      draft = draftOf(schema.$schema) ?? '2020-12';
      file.drafts.set(found.pointer, draft);
    }
    const id = schema[draft === 'draft-04' ? 'id' : '$id'];
    // Up to draft-07 an anchor was an identifier that is only a fragment.
    const anchor = before(draft, '2019-09') && typeof id === 'string' && /^#./.test(id) ? id.slice(1) : schema.$anchor;
    if (
      typeof id === 'string' &&
      !id.startsWith('#') &&
      !(before(draft, '2019-09') && typeof schema.$ref === 'string')
    ) {
      const uri = uriOf(id, enclosing.base);
      if (uri !== null) {
        current = resource(found, uri, draft, true);
        file.resources.set(found.pointer, current);
        this.#ids.set(uri, this.#ids.has(uri) ? null : current);
      }
    } else if (startsSchema(found.pointer, file)) {
      current = resource(found, enclosing.base, draft, false);
      file.resources.set(found.pointer, current);
    } else if (draft !== enclosing.draft) {
      current = { ...enclosing, draft };
    }
    if (typeof anchor === 'string') current.anchors.set(anchor, found.pointer);
    if (typeof schema.$dynamicAnchor === 'string') current.dynamic.set(schema.$dynamicAnchor, found.pointer);
    if (schema.$recursiveAnchor === true && draft === '2019-09') current.dynamic.set(RECURSIVE, found.pointer);
    return current;
  }
}

function resource(found: Found, base: string, draft: Draft, explicit: boolean): Resource {
  return { found, explicit, base, draft, anchors: new Map(), dynamic: new Map() };
}

/** Schemas that stand by themselves: components, and what a parameter or a media type has as its `schema`. */
function startsSchema(pointer: string, file: File): boolean {
  const tokens = path(pointer.slice(file.root.pointer.length));
  if (tokens[0] === 'components' && tokens[1] === 'schemas') return tokens.length === 3;
  return tokens.at(-1) === 'schema' && tokens.indexOf('schema') === tokens.length - 1;
}

/** What a fragment names in a resource, itself for the empty one. */
function inside(resource: Resource, fragment: string): Found | null {
  const { value, pointer } = resource.found;
  if (fragment === '') return resource.found;
  if (fragment.startsWith('/')) {
    const below = valueAt(value, fragment);
    return below === undefined ? null : { value: below, pointer: pointer + fragment };
  }
  const anchored = resource.anchors.get(fragment) ?? resource.dynamic.get(fragment);
  if (anchored === undefined) return null;
  return { value: valueAt(value, anchored.slice(pointer.length)), pointer: anchored };
}

function isAnchor(fragment: string): boolean {
  return fragment !== '' && !fragment.startsWith('/');
}

/** '' for the main file, else the key of the file with `#` behind it. */
export function fileOf(pointer: string): string {
  return pointer === '' || pointer.startsWith('/') ? '' : pointer.slice(0, pointer.indexOf('#') + 1);
}

function base(pointer: string): string {
  return uriOf(fileOf(pointer).replace(/#$/, ''), BASE) ?? BASE;
}

/** A pointer, then everything that encloses it, up to the file. */
function* prefixes(pointer: string): Generator<string> {
  const least = fileOf(pointer).length;
  for (let end = pointer.length; end >= least; end = pointer.lastIndexOf('/', end - 1)) {
    yield pointer.slice(0, end);
    if (end === least) return;
  }
  yield pointer.slice(0, least);
}
