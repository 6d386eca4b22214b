// Properties of forms and multiparts: how each is written, and which of them are files.
//
// A file is bytes, not a JSON value: the engine looks at its size and media type, and lets an empty string stand for it
// when the whole is checked. Where the schema of a file says what no empty string satisfies, it is checked without.

import { child } from '../../config/pointer.js';
import type { PolicyEncoding, PolicyStyle } from '../../config/policy.js';
import { type Found, isMapping, type Mapping } from './description.js';
import { isText, mediaType } from './media-types.js';
import { readHeaders } from './parameters.js';
import type { Direction, Reading } from './reading.js';
import { fileOf as partOf } from './references.js';

/** Compositions within compositions, and references between: real ones stay below 5. */
const MAX_DEPTH = 16;
/** What a schema can be made of; a property that one part describes is a property of the whole. */
const COMPOSED = ['allOf', 'anyOf', 'oneOf'];
const STYLES: readonly PolicyStyle[] = ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'];
/** What the empty string that stands for a file need not satisfy. */
const NARROWING = ['minLength', 'pattern', 'enum', 'const'];
const ANNOTATIONS = new Set('title description default example examples deprecated readOnly writeOnly'.split(' '));

const POSITIONAL =
  'multipart describes parts by position, which are not checked|multiparts describe parts by position, which are not checked';
const STYLED =
  'part of a multipart has a style that is not read: any text is let through|parts of multiparts have styles that are not read: any text is let through';
const NOT_APPLIED =
  'encoding has `headers` outside of a multipart, where they mean nothing|encodings have `headers` outside of multiparts, where they mean nothing';

export interface Encoded {
  encoding: PolicyEncoding[];
  /** What checks the whole; null for anything. */
  schema: Found | null;
}

/** `entry` is a media type object of a form or a multipart. */
export function readEncodings(
  entry: Found,
  format: 'form' | 'multipart',
  reading: Reading,
  direction: Direction,
): Encoded {
  const { description, unchecked } = reading;
  const { schema: written, encoding, prefixEncoding, itemEncoding } = entry.value as Mapping;
  const at = child(entry.pointer, 'encoding');
  if (encoding !== undefined && !isMapping(encoding)) {
    description.problem(at, '`encoding` is not a map of properties');
    return { encoding: [], schema: null };
  }
  if (prefixEncoding !== undefined || itemEncoding !== undefined) unchecked.add(POSITIONAL, entry.pointer);
  const schema = written === undefined ? null : { value: written, pointer: child(entry.pointer, 'schema') };
  const properties = schema ? propertiesOf(schema, reading, 0) : new Map<string, Found>();
  const rows: PolicyEncoding[] = [];
  /** Properties that are checked as anything; of a list of files its length still counts. */
  const loose = new Map<string, { list: boolean }>();
  for (const name of new Set([...properties.keys(), ...Object.keys(encoding ?? {})])) {
    const found = encoding !== undefined && Object.hasOwn(encoding, name);
    const row = found ? readEncoding(name, encoding[name], child(at, name), format, reading, direction) : empty(name);
    if (row === null) continue;
    const file = format === 'multipart' ? fileOf(properties.get(name), row.content_types, reading) : null;
    if (file) {
      row.binary = true;
      row.max_bytes = file.most;
      if (row.content_types.length === 0) row.content_types = file.types;
      if (file.narrow) loose.set(name, { list: true });
    } else if (format === 'multipart' && (row.style !== 'form' || !row.explode)) {
      unchecked.add(STYLED, child(at, name));
      loose.set(name, { list: false });
    }
    if (found || file) rows.push(row);
  }
  return { encoding: rows, schema: schema && loose.size > 0 ? widened(schema, loose, reading, 0) : schema };
}

function empty(name: string): PolicyEncoding {
  return {
    name,
    content_types: [],
    style: 'form',
    explode: true,
    allow_reserved: false,
    binary: false,
    max_bytes: null,
    headers: [],
  };
}

function readEncoding(
  name: string,
  value: unknown,
  at: string,
  format: 'form' | 'multipart',
  reading: Reading,
  direction: Direction,
): PolicyEncoding | null {
  const { description, modern } = reading;
  if (!isMapping(value)) {
    description.problem(at, 'this is not an encoding');
    return null;
  }
  const row = empty(name);
  for (const flag of ['explode', 'allowReserved']) {
    if (value[flag] !== undefined && typeof value[flag] !== 'boolean') {
      description.problem(child(at, flag), `\`${flag}\` is neither true nor false`);
    }
  }
  row.content_types = typesOf(value.contentType, child(at, 'contentType'), reading);
  if (value.style !== undefined && !STYLES.includes(value.style as PolicyStyle)) {
    const hint = `it may have ${STYLES.map(known => `\`${known}\``).join(', ')}`;
    description.problem(child(at, 'style'), `\`${String(value.style)}\` is no style of a property`, hint);
  }
  const styled = [value.style, value.explode, value.allowReserved].some(written => written !== undefined);
  // `contentType` has no meaning beside them. In a multipart of OpenAPI 3.0 it is the other way round.
  if (styled && (format === 'form' || modern || value.contentType === undefined)) {
    row.style = STYLES.includes(value.style as PolicyStyle) ? (value.style as PolicyStyle) : 'form';
    row.explode = typeof value.explode === 'boolean' ? value.explode : ['form', 'deepObject'].includes(row.style);
    row.allow_reserved = value.allowReserved === true;
    row.content_types = [];
  }
  if (format === 'multipart') row.headers = readHeaders(value.headers, child(at, 'headers'), reading, direction);
  else if (value.headers !== undefined) reading.unchecked.add(NOT_APPLIED, at);
  return row;
}

