// Schemas that have names of their own: `$id`, `$anchor`, `$dynamicAnchor` of JSON Schema draft 2020-12 (8.2).

import { child, path as tokens } from '../../config/pointer.js';
import type { Part } from './files.js';

/** A schema and where it stands; null when two are called the same. */
export type Named = { part: Part; pointer: string } | null;

/** Values looked at in one file: those that aliases repeat are looked at again. */
const MAX_LOOKED_AT = 5_000_000;
/** Members whose own members are called as somebody likes: what they are called says nothing there. */
export const NAMED = new Set([
  'properties',
  'patternProperties',
  'dependentSchemas',
  '$defs',
  'definitions',
  'schemas',
]);
/** Members that hold values rather than schemas. */
export const VALUES = new Set(['example', 'examples', 'default', 'enum', 'const']);

/** Names in one file: `<absolute URI>` or `<absolute URI>#<anchor>`. */
export function namesIn(part: Part): Map<string, Named> {
  const names = new Map<string, Named>();
  const left: { value: unknown; pointer: string; base: string; named: boolean }[] = [
    { value: part.root, pointer: '', base: part.location, named: false },
  ];
  const add = (name: string, pointer: string) => names.set(name, names.has(name) ? null : { part, pointer });
  for (let looked = 0; left.length > 0 && looked < MAX_LOOKED_AT; looked++) {
    const { value, pointer, base: outer, named } = left.pop() as (typeof left)[number];
    if (Array.isArray(value)) {
      value.forEach((item, index) => {
        if (typeof item === 'object') left.push({ value: item, pointer: child(pointer, index), base: outer, named });
      });
      continue;
    }
    if (typeof value !== 'object' || value === null) continue;
    const schema = value as Record<string, unknown>;
    const base = (named ? null : idOf(schema, outer)) ?? outer;
    if (base !== outer) add(base, pointer);
    for (const [key, member] of Object.entries(schema)) {
      if (!named && (key === '$anchor' || key === '$dynamicAnchor') && typeof member === 'string') {
        add(`${base}#${member}`, pointer);
      } else if (typeof member === 'object' && (named || maySchema(key))) {
        left.push({ value: member, pointer: child(pointer, key), base, named: !named && NAMED.has(key) });
      }
    }
  }
  return names;
}

/** Whether what a member holds may be, or hold, schemas. */
function maySchema(key: string): boolean {
  return !VALUES.has(key) && !key.startsWith('x-');
}

/** Every object of a tree that may be a schema; each once. */
export function* schemasIn(root: unknown): Generator<Record<string, unknown>> {
  const left = [{ value: root, named: false }];
  const seen = new Set<object>();
  while (left.length > 0) {
    const { value, named } = left.pop() as (typeof left)[number];
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    if (!named && !Array.isArray(value)) yield value as Record<string, unknown>;
    for (const [key, member] of Object.entries(value)) {
      if (typeof member === 'object' && (named || maySchema(key))) {
        left.push({ value: member, named: !named && !Array.isArray(value) && NAMED.has(key) });
      }
    }
  }
}

/** URLs of the files that references in a file lead to. */
export function* referencesIn(part: Part): Generator<string> {
  const left = [{ value: part.root, base: part.location }];
  const seen = new Set<object>();
  while (left.length > 0) {
    const { value, base: outer } = left.pop() as (typeof left)[number];
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    const base = idOf(value as Record<string, unknown>, outer) ?? outer;
    for (const [key, member] of Object.entries(value)) {
      if (typeof member === 'object') left.push({ value: member, base });
      else if (key === '$ref' && typeof member === 'string' && !member.startsWith('#')) {
        const url = absolute(member, base);
        if (url !== null) yield url;
      }
    }
  }
}

/** What references at a pointer count from: the nearest `$id` around it, or the file itself. */
export function baseOf(part: Part, pointer: string): string {
  let [value, base]: [unknown, string] = [part.root, part.location];
  for (const token of tokens(pointer)) {
    if (typeof value !== 'object' || value === null) break;
    base = idOf(value as Record<string, unknown>, base) ?? base;
    value = Object.hasOwn(value, token) ? (value as Record<string, unknown>)[token] : undefined;
  }
  return base;
}

/** The absolute URI of a schema that has an `$id`, without its fragment. */
function idOf(schema: Record<string, unknown>, base: string): string | null {
  const id = schema.$id;
  if (typeof id !== 'string' || id === '' || id.startsWith('#')) return null;
  return absolute(id, base);
}

/** Without a fragment; null when it is no URI. */
export function absolute(reference: string, base: string): string | null {
  try {
    const url = new URL(reference, base);
    url.hash = '';
    return url.href;
  } catch {
    return null;
  }
}

/** A fragment as it is meant (RFC 3986, 3.5); null when it is not percent-encoded as it has to be. */
export function decoded(fragment: string): string | null {
  try {
    return decodeURIComponent(fragment);
  } catch {
    return null;
  }
}

/** A JSON pointer as the fragment of a URI (RFC 6901, 6). */
export function fragmentOf(pointer: string): string {
  return pointer.split('/').map(encodeURIComponent).join('/');
}
