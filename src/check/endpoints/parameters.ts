// Parameters of operations, headers of responses and of parts: rows of name, place, style and schema.

import { child } from '../../config/pointer.js';
import type { PolicyParameter, PolicyStyle } from '../../config/policy.js';
import { type Found, isMapping, type Mapping } from './description.js';
import { isJson, mediaType } from './media-types.js';
import type { Direction, Reading } from './reading.js';

type Location = PolicyParameter['location'];

/** Style Values of the specification; the first of each is the default. */
const STYLES: Readonly<Record<Location, readonly PolicyStyle[]>> = {
  path: ['simple', 'label', 'matrix'],
  query: ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'],
  header: ['simple'],
  cookie: ['form'],
};
const LOCATIONS = Object.keys(STYLES);

/** Header parameters that "shall be ignored": other members of the description speak of them. */
const ELSEWHERE = new Set(['accept', 'content-type', 'authorization']);

const QUERYSTRING =
  '`querystring` parameter is described but not checked|`querystring` parameters are described but not checked';
const COOKIE_STYLE =
  'cookie of style `cookie` is described but not checked|cookies of style `cookie` are described but not checked';
const OTHER_CONTENT =
  'parameter holds a media type that nothing here reads: any text is let through|parameters hold media types that nothing here reads: any text is let through';
const NO_PARAMETER =
  'operation leaves a variable of its path undescribed: any text is let through|operations leave variables of their paths undescribed: any text is let through';

export interface Parameters {
  rows: PolicyParameter[];
  /** One parameter is the whole query: none of its names is unknown. */
  wholeQuery: boolean;
}

/** `item` and `operation` are what stands under `parameters` of a path item and of an operation at `at`, whose win. */
export function readParameters(
  item: Found,
  operation: Found,
  at: string,
  template: string,
  reading: Reading,
): Parameters {
  const variables = variablesOf(template);
  const read: Parameters = { rows: [], wholeQuery: false };
  const merged = new Map([...listed(item, reading), ...listed(operation, reading)]);
  for (const found of merged.values()) {
    const { name, in: location } = found.value as { name: string; in: string };
    if (location === 'querystring') {
      reading.unchecked.add(QUERYSTRING, found.pointer);
      read.wholeQuery = true;
    } else if (location === 'path' && !variables.includes(name)) {
      const hint = variables.length > 0 ? `it has ${variables.map(known => `\`${known}\``).join(', ')}` : undefined;
      reading.description.problem(found.pointer, `the path \`${template}\` has no variable \`{${name}}\``, hint);
    } else if (!(location === 'header' && ELSEWHERE.has(name.toLowerCase()))) {
      const row = readParameter(found, name, location as Location, reading, 'request');
      if (row) read.rows.push(row);
    }
  }
  const described = new Set(read.rows.filter(({ location }) => location === 'path').map(({ name }) => name));
  if (variables.some(name => !described.has(name))) reading.unchecked.add(NO_PARAMETER, at);
  return read;
}

/** Names between braces, in the order of the template. */
export function variablesOf(template: string): string[] {
  return [...template.matchAll(/\{([^{}]+)\}/g)].map(([, name]) => name as string);
}

/** What is under `headers` of a response or of an encoding. */
export function readHeaders(headers: unknown, at: string, reading: Reading, direction: Direction): PolicyParameter[] {
  if (headers === undefined) return [];
  const { description } = reading;
  if (!isMapping(headers)) {
    description.problem(at, '`headers` is not a map of headers');
    return [];
  }
  const rows = new Map<string, PolicyParameter>();
  for (const [written, header] of Object.entries(headers)) {
    const name = written.toLowerCase();
    // The media type is said by `content`.
    if (name === 'content-type') continue;
    const pointer = child(at, written);
    if (!TOKEN.test(name)) description.problem(pointer, `\`${written}\` cannot be the name of a header`);
    else if (rows.has(name)) description.problem(pointer, `the header \`${written}\` is described twice`);
    const found = description.follow({ value: header, pointer });
    if (found === null) continue;
    const row = isMapping(found.value) ? readParameter(found, name, 'header', reading, direction) : null;
    if (row) rows.set(name, row);
    else if (!isMapping(found.value)) description.problem(found.pointer, 'this is not a header');
  }
  return [...rows.values()];
}

