// An OpenAPI description as plain values, with the place of each, and its references looked up, in as many files as
// it has.
//
// A pointer leads into the main file (`/paths/~1orders`), or begins with another file's key (`schemas/a.yaml#/Order`):
// what stands below a value is found by appending to either. Places are looked for on demand: a large description has
// half a million values and a handful of remarks.

import { dirname, isAbsolute, join } from 'node:path';
import type { Loading } from '../../config/loading.js';
import { child, path as tokens, at as valueAt } from '../../config/pointer.js';
import type { Place, Problem } from '../../config/problem.js';
import { Files, type Part } from './files.js';
import { absolute, baseOf, decoded, type Named, namesIn, referencesIn } from './names.js';
import { moved, originOf } from './origins.js';
import { type Fetch, fetchRemote } from './remote.js';
import { adaptSchemas, fromSwagger, isSwagger } from './swagger.js';

/** A reference that leads to a reference: longer chains are not written by anybody. */
const MAX_REFERENCES = 16;
/** A file of megabytes can be wrong in each line: nobody reads on. */
const MAX_TOLD = 1_000;

export type Mapping = Record<string, unknown>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value and where it stands. */
export interface Found {
  value: unknown;
  pointer: string;
}

interface Nothing {
  message: string;
  hint?: string;
}

export class Description {
  readonly problems: Problem[] = [];
  readonly #files: Files;
  readonly #names = new Map<Part, Map<string, Named> | null>();
  readonly #adapted = new Set<Part>();
  /** Of a Swagger 2.0 description: where what it was turned into was written. */
  #origins: ReadonlyMap<string, string> | null = null;
  #swagger = false;

  /** null when the file cannot be read, which is a problem of the configuration. */
  static async open(
    { file, allowRemoteReferences }: { file: string; allowRemoteReferences: readonly string[] },
    at: string,
    loading: Loading,
    fetch: Fetch = fetchRemote,
  ): Promise<Description | null> {
    const text = loading.text(child(at, 'file'), file);
    if (text === null) return null;
    const shown = isAbsolute(file) ? file : join(dirname(loading.source.file), file);
    const main = { path: loading.path(file), shown, text };
    const description = new Description(new Files(main, allowRemoteReferences, path => loading.files.add(path)));
    if (allowRemoteReferences.length > 0) await description.#fetchAll(fetch);
    description.#convert();
    return description;
  }

  constructor(files: Files) {
    this.#files = files;
    this.#faults(files.main);
    if (files.tooLarge !== null) this.problem('', files.tooLarge);
  }

  /** undefined when the text could not be read. */
  get root(): unknown {
    return this.#files.main.root;
  }

  problem(pointer: string, message: string, hint?: string): void {
    this.#add('problem', this.place(pointer), message, hint);
  }

  warning(pointer: string, message: string, hint?: string): void {
    this.#add('warning', this.place(pointer), message, hint);
  }

  /** Place of a member's key, of a list's item; of what encloses it when it is not in the file itself. */
  place(pointer: string): Place {
    const [part, inside] = this.#split(pointer);
    return part.text.place(tokens(inside));
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

  /** What one `$ref` names. `at` is the place of the reference, whose file it counts from. */
  target(reference: unknown, at: string): Found | null {
    if (typeof reference !== 'string') {
      this.problem(at, '`$ref` is not text');
      return null;
    }
    const found = this.#resolve(reference, at);
    if ('pointer' in found) return found;
    this.problem(at, `\`${reference}\`${found.message}`, found.hint);
    return null;
  }

  /** The same, without a word when it names nothing. */
  look(reference: string, at = ''): Found | null {
    const found = this.#resolve(reference, at);
    return 'pointer' in found ? found : null;
  }

  /** The value alone. */
  peek(reference: string, at = ''): unknown {
    return this.look(reference, at)?.value;
  }

  #resolve(reference: string, at: string): Found | Nothing {
    const hash = reference.indexOf('#');
    const uri = hash < 0 ? reference : reference.slice(0, hash);
    const fragment = hash < 0 ? '' : decoded(reference.slice(hash + 1));
    if (fragment === null) return { message: ' is not percent-encoded as it has to be' };
    const [part, inside] = this.#split(at);
    const base = this.#namesOf(part) === null ? part.location : baseOf(part, inside);
    if (uri === '' && base === part.location) return this.#within({ part, pointer: '' }, base, fragment);
    const url = absolute(uri, base);
    if (url === null) return { message: ' is not a URI' };
    const named = this.#named(url);
    if (named === null) return { message: ': two schemas are called so' };
    if (!named && isLocal(url) && !isLocal(part.location))
      return { message: ': another host names no files of this one' };
    const file = named?.part ?? this.#part(url);
    if (typeof file === 'string') return { message: `: ${file}` };
    return this.#within({ part: file, pointer: named?.pointer ?? '' }, url, fragment);
  }

