// The request body of an operation: which media types it accepts, and which schema checks them.

import { child } from '../../config/pointer.js';
import type { PolicyOperation } from '../../config/policy.js';
import { type Description, type Found, isMapping } from './description.js';
import type { Dialect } from './dialect.js';
import type { Unchecked } from './remarks.js';

type Body = NonNullable<PolicyOperation['body']>;

const NOT_JSON =
  'body of another media type than JSON is passed on unchecked|bodies of other media types than JSON are passed on unchecked';

export function readBody(found: Found, description: Description, dialect: Dialect, unchecked: Unchecked): Body | null {
  const followed = description.follow(found);
  if (followed === null) return null;
  const { value, pointer } = followed;
  if (!isMapping(value) || !isMapping(value.content)) {
    description.problem(pointer, 'a request body needs `content`, with one entry per media type');
    return null;
  }
  if (value.required !== undefined && typeof value.required !== 'boolean') {
    description.problem(child(pointer, 'required'), '`required` is neither true nor false');
  }
  const body: Body = { required: value.required === true, json: [], unchecked: [] };
  const seen = new Set<string>();
  for (const [written, entry] of Object.entries(value.content)) {
    const at = child(child(pointer, 'content'), written);
    const type = mediaType(written);
    if (type === null || !isMapping(entry)) {
      description.problem(at, type === null ? `\`${written}\` is not a media type` : 'this is not a media type object');
    } else if (seen.has(type)) {
      description.problem(at, `\`${type}\` is described twice`, 'parameters do not tell media types apart here');
    } else {
      seen.add(type);
      if (coversJson(type)) {
        const schema = Object.hasOwn(entry, 'schema') ? { value: entry.schema, pointer: child(at, 'schema') } : null;
        body.json.push({ media_type: type, schema: dialect.schema(schema, 'request') });
      }
      if (!isJson(type)) {
        body.unchecked.push(type);
        unchecked.add(NOT_JSON, at);
      }
    }
  }
  return body;
}

/** Lower-case, without parameters; null when it is no media type or range. */
function mediaType(written: string): string | null {
  const essence = (written.split(';', 1)[0] as string).trim().toLowerCase();
  return /^(\*\/\*|[a-z0-9!#$%&'+.^_`|~-]+\/(\*(\+[a-z0-9.-]+)?|[a-z0-9!#$%&'+.^_`|~-]+))$/.test(essence)
    ? essence
    : null;
}

function isJson(type: string): boolean {
  return type === 'application/json' || type === 'text/json' || type.endsWith('+json');
}

/** Ranges that JSON falls under as well: of what they take, JSON is checked. */
function coversJson(type: string): boolean {
  return isJson(type) || type.endsWith('/*');
}
