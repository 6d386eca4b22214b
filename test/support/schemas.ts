// Random JSON Schemas, with instances that conform to them and instances that do not.

import fc from 'fast-check';

/** JSON types; every integer is a number too. */
const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const;
type Type = (typeof TYPES)[number];

export interface Generated {
  schema: unknown;
  /** Types of what it takes. */
  types: Type[];
  /** Conforms. */
  value: fc.Arbitrary<unknown>;
  /** Does not, for one reason; null when everything conforms. */
  broken: fc.Arbitrary<unknown> | null;
}

const NAMES = ['a', 'b', 'c', 'name', '', 'a/b', '~', 'é', '__proto__'];
/** With texts that match. */
const PATTERNS: [pattern: string, match: string, other: string][] = [
  ['^[A-Z]{3}-[0-9]+$', 'ABC-1', 'abc-1'],
  ['^(a|b)*$', 'abba', 'abc'],
  ['x', 'a x b', 'a b'],
  ['^\\p{L}+$', 'Ünï', 'a1'],
  ['^\\d{2,4}$', '123', '1'],
];
const FORMATS: [format: string, match: string, other: string][] = [
  ['uuid', '123e4567-e89b-12d3-a456-426614174000', '123e4567'],
  ['date', '2026-11-02', '2026-13-02'],
  ['date-time', '2026-11-02T10:00:00Z', '2026-11-02'],
  ['ipv4', '192.0.2.1', '192.0.2.256'],
  ['email', 'ada@example.com', 'ada'],
];

/** Any schema of the kinds below, nested at most `depth` deep. */
export function generated(depth: number): fc.Arbitrary<Generated> {
  const leaves = [text(), whole(), fraction(), plain(), listed(), shaped()];
  if (depth === 0) return fc.oneof(...leaves);
  const inner = generated(depth - 1);
  return fc.oneof(
    ...leaves,
    { arbitrary: fc.oneof(list(inner), map(inner), object(inner)), weight: 6 },
    { arbitrary: fc.oneof(nullable(inner), all(inner), either(inner)), weight: 3 },
  );
}

const ofType: Record<Type, fc.Arbitrary<unknown>> = {
  null: fc.constant(null),
  boolean: fc.boolean(),
  integer: fc.integer({ min: -1000, max: 1000 }),
  number: fc.integer({ min: -1000, max: 1000 }).map(n => n + 0.5),
  string: fc.string({ maxLength: 5 }),
  array: fc.array(fc.integer(), { maxLength: 2 }),
  object: fc.dictionary(fc.constantFrom('a', 'b'), fc.integer(), { maxKeys: 2 }),
};

/** Values of types that are not among these. */
function other(types: readonly Type[]): fc.Arbitrary<unknown> | null {
  const rest = TYPES.filter(type => !types.includes(type) && !(type === 'integer' && types.includes('number')));
  return rest.length > 0 ? fc.constantFrom(...rest).chain(type => ofType[type]) : null;
}

function one(...arbitraries: (fc.Arbitrary<unknown> | null)[]): fc.Arbitrary<unknown> | null {
  const known = arbitraries.filter(each => each !== null);
  return known.length > 0 ? fc.oneof(...known) : null;
}

function text(): fc.Arbitrary<Generated> {
  return fc.tuple(fc.nat(6), fc.nat(6)).map(([a, b]) => {
    const [minLength, maxLength] = [Math.min(a, b), Math.max(a, b)];
    const long = fc.string({ minLength: maxLength + 1, maxLength: maxLength + 3, unit: 'grapheme-ascii' });
    const short = minLength > 0 ? fc.string({ maxLength: minLength - 1, unit: 'grapheme-ascii' }) : null;
    // A character is a code point, however many bytes or UTF-16 units it takes.
    const value = fc
      .array(fc.constantFrom('a', 'é', '€', '𝄞', '"', '\\', '\n'), { minLength, maxLength })
      .map(characters => characters.join(''));
    const schema = { type: 'string', minLength, maxLength };
    return { schema, types: ['string'], value, broken: one(long, short, other(['string'])) };
  });
}

function shaped(): fc.Arbitrary<Generated> {
  const pattern = fc
    .constantFrom(...PATTERNS)
    .map(([pattern, match, miss]) => ({ schema: { type: 'string', pattern }, match, miss }));
  const format = fc
    .constantFrom(...FORMATS)
    .map(([format, match, miss]) => ({ schema: { type: 'string', format }, match, miss }));
  return fc.oneof(pattern, format).map(({ schema, match, miss }) => ({
    schema,
    types: ['string'],
    value: fc.constant(match),
    broken: one(fc.constant(miss), other(['string'])),
  }));
}