/** A token (RFC 9110, 5.6.2): a method, the name of a field. */
export const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** The parameters of a list, by what tells one from another. */
function listed({ value, pointer: at }: Found, { description, since32 }: Reading): Map<string, Found> {
  const parameters = new Map<string, Found>();
  if (value === undefined) return parameters;
  if (!Array.isArray(value)) {
    description.problem(at, '`parameters` is not a list');
    return parameters;
  }
  const places = since32 ? [...LOCATIONS, 'querystring'] : LOCATIONS;
  value.forEach((written: unknown, index) => {
    const found = description.follow({ value: written, pointer: child(at, index) });
    if (found === null) return;
    const { value: parameter, pointer } = found;
    if (!isMapping(parameter) || typeof parameter.name !== 'string' || !places.includes(String(parameter.in))) {
      description.problem(pointer, `a parameter needs \`name\`, and \`in\`: one of ${places.join(', ')}`);
      return;
    }
    const location = String(parameter.in);
    // Header fields are the same in any case (RFC 9110, 5.1).
    const name = location === 'header' ? parameter.name.toLowerCase() : parameter.name;
    if (location === 'header' && !TOKEN.test(name)) {
      description.problem(child(pointer, 'name'), `\`${name}\` cannot be the name of a header`);
      return;
    }
    const key = `${location} ${name}`;
    if (parameters.has(key)) {
      description.problem(child(at, index), `the ${location} parameter \`${parameter.name}\` is described twice`);
    }
    parameters.set(key, found);
  });
  return parameters;
}

function readParameter(
  { value, pointer }: Found,
  name: string,
  location: Location,
  reading: Reading,
  direction: Direction,
): PolicyParameter | null {
  const { description, unchecked } = reading;
  const parameter = value as Mapping;
  for (const flag of ['required', 'explode', 'allowReserved', 'allowEmptyValue']) {
    if (parameter[flag] !== undefined && typeof parameter[flag] !== 'boolean') {
      description.problem(child(pointer, flag), `\`${flag}\` is neither true nor false`);
    }
  }
  if (location === 'path' && parameter.required !== true) {
    description.problem(pointer, `the path parameter \`${name}\` is not required`, 'write `required: true`');
  }
  const row: PolicyParameter = {
    name: location === 'header' ? name.toLowerCase() : name,
    location,
    required: parameter.required === true,
    style: STYLES[location][0] as PolicyStyle,
    explode: location === 'query' || location === 'cookie',
    allow_empty: location === 'query' && parameter.allowEmptyValue === true,
    allow_reserved: location === 'query' && parameter.allowReserved === true,
    schema: '',
    content: null,
  };
  const [schema, content] = [Object.hasOwn(parameter, 'schema'), Object.hasOwn(parameter, 'content')];
  if (schema === content) {
    const fault = schema ? 'has both `schema` and `content`' : 'has neither `schema` nor `content`';
    description.problem(pointer, `\`${name}\` ${fault}`, 'write exactly one of the two');
    return null;
  }
  if (content) return readContent(parameter.content, child(pointer, 'content'), row, reading, direction);
  let found: Found | null = { value: parameter.schema, pointer: child(pointer, 'schema') };
  const { style } = parameter;
  if (reading.since32 && location === 'cookie' && style === 'cookie') {
    unchecked.add(COOKIE_STYLE, pointer);
    found = null;
  } else if (style !== undefined && !STYLES[location].includes(style as PolicyStyle)) {
    const hint = `a ${location} parameter may have ${STYLES[location].map(known => `\`${known}\``).join(', ')}`;
    description.problem(child(pointer, 'style'), `\`${String(style)}\` is no style of a ${location} parameter`, hint);
  } else if (style !== undefined) {
    row.style = style as PolicyStyle;
    // `deepObject` has no other form.
    row.explode = style === 'form' || style === 'deepObject';
  }
  if (typeof parameter.explode === 'boolean' && row.style !== 'deepObject') row.explode = parameter.explode;
  row.schema = reading.schema(found, direction);
  return row;
}

/** A parameter whose text is a document of its own. */
function readContent(
  content: unknown,
  at: string,
  row: PolicyParameter,
  reading: Reading,
  direction: Direction,
): PolicyParameter | null {
  const { description } = reading;
  const entries = isMapping(content) ? Object.entries(content) : [];
  const [written, entry] = entries[0] ?? ['', null];
  const type = mediaType(written);
  if (entries.length !== 1 || type === null) {
    description.problem(at, '`content` of a parameter has exactly one media type');
    return null;
  }
  const found = description.follow({ value: entry, pointer: child(at, written) });
  if (found === null) return null;
  if (!isMapping(found.value)) {
    description.problem(found.pointer, 'this is not a media type object');
    return null;
  }
  const described = Object.hasOwn(found.value, 'schema');
  const readable = isJson(type) || (type.startsWith('text/') && type !== 'text/xml');
  if (described && !readable) reading.unchecked.add(OTHER_CONTENT, at);
  const schema = described && readable ? { value: found.value.schema, pointer: child(found.pointer, 'schema') } : null;
  return { ...row, schema: reading.schema(schema, direction), content: type };
}
