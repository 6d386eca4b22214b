// Which OpenAPI a description is written in, and what of that version is not enforced.

import { child } from '../../config/pointer.js';
import { type Description, isMapping, type Mapping } from './description.js';
import type { Unchecked } from './remarks.js';

/** In the order of the specification. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

const SELF =
  'description has a `$self`, which does not count: references count from where the file is|descriptions have a `$self`, which does not count: references count from where the file is';
const ITEMS =
  'media type with `itemSchema` is passed on with its items unchecked|media types with `itemSchema` are passed on with their items unchecked';

export interface Version {
  /** Schemas are JSON Schema draft 2020-12: 3.1 and later. */
  modern: boolean;
  /** Members of a path item that are operations. */
  methods: readonly string[];
  /** Path items have `additionalOperations`, parameters may be `in: querystring`: 3.2 and later. */
  since32: boolean;
}

/** null when the version is none that is read; the problem then says so. Swagger 2.0 is OpenAPI 3.0 by now. */
export function readVersion(root: Mapping, description: Description, unchecked: Unchecked): Version | null {
  // `openapi: 3.0` without quotes is the number 3.
  const version = /^3(?:\.([012])(?:\.\d+(?:-[\w.]+)?)?)?$/.exec(String(root.openapi ?? ''));
  if (version) {
    const since32 = version[1] === '2';
    if (since32) remark(root, unchecked);
    const methods = since32 ? [...METHODS, 'query'] : METHODS;
    return { modern: version[1] === '1' || since32, methods, since32 };
  }
  const hint = 'Swagger 2.0 and OpenAPI 3.0, 3.1 and 3.2 are';
  if (root.openapi === undefined && root.swagger !== undefined) {
    description.problem('/swagger', `Swagger ${String(root.swagger)} is not supported`, hint);
  } else if (root.openapi === undefined) {
    description.problem('', '`openapi: 3.1.0` or the like is missing', hint);
  } else {
    description.problem('/openapi', `version ${String(root.openapi)} is not supported`, hint);
  }
  return null;
}

function remark(root: Mapping, unchecked: Unchecked): void {
  if (root.$self !== undefined) unchecked.add(SELF, '/$self');
  const left: { value: unknown; pointer: string }[] = [
    { value: root.paths, pointer: '/paths' },
    { value: root.components, pointer: '/components' },
  ];
  const seen = new Set<object>();
  while (left.length > 0) {
    const { value, pointer } = left.pop() as (typeof left)[number];
    if (typeof value !== 'object' || value === null || seen.has(value)) continue;
    seen.add(value);
    for (const [key, member] of Object.entries(value)) {
      if (typeof member !== 'object' || key === 'schema' || key === 'schemas' || key.startsWith('x-')) continue;
      const at = child(pointer, key);
      if (key === 'content' && isMapping(member)) {
        for (const [type, entry] of Object.entries(member)) {
          const streamed = isMapping(entry) && Object.hasOwn(entry, 'itemSchema');
          if (streamed) unchecked.add(ITEMS, child(child(at, type), 'itemSchema'));
        }
      }
      if (key !== 'example' && key !== 'examples') left.push({ value: member, pointer: at });
    }
  }
}