  /** `fragment` inside of a file, or of the schema in it that is called `url`. */
  #within({ part, pointer }: { part: Part; pointer: string }, url: string, fragment: string): Found | Nothing {
    if (fragment !== '' && !fragment.startsWith('/')) {
      const named = this.#named(`${url}#${fragment}`);
      if (named === null) return { message: ': two schemas are called so' };
      if (named === undefined) return { message: ' leads nowhere', hint: 'no schema has this `$anchor`' };
      return { value: valueAt(named.part.root, named.pointer), pointer: pointerIn(named.part, named.pointer) };
    }
    // Descriptions also write pointers from the root of the file inside of schemas that have an `$id`.
    for (const start of pointer === '' ? [''] : [pointer, '']) {
      for (const written of this.#swagger && part === this.#files.main ? moved(fragment) : [fragment]) {
        const value = valueAt(part.root, start + written);
        if (value !== undefined) return { value, pointer: pointerIn(part, start + written) };
      }
    }
    const raw = this.#swagger && part === this.#files.main ? valueAt(part.text.value, fragment) : undefined;
    return raw === undefined ? { message: ' leads nowhere' } : { value: raw, pointer: fragment };
  }

  /** undefined: nothing is called so; null: two are. */
  #named(name: string): Named | undefined {
    let found: Named | undefined;
    for (const part of this.#files.parts()) {
      const named = this.#namesOf(part)?.get(name);
      if (named === undefined) continue;
      if (named === null || found) return null;
      found = named;
    }
    return found;
  }

  /** null when nothing in the file has a name of its own. */
  #namesOf(part: Part): Map<string, Named> | null {
    const known = this.#names.get(part);
    if (known !== undefined) return known;
    const main = this.#files.main.root;
    const older = isMapping(main) && /^3(\.0|$)/.test(String(main.openapi));
    const names = older || this.#swagger || !part.text.mentions(/\$(id|anchor|dynamicAnchor)\b/) ? null : namesIn(part);
    this.#names.set(part, names);
    return names;
  }

  #part(url: string): Part | string {
    const part = this.#files.at(url);
    if (typeof part === 'string') return part;
    this.#faults(part);
    if (this.#swagger && !this.#adapted.has(part)) {
      this.#adapted.add(part);
      adaptSchemas(part.root);
    }
    return part;
  }

  readonly #told = new Set<Part>();

  #faults(part: Part): void {
    if (this.#told.has(part)) return;
    this.#told.add(part);
    for (const { start, end, message, hint } of part.text.faults) {
      this.#add('problem', part.text.placed(start, end), message, hint);
    }
  }

  /** References are looked up in one go later; what other hosts have must be there by then. */
  async #fetchAll(fetch: Fetch): Promise<void> {
    const left = [this.#files.main];
    const seen = new Set<Part>(left);
    for (let part = left.pop(); part; part = left.pop()) {
      for (const url of referencesIn(part)) {
        // What a host that is listed says is no reason to read files here.
        if (isLocal(url) && !isLocal(part.location)) continue;
        const other = this.#files.isRemote(url) ? await this.#files.fetch(url, fetch) : this.#files.at(url);
        if (typeof other === 'string' || seen.has(other)) continue;
        seen.add(other);
        left.push(other);
      }
    }
  }

  #convert(): void {
    const { main } = this.#files;
    if (!isMapping(main.root) || !isSwagger(main.root)) return;
    this.#swagger = true;
    adaptSchemas(main.root);
    const { root, origins } = fromSwagger(main.root, this);
    main.root = root;
    this.#origins = origins;
  }

  /** The file that a pointer leads into, and the pointer inside of it, as written there. */
  #split(pointer: string): [part: Part, inside: string] {
    const original = this.#origins ? originOf(pointer, this.#origins) : pointer;
    const hash = original.indexOf('#');
    // A place of ours may continue one of the configuration: `/` is between them then.
    const part = hash < 0 ? undefined : this.#files.keyed(original.slice(0, hash).replace(/^\//, ''));
    if (part && part !== this.#files.main) return [part, original.slice(hash + 1)];
    return [this.#files.main, original.startsWith('/') ? original : ''];
  }

  #add(severity: Problem['severity'], place: Place, message: string, hint?: string): void {
    const room = MAX_TOLD - this.problems.length;
    if (room > 1) this.problems.push({ severity, place, message, ...(hint && { hint }) });
    else if (room === 1) this.problems.push({ severity, place, message: 'what else is wrong is not listed' });
  }
}

function isLocal(url: string): boolean {
  return url.startsWith('file:');
}

function pointerIn(part: Part, pointer: string): string {
  return part.key === '' ? pointer : `${part.key}#${pointer}`;
}
