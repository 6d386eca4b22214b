// Values written as parameters, in every style that OpenAPI has (3.1.1, Style Values, after RFC 6570): an independent
// writer for what the engine reads.

export type Scalar = string | number | boolean;
export type Value = Scalar | Scalar[] | Record<string, Scalar>;

export interface Styled {
  in: 'path' | 'query' | 'header' | 'cookie';
  style: 'simple' | 'label' | 'matrix' | 'form' | 'spaceDelimited' | 'pipeDelimited' | 'deepObject';
  explode: boolean;
}

/** What a request has in each of its places; a path is the text of one segment. */
export interface Placed {
  path: string;
  query: string;
  fields: [name: string, value: string][];
}

/** `name=value` becomes part of a request. */
export function placed(styled: Styled, name: string, value: Value): Placed {
  const nowhere: Placed = { path: 'x', query: '', fields: [] };
  switch (styled.in) {
    case 'path':
      return { ...nowhere, path: inPath(styled, name, value) };
    case 'query':
      return { ...nowhere, query: inQuery(styled, name, value) };
    case 'header':
      return { ...nowhere, fields: [[name.toLowerCase(), list(value, styled.explode, '=', ',', String)]] };
    case 'cookie':
      return { ...nowhere, fields: [['cookie', `before=1; ${name}=${list(value, false, '=', ',', encode)}`]] };
  }
}

function inPath({ style, explode }: Styled, name: string, value: Value): string {
  switch (style) {
    case 'label':
      return `.${list(value, explode, '=', explode ? '.' : ',', encode)}`;
    case 'matrix': {
      if (!explode || !isContainer(value)) return matrix(name, list(value, false, '=', ',', encode));
      return pairs(value, name)
        .map(([name, value]) => matrix(encode(name), encode(value)))
        .join('');
    }
    default:
      return list(value, explode, '=', ',', encode);
  }
}

/** An empty value has no sign of equality (RFC 6570, 3.2.7). */
function matrix(name: string, text: string): string {
  return text === '' ? `;${name}` : `;${name}=${text}`;
}

function inQuery({ style, explode }: Styled, name: string, value: Value): string {
  if (style === 'deepObject') {
    return pairs(value, name)
      .map(([member, text]) => `${name}[${encode(member)}]=${encode(text)}`)
      .join('&');
  }
  if (!explode || !isContainer(value)) {
    const between = { spaceDelimited: '%20', pipeDelimited: '%7C' }[style as string] ?? ',';
    return `${name}=${list(value, false, '=', between, encode)}`;
  }
  return pairs(value, name)
    .map(([name, text]) => `${encode(name)}=${encode(text)}`)
    .join('&');
}

/** `a,b,c` and `k,v,k,v`, or exploded `k=v,k=v`. */
function list(value: Value, explode: boolean, is: string, between: string, write: (text: string) => string): string {
  if (!isContainer(value)) return write(String(value));
  if (Array.isArray(value)) return value.map(item => write(String(item))).join(between);
  return Object.entries(value)
    .map(([name, item]) => `${write(name)}${explode ? is : between}${write(String(item))}`)
    .join(between);
}

/** Members by their names, items by the name of the whole. */
function pairs(value: Value, name: string): [name: string, value: string][] {
  if (Array.isArray(value)) return value.map(item => [name, String(item)]);
  return Object.entries(value as object).map(([name, item]) => [name, String(item)]);
}

function isContainer(value: Value): value is Scalar[] | Record<string, Scalar> {
  return typeof value === 'object';
}

/** All but what is unreserved (RFC 3986, 2.3). */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The schema that allows exactly this value. */
export function exactly(value: Value): object {
  if (Array.isArray(value)) {
    return { type: 'array', prefixItems: value.map(item => ({ const: item })), items: false, minItems: value.length };
  }
  if (isContainer(value)) {
    const properties = Object.fromEntries(Object.entries(value).map(([name, item]) => [name, { const: item }]));
    return { type: 'object', properties, required: Object.keys(value), additionalProperties: false };
  }
  return { const: value };
}
