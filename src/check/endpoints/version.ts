// Which OpenAPI a description is written in.

import type { Description, Mapping } from './description.js';
import type { Unchecked } from './remarks.js';

/** In the order of the specification. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

export interface Version {
  /** Schemas are JSON Schema draft 2020-12: 3.1 and later. */
  modern: boolean;
  /** Members of a path item that are operations. */
  methods: readonly string[];
  /** Path items have `additionalOperations`, parameters may be `in: querystring`: 3.2 and later. */
  since32: boolean;
}

export function readVersion(root: Mapping, description: Description, _unchecked: Unchecked): Version | null {
  if (Object.hasOwn(root, 'swagger')) {
    description.problem('/swagger', 'Swagger 2.0 is not supported yet', 'convert it to OpenAPI 3.0 or 3.1');
    return null;
  }
  const version = /^3\.([01])(\.\d+)?$/.exec(String(root.openapi ?? ''));
  if (!version) {
    const found =
      root.openapi === undefined
        ? '`openapi: 3.1.0` or the like is missing'
        : `version ${String(root.openapi)} is not supported`;
    description.problem('/openapi', found, 'OpenAPI 3.0 and 3.1 are');
    return null;
  }
  return { modern: version[1] === '1', methods: METHODS, since32: false };
}