/** A list with commas between. */
function typesOf(written: unknown, at: string, { description }: Reading): string[] {
  if (written === undefined) return [];
  const types = typeof written === 'string' ? written.split(',').map(mediaType) : [null];
  const good = types.filter(type => type !== null);
  if (good.length < types.length) {
    description.problem(at, '`contentType` is not a list of media types', 'such as `image/png, image/*`');
  }
  return good;
}

interface File {
  /** Bytes. */
  most: number | null;
  /** What the schema says about the media type. */
  types: string[];
  /** The schema says what an empty string may not satisfy. */
  narrow: boolean;
}

/** null when the property is a value, not a file. `types` are those of the encoding. */
function fileOf(property: Found | undefined, types: readonly string[], reading: Reading): File | null {
  const schema = property && quietly(property, reading);
  if (!schema) return null;
  const bytes = types.length > 0 && !types.some(isText);
  if (schema.value === true) return bytes || reading.modern ? { most: null, types: [], narrow: false } : null;
  if (!isMapping(schema.value)) return null;
  const { value } = schema;
  if (value.type === 'array' && Object.hasOwn(value, 'items')) {
    return fileOf({ value: value.items, pointer: child(schema.pointer, 'items') }, types, reading);
  }
  if (value.type !== undefined && ![value.type].flat().every(type => type === 'string' || type === 'null')) return null;
  const media = reading.modern && typeof value.contentMediaType === 'string' ? mediaType(value.contentMediaType) : null;
  // What `contentEncoding` and the formats of texts speak of is text.
  const isFile =
    value.contentEncoding === undefined &&
    (value.format === 'binary' ||
      (media !== null && !isText(media)) ||
      (value.format === undefined && bytes) ||
      // A part of which nothing at all is said is `application/octet-stream` since OpenAPI 3.1.
      (reading.modern && saysNothing(value) && !types.some(isText)));
  if (!isFile) return null;
  return {
    most:
      Number.isSafeInteger(value.maxLength) && (value.maxLength as number) >= 0 ? (value.maxLength as number) : null,
    types: media === null ? [] : [media],
    narrow: NARROWING.some(keyword => Object.hasOwn(value, keyword)),
  };
}

/** A schema that anything satisfies. */
export function saysNothing(schema: unknown): boolean {
  return schema === true || (isMapping(schema) && Object.keys(schema).every(keyword => ANNOTATIONS.has(keyword)));
}

/** What a schema and its parts say about properties; what is broken about it is told where it is compiled. */
function propertiesOf(schema: Found, reading: Reading, depth: number): Map<string, Found> {
  const found = quietly(schema, reading);
  const properties = new Map<string, Found>();
  if (found === null || !isMapping(found.value) || depth > MAX_DEPTH) return properties;
  for (const keyword of COMPOSED) {
    const parts = found.value[keyword];
    if (!Array.isArray(parts)) continue;
    for (const [index, value] of parts.entries()) {
      const part = { value, pointer: child(child(found.pointer, keyword), index) };
      for (const [name, property] of propertiesOf(part, reading, depth + 1)) properties.set(name, property);
    }
  }
  const { properties: own } = found.value;
  for (const [name, value] of isMapping(own) ? Object.entries(own) : []) {
    properties.set(name, { value, pointer: child(child(found.pointer, 'properties'), name) });
  }
  return properties;
}

/** Along `$ref`, without a word about one that leads nowhere. */
function quietly(schema: Found, { description }: Reading): Found | null {
  let found: Found = schema;
  for (let step = 0; isMapping(found.value) && typeof found.value.$ref === 'string'; step++) {
    const next = step < MAX_DEPTH ? description.look(found.value.$ref, found.pointer) : null;
    if (next === null) return null;
    found = next;
  }
  return found;
}

/** The schema, with some properties allowed to be anything. Its pointer is of the same file, and of no other schema. */
function widened(schema: Found, loose: ReadonlyMap<string, { list: boolean }>, reading: Reading, depth: number): Found {
  const found = quietly(schema, reading);
  if (found === null || !isMapping(found.value) || depth > MAX_DEPTH) return schema;
  const value: Mapping = { ...found.value };
  if (isMapping(value.properties)) {
    value.properties = Object.fromEntries(
      Object.entries(value.properties).map(([name, property]) => {
        const found = loose.get(name);
        return [name, found ? anything(property, found.list) : property];
      }),
    );
  }
  for (const keyword of COMPOSED) {
    const parts = value[keyword];
    if (!Array.isArray(parts)) continue;
    value[keyword] = parts.map((part: unknown, index) => {
      const at = child(child(found.pointer, keyword), index);
      const inner = widened({ value: part, pointer: at }, loose, reading, depth + 1);
      // A reference of another file would count from here.
      return partOf(inner.pointer) === partOf(found.pointer) ? inner.value : part;
    });
  }
  const names = [...loose].map(([name, { list }]) => `${name} ${list}`);
  return { value, pointer: child(`${found.pointer}/`, names.join(' ')) };
}

function anything(property: unknown, list: boolean): unknown {
  return list && isMapping(property) && property.type === 'array' ? { ...property, items: {} } : {};
}
