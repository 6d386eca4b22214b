// Groups of the JSON Schema test suite as schemas of a description.

import { type Description, type Found, isMapping, type Mapping } from '../../../src/check/endpoints/description.js';
import { Dialect } from '../../../src/check/endpoints/dialect.js';
import { fileOf } from '../../../src/check/endpoints/references.js';
import { Unchecked } from '../../../src/check/endpoints/remarks.js';
import { at as valueAt } from '../../../src/config/pointer.js';

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
  const problems: string[] = [];
  const description = {
    root,
    problem: (at: string, message: string) => problems.push(`${at}: ${message}`),
    warning: () => undefined,
    target(reference: unknown, at: string): Found | null {
      const target = lookUp(String(reference), at, root, remotes);
      if (target === null) problems.push(`${at}: ${String(reference)}`);
      return target;
    },
    peek: (reference: string, base: string) => lookUp(reference, base, root, remotes)?.value,
  } as unknown as Description;
  const reader = new Dialect(description, new Unchecked(description), true);
  const property = reader.schema(found, 'request');
  if (problems.length > 0) return null;
  const document = reader.root() as Mapping;
  return [{ description: title, document, tests: tests.map(entry => ({ ...entry, property })) }];
}

function lookUp(reference: string, at: string, main: unknown, remotes: Map<string, unknown>): Found | null {
  const [uri = '', fragment = ''] = reference.split('#');
  const here = fileOf(at).replace(/#$/, '');
  const file = uri === '' ? here : URL.canParse(uri, here || undefined) ? new URL(uri, here || undefined).href : uri;
  const root = file === '' ? main : remotes.get(file);
  const pointer = decodeURIComponent(fragment);
  if (root === undefined || (pointer !== '' && !pointer.startsWith('/'))) return null;
  const value = valueAt(root, pointer);
  return value === undefined ? null : { value, pointer: file === '' ? pointer : `${file}#${pointer}` };
}
