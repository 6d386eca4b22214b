// Bodies of requests and responses: which media types there are, how the bytes of each become a value, and which schema
// checks it.

import { child } from '../../config/pointer.js';
import type { PolicyBody, PolicyContent } from '../../config/policy.js';
import { type Found, isMapping, type Mapping } from './description.js';
import { readEncodings, saysNothing } from './encodings.js';
import { formatOf, isRange, isXml, mediaType, xmlWithin } from './media-types.js';
import type { Direction, Reading } from './reading.js';

const NOT_READ =
  'body has a schema that nothing checks, because its media type is not read here: it is passed on|bodies have schemas that nothing checks, because their media types are not read here: they are passed on';
const RANGE =
  'range of media types lets bodies through that are not checked; of what it takes, JSON is|ranges of media types let bodies through that are not checked; of what they take, JSON is';
const XML_REFUSED = 'body of XML is refused: nothing here reads it|bodies of XML are refused: nothing here reads them';
const XML_PASSED = 'body of XML is passed on unchecked|bodies of XML are passed on unchecked';
const LINES_AS_LIST =
  'schema of lines speaks of all of them as one list, which is not checked|schemas of lines speak of all of them as one list, which is not checked';

export function readBody(written: Found, reading: Reading): PolicyBody | null {
  const { description } = reading;
  const found = description.follow(written);
  if (found === null) return null;
  const { value, pointer } = found;
  if (!isMapping(value) || !isMapping(value.content)) {
    description.problem(pointer, 'a request body needs `content`, with one entry per media type');
    return null;
  }
  if (value.required !== undefined && typeof value.required !== 'boolean') {
    description.problem(child(pointer, 'required'), '`required` is neither true nor false');
  }
  const content = readContent(value.content, child(pointer, 'content'), reading, 'request');
  return { required: value.required === true, content };
}

export function readContent(content: Mapping, at: string, reading: Reading, direction: Direction): PolicyContent[] {
  const { description } = reading;
  const rows: PolicyContent[] = [];
  const seen = new Set<string>();
  for (const [written, value] of Object.entries(content)) {
    const pointer = child(at, written);
    const type = mediaType(written);
    const entry = description.follow({ value, pointer });
    if (entry === null) continue;
    if (type === null || !isMapping(entry.value)) {
      description.problem(
        pointer,
        type === null ? `\`${written}\` is not a media type` : 'this is not a media type object',
      );
    } else if (seen.has(type)) {
      description.problem(pointer, `\`${type}\` is described twice`, 'parameters do not tell media types apart here');
    } else {
      seen.add(type);
      rows.push(...readEntry(type, entry, reading, direction));
    }
  }
  return rows;
}

function readEntry(type: string, entry: Found, reading: Reading, direction: Direction): PolicyContent[] {
  const { unchecked, allowXml } = reading;
  const { schema: value } = entry.value as Mapping;
  const schema = value === undefined ? null : { value, pointer: child(entry.pointer, 'schema') };
  const row = (format: PolicyContent['format'], checked: Found | null): PolicyContent => ({
    media_type: type,
    format,
    schema: checked && reading.schema(checked, direction),
    encoding: [],
  });
  if (isRange(type)) {
    const xml = allowXml ? [] : xmlWithin(type).map(each => ({ ...row('refused', null), media_type: each }));
    if (type === 'text/*' && schema && holdsText(schema, reading)) {
      return [row('json', schema), row('text', schema), ...xml];
    }
    unchecked.add(RANGE, entry.pointer);
    return [row('json', schema), row('unchecked', null), ...xml];
  }
  if (isXml(type)) {
    unchecked.add(
      allowXml ? XML_PASSED : XML_REFUSED,
      entry.pointer,
      allowXml ? undefined : 'or pass it with `allowXml`',
    );
    return [row(allowXml ? 'unchecked' : 'refused', null)];
  }
  const format = formatOf(type);
  switch (format) {
    case 'form':
    case 'multipart': {
      const { encoding, schema: whole } = readEncodings(entry, format, reading, direction);
      return [{ ...row(format, whole), encoding }];
    }
    case 'ndjson':
      // OpenAPI 3.2 says so; before, nobody did, and descriptions mean a line.
      if (!reading.since32) return [row(format, schema)];
      if (schema) unchecked.add(LINES_AS_LIST, schema.pointer);
      return [row(format, null)];
    case 'text':
      if (schema && holdsText(schema, reading)) return [row(format, schema)];
      break;
    case 'json':
      return [row(format, schema)];
  }
  if (schema && !isBytes(schema.value, reading)) unchecked.add(NOT_READ, entry.pointer);
  return [row('unchecked', null)];
}

/** A text is one string, or what can be written as one; never a list or a map. */
function holdsText(schema: Found, { description }: Reading): boolean {
  let { value } = schema;
  if (isMapping(value) && typeof value.$ref === 'string') value = description.look(value.$ref, schema.pointer)?.value;
  const types = isMapping(value) ? [value.type ?? 'string'].flat() : ['string'];
  return types.some(type => type !== 'array' && type !== 'object');
}

/** A schema that says no more than that there are bytes. */
function isBytes(schema: unknown, { modern }: Reading): boolean {
  if (saysNothing(schema)) return true;
  if (!isMapping(schema) || schema.maxLength !== undefined || schema.minLength !== undefined) return false;
  return (schema.format === 'binary' && schema.type === 'string') || (modern && schema.contentMediaType !== undefined);
}