function whole(): fc.Arbitrary<Generated> {
  return fc.tuple(fc.integer(), fc.nat(100), fc.boolean()).map(([low, span, exclusive]) => {
    const high = low + span + 2;
    const bounds = exclusive ? { exclusiveMinimum: low, exclusiveMaximum: high } : { minimum: low, maximum: high };
    const edge = exclusive ? 0 : 1;
    const value = fc.integer({ min: low + 1 - edge, max: high - 1 + edge });
    const outside = fc.constantFrom(low - edge, high + edge, low - 1000, high + 1000, low + 1.5);
    const schema = { type: 'integer', ...bounds };
    return { schema, types: ['integer'], value, broken: one(outside, other(['integer'])) };
  });
}

function fraction(): fc.Arbitrary<Generated> {
  return fc.constantFrom(0.01, 0.5, 3, 7).map(multipleOf => {
    const value = fc.integer({ min: -500, max: 500 }).map(n => Number((n * multipleOf).toFixed(2)));
    const schema = { type: 'number', multipleOf };
    return { schema, types: ['number'], value, broken: one(fc.constant(multipleOf / 4), other(['number'])) };
  });
}

function plain(): fc.Arbitrary<Generated> {
  return fc.constantFrom<Type>('null', 'boolean', 'string', 'array', 'object').map(type => ({
    schema: { type },
    types: [type],
    value: ofType[type],
    broken: other([type]),
  }));
}

function listed(): fc.Arbitrary<Generated> {
  const values = fc.uniqueArray(fc.oneof(fc.string({ maxLength: 3 }), fc.integer(), fc.boolean()), {
    minLength: 1,
    maxLength: 4,
  });
  return fc.tuple(values, fc.boolean()).map(([values, single]) => {
    const schema = single ? { const: values[0] } : { enum: values };
    const value = single ? fc.constant(values[0]) : fc.constantFrom(...values);
    const types: Type[] = ['string', 'integer', 'boolean'];
    return { schema, types, value, broken: one(fc.constant('none of them'), other(types)) };
  });
}

function list(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  return fc.tuple(inner, fc.array(inner, { maxLength: 2 }), fc.nat(2), fc.nat(2)).map(([rest, prefix, few, more]) => {
    const [minItems, maxItems] = [prefix.length + few, prefix.length + few + more];
    const schema = {
      type: 'array',
      items: rest.schema,
      ...(prefix.length > 0 && { prefixItems: prefix.map(({ schema }) => schema) }),
      minItems,
      maxItems,
    };
    const items = (count: number) => Array.from({ length: count }, (_, index) => (prefix[index] ?? rest).value);
    const value = fc.integer({ min: minItems, max: maxItems }).chain(count => fc.tuple(...items(count)));
    const index = minItems > 0 ? minItems - 1 : null;
    const faulty = index === null ? null : (prefix[index] ?? rest).broken;
    const inside = faulty && fc.tuple(...replaced(items(minItems), index as number, faulty));
    return { schema, types: ['array'], value, broken: one(inside, fc.tuple(...items(maxItems + 1)), other(['array'])) };
  });
}

function map(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  return inner.map(({ schema: additionalProperties, value, broken }) => {
    const names = fc.constantFrom(...NAMES);
    const members = (values: fc.Arbitrary<unknown>, minKeys: number) =>
      fc.dictionary(names, values, { minKeys, maxKeys: 4, noNullPrototype: true });
    return {
      schema: { type: 'object', additionalProperties },
      types: ['object'],
      value: members(value, 0),
      broken: one(broken && members(broken, 1), other(['object'])),
    };
  });
}

function object(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  const members = fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), inner, fc.boolean()), {
    minLength: 1,
    maxLength: 4,
    selector: ([name]) => name,
  });
  return fc.tuple(members, fc.boolean(), fc.boolean()).map(([members, closed, unevaluated]) => {
    const required = members.filter(([, , required]) => required).map(([name]) => name);
    const schema = {
      type: 'object',
      properties: record(members.map(([name, { schema }]) => [name, schema])),
      ...(required.length > 0 && { required }),
      ...(closed && { [unevaluated ? 'unevaluatedProperties' : 'additionalProperties']: false }),
    };
    const good = members.map(([name, { value }]) => value.map(value => [name, value] as const));
    const value = fc
      .tuple(
        ...good.map((member, index) => (members[index]?.[2] ? member : fc.option(member, { nil: undefined, freq: 1 }))),
      )
      .map(present => record(present.filter(member => member !== undefined)));
    const lacking = required.length > 0 && fc.tuple(...good).map(all => record(all.filter(([n]) => n !== required[0])));
    const faulty = members.findIndex(([, { broken }]) => broken !== null);
    const [name, { broken: fault }] = members[Math.max(faulty, 0)] as (typeof members)[number];
    const inside =
      faulty >= 0 &&
      fault &&
      fc
        .tuple(
          ...replaced(
            good,
            faulty,
            fault.map(value => [name, value] as const),
          ),
        )
        .map(all => record(all));
    const further = closed && fc.tuple(...good).map(all => record([...all, ['further', 1]]));
    return {
      schema,
      types: ['object'],
      value,
      broken: one(lacking || null, inside || null, further || null, other(['object'])),
    };
  });
}

