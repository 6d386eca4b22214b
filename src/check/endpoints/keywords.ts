// The keywords of JSON Schema and of OpenAPI's own schemas, by the draft that has them.

import { isMapping } from './description.js';

/** What a schema is written in. `openapi-3.0` is OpenAPI 3.0's own mixture of draft-05 and inventions. */
export type Draft = 'openapi-3.0' | 'draft-04' | 'draft-06' | 'draft-07' | '2019-09' | '2020-12';

const ORDER: Draft[] = ['openapi-3.0', 'draft-04', 'draft-06', 'draft-07', '2019-09', '2020-12'];

export function before(draft: Draft, other: Draft): boolean {
  return ORDER.indexOf(draft) < ORDER.indexOf(other);
}

/** In OpenAPI 3.0 and up to draft-07 a reference stands alone: what is written beside it does not count. */
export function referencesStandAlone(draft: Draft): boolean {
  return before(draft, '2019-09');
}

const DIALECTS: [RegExp, Draft][] = [
  [/^https?:\/\/json-schema\.org\/draft-04\/schema#?$/, 'draft-04'],
  [/^https?:\/\/json-schema\.org\/draft-06\/schema#?$/, 'draft-06'],
  [/^https?:\/\/json-schema\.org\/draft-07\/schema#?$/, 'draft-07'],
  [/^https:\/\/json-schema\.org\/draft\/2019-09\/schema#?$/, '2019-09'],
  [/^https:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/, '2020-12'],
  [/^https:\/\/spec\.openapis\.org\/oas\/3\.[12]\/(dialect\/|schema-base\/)/, '2020-12'],
];

/** The draft that a `$schema` or `jsonSchemaDialect` names; null for any other. */
export function draftOf(dialect: unknown): Draft | null {
  return DIALECTS.find(([known]) => known.test(String(dialect)))?.[1] ?? null;
}

export type Kind =
  | 'schema'
  | 'schemas'
  | 'map'
  | 'items'
  | 'number'
  | 'positive'
  | 'count'
  | 'text'
  | 'flag'
  | 'names'
  | 'list'
  | 'any'
  | 'dependent'
  | 'dependencies'
  | 'type';

/** First draft with the keyword, first without it, what its value is. */
const KEYWORDS: [Draft, Draft | null, Kind, string][] = [
  ['openapi-3.0', null, 'type', 'type'],
  ['openapi-3.0', null, 'number', 'maximum minimum'],
  ['openapi-3.0', 'draft-06', 'flag', 'exclusiveMaximum exclusiveMinimum'],
  ['draft-06', null, 'number', 'exclusiveMaximum exclusiveMinimum'],
  ['openapi-3.0', null, 'positive', 'multipleOf'],
  ['openapi-3.0', null, 'count', 'maxLength minLength maxItems minItems maxProperties minProperties'],
  ['openapi-3.0', null, 'text', 'pattern format'],
  ['openapi-3.0', null, 'flag', 'uniqueItems'],
  ['openapi-3.0', null, 'names', 'required'],
  ['openapi-3.0', null, 'list', 'enum'],
  ['openapi-3.0', null, 'schema', 'not additionalProperties'],
  ['openapi-3.0', null, 'schemas', 'allOf anyOf oneOf'],
  ['openapi-3.0', null, 'map', 'properties'],
  ['openapi-3.0', 'draft-04', 'schema', 'items'],
  ['draft-04', '2020-12', 'items', 'items'],
  ['2020-12', null, 'schema', 'items'],
  ['draft-04', '2020-12', 'schema', 'additionalItems'],
  ['draft-04', null, 'map', 'patternProperties'],
  ['draft-04', '2019-09', 'dependencies', 'dependencies'],
  ['draft-06', null, 'any', 'const'],
  ['draft-06', null, 'schema', 'contains propertyNames'],
  ['draft-07', null, 'schema', 'if then else'],
  ['2019-09', null, 'count', 'maxContains minContains'],
  ['2019-09', null, 'schema', 'unevaluatedItems unevaluatedProperties'],
  ['2019-09', null, 'map', 'dependentSchemas'],
  ['2019-09', null, 'dependent', 'dependentRequired'],
  ['2020-12', null, 'schemas', 'prefixItems'],
];

const TABLES = new Map(
  ORDER.map(draft => {
    const known = KEYWORDS.filter(
      ([since, until]) => !before(draft, since) && (until === null || before(draft, until)),
    );
    const pairs = known.flatMap(([, , kind, list]) => list.split(' ').map(keyword => [keyword, kind] as const));
    return [draft, new Map<string, Kind>(pairs)];
  }),
);

/** What the value of a keyword that decides something is; undefined for all others. */
export function kindOf(keyword: string, draft: Draft): Kind | undefined {
  return (TABLES.get(draft) as Map<string, Kind>).get(keyword);
}

/** Keywords that decide nothing by themselves, or are read with another keyword. */
export const SILENT = new Set(
  (
    'title description default example examples deprecated readOnly writeOnly discriminator externalDocs xml nullable ' +
    '$ref $dynamicRef $recursiveRef $schema $comment id $id $anchor $dynamicAnchor $recursiveAnchor $vocabulary ' +
    '$defs definitions contentEncoding contentMediaType contentSchema'
  ).split(' '),
);
/** Maps of schemas that decide nothing where they stand. */
export const DEFINITIONS = ['$defs', 'definitions'];

export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'];

const whole = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const names = (value: unknown) =>
  Array.isArray(value) && value.every(name => typeof name === 'string') && new Set(value).size === value.length;

/** Values that are taken as they are. */
export const PLAIN: Partial<Record<Kind, { name: string; holds(value: unknown): boolean }>> = {
  number: { name: 'a number', holds: value => Number.isFinite(value) },
  positive: { name: 'a number above 0', holds: value => Number.isFinite(value) && (value as number) > 0 },
  count: { name: 'a whole number, 0 or more', holds: whole },
  text: { name: 'text', holds: value => typeof value === 'string' },
  flag: { name: 'true or false', holds: value => typeof value === 'boolean' },
  names: { name: 'a list of different names', holds: names },
  list: { name: 'a list', holds: Array.isArray },
  any: { name: 'a value', holds: () => true },
  dependent: {
    name: 'a map of lists of names',
    holds: value => isMapping(value) && Object.values(value).every(names),
  },
};
