// Groups of the JSON Schema test suite as schemas of a description.

import { type Found, isMapping, type Mapping } from '../../../src/check/endpoints/description.js';
import { Dialect } from '../../../src/check/endpoints/dialect.js';
import { Unchecked } from '../../../src/check/endpoints/remarks.js';
import { stub } from './stub.js';

export interface Group {
  description: string;
  schema: unknown;
  tests: { description: string; data: unknown; valid: boolean }[];
}

export const DRAFTS: [string, string][] = [
  ['draft4', 'http://json-schema.org/draft-04/schema#'],
  ['draft6', 'http://json-schema.org/draft-06/schema#'],
  ['draft7', 'http://json-schema.org/draft-07/schema#'],
  ['draft2019-09', 'https://json-schema.org/draft/2019-09/schema'],
  ['draft2020-12', 'https://json-schema.org/draft/2020-12/schema'],
];

/** Parts of the names of groups that are refused when they are read, and why. */
export const UNCONVERTED: [string, string][] = [
  ['validate definition against metaschema', 'the drafts themselves are on no disk, and nothing is fetched'],
  ['remote ref, containing refs itself', 'the same'],
  [
    '$id inside an unknown keyword is not a real identifier',
    'a description is searched whole, as no draft knows all places that hold schemas: two are called the same',
  ],
];

/** null when the schema is refused. `remotes`: other files by their URL. */
export function convertGroup(
  { description: title, schema, tests }: Group,
  dialect: string,
  remotes: Map<string, unknown>,
) {
  const older = /draft-0[467]/.test(dialect);
  const id = dialect.includes('draft-04') ? 'id' : '$id';
  const named = isMapping(schema) && !Object.hasOwn(schema, id) && !older;
  const component = named ? { [id]: 'https://suite.invalid/case', ...schema } : schema;
  // Up to draft-07 nothing beside a `$ref` counts, and so no identifier: the schema is the whole file.
  const found: Found = { value: component, pointer: older ? '' : '/components/schemas/Case' };
  const whole = isMapping(component) ? component : {};
  const root = { ...(older ? whole : { components: { schemas: { Case: component } } }), jsonSchemaDialect: dialect };
  const { description, problems } = stub(root, remotes);
  const reader = new Dialect(description, new Unchecked(description), true);
  const property = reader.schema(found, 'request');
  if (problems.length > 0) return null;
  const document = reader.root() as Mapping;
  return [{ description: title, document, tests: tests.map(entry => ({ ...entry, property })) }];
}