function replaced<T>(all: readonly T[], index: number, one: T): T[] {
  return all.map((each, n) => (n === index ? one : each));
}

/** `__proto__` is a name like any other. */
function record(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  return Object.fromEntries(entries);
}

function nullable(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  return inner.map(({ schema, types, value }) => {
    const both: Type[] = [...types, 'null'];
    return {
      schema: { anyOf: [schema, { type: 'null' }] },
      types: both,
      value: fc.oneof(value, fc.constant(null)),
      broken: other(both),
    };
  });
}

function all(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  return inner.map(({ schema, types, value, broken }) => ({
    schema: { allOf: [{ $ref: '#/components/schemas/Anything' }, schema] },
    types,
    value,
    broken,
  }));
}

function either(inner: fc.Arbitrary<Generated>): fc.Arbitrary<Generated> {
  return fc.tuple(inner, inner).map(([first, second]) => {
    const types = [...first.types, ...second.types];
    return {
      schema: { anyOf: [first.schema, second.schema] },
      types,
      value: fc.oneof(first.value, second.value),
      broken: other(types),
    };
  });
}

/** Any schema at all, of keywords that need not fit together; references lead to `#/components/schemas/A` and `B`. */
export const anySchema: fc.Arbitrary<unknown> = fc.letrec<{ schema: unknown }>(tie => {
  const schema = tie('schema');
  const schemas = fc.array(schema, { minLength: 1, maxLength: 3 });
  const name = fc.constantFrom('a', 'b', 'c');
  const names = fc.uniqueArray(name, { maxLength: 2 });
  const count = fc.nat(3);
  const number = fc.constantFrom(-1, 0, 0.5, 1, 2, 3);
  const keywords: Record<string, fc.Arbitrary<unknown>> = {
    type: fc.oneof(fc.constantFrom(...TYPES), fc.uniqueArray(fc.constantFrom(...TYPES), { minLength: 1 })),
    enum: fc.array(fc.constantFrom<unknown>(null, true, 0, 1, 'a', [], {}, { a: 1 }), { minLength: 1, maxLength: 3 }),
    const: fc.constantFrom<unknown>(null, false, 1, 'b', [1], { b: 0 }),
    minimum: number,
    exclusiveMaximum: number,
    multipleOf: fc.constantFrom(0.5, 1, 2),
    minLength: count,
    maxLength: count,
    pattern: fc.constantFrom('^a', 'b$', '[0-9]'),
    items: schema,
    prefixItems: schemas,
    contains: schema,
    minContains: count,
    maxContains: count,
    minItems: count,
    maxItems: count,
    uniqueItems: fc.boolean(),
    properties: fc.dictionary(name, schema, { maxKeys: 2, noNullPrototype: true }),
    patternProperties: fc.dictionary(fc.constantFrom('^a', 'b'), schema, { maxKeys: 1, noNullPrototype: true }),
    additionalProperties: schema,
    propertyNames: schema,
    required: names,
    minProperties: count,
    maxProperties: count,
    dependentRequired: fc.dictionary(name, names, { maxKeys: 1, noNullPrototype: true }),
    dependentSchemas: fc.dictionary(name, schema, { maxKeys: 1, noNullPrototype: true }),
    allOf: schemas,
    anyOf: schemas,
    oneOf: schemas,
    not: schema,
    if: schema,
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: schema,
    else: schema,
    unevaluatedProperties: schema,
    unevaluatedItems: schema,
    $ref: fc.constantFrom('#/components/schemas/A', '#/components/schemas/B'),
  };
  // Few keywords at a time: many together allow nothing.
  const single = fc
    .constantFrom(...Object.entries(keywords))
    .chain(([name, value]) => value.map(value => [name, value]));
  const few = fc.array(single, { minLength: 1, maxLength: 4 }).map(Object.fromEntries);
  return {
    schema: fc.oneof(
      { maxDepth: 4, depthIdentifier: 'schema' },
      { arbitrary: fc.constantFrom<unknown>(true, false, { type: 'integer' }, { type: 'string' }), weight: 1 },
      { arbitrary: few, weight: 4 },
    ),
  };
}).schema;

/** Instances that such schemas speak of. */
export const anyInstance: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'instance' },
    fc.constantFrom<unknown>(null, true, false, -1, 0, 0.5, 1, 2, 3, '', 'a', 'b', 'ab', 'a1', '€𝄞'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value;
