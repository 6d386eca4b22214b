// What holds for every description: a value that a style writes is read again, a schema takes what conforms to it and
// refuses what does not, and ajv says the same.

import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judge, judgeOfJson } from '../support/judge.js';
import { anyInstance, anySchema, generated } from '../support/schemas.js';
import { exactly, placed, type Scalar, type Styled, type Value } from '../support/styles.js';

/** The same cases in every run. */
const SEED = 4;
/** Half of a surrogate pair: no UTF-8 writes it. */
const LONE = /\p{Surrogate}/u;

describe('serialise then parse', () => {
  const scalar = (text: fc.Arbitrary<string>, number: fc.Arbitrary<number>): fc.Arbitrary<Scalar> =>
    fc.oneof(text, number, fc.boolean());
  const values = (text: fc.Arbitrary<string>, name: fc.Arbitrary<string>, number: fc.Arbitrary<number>) => ({
    one: scalar(text, number) as fc.Arbitrary<Value>,
    list: fc.array(scalar(text, number), { minLength: 1, maxLength: 4 }) as fc.Arbitrary<Value>,
    object: fc.dictionary(name, scalar(text, number), {
      minKeys: 1,
      maxKeys: 4,
      noNullPrototype: true,
    }) as fc.Arbitrary<Value>,
  });
  const whole = fc.integer();
  // Digits that 64 bits do not hold are refused by a reason of their own (`schema.precision` in bodies).
  const precise = (number: number) => !/^-?\d{19,}$/.test(String(number));
  const number = fc.oneof(whole, fc.double({ noNaN: true, noDefaultInfinity: true }).filter(precise));
  /** `without` cannot be told from what stands between values, or has another meaning in that place. */
  const text = (without: RegExp, minLength = 1) =>
    fc.string({ minLength, maxLength: 6, unit: 'binary' }).filter(text => !without.test(text) && !LONE.test(text));
  // Encoded slashes, backslashes and NUL are refused in paths, and dot segments resolved.
  const path = text(/[/\\\0]|^\.{1,2}$/);
  const field = fc.stringMatching(/^[A-Za-z0-9_-]{1,6}( [A-Za-z0-9_-]{1,3})?$/);

  const rows: [where: Styled['in'], style: Styled['style'], explode: boolean, ReturnType<typeof values>][] = [
    ['path', 'simple', false, values(path, path, number)],
    ['path', 'simple', true, values(path, path, number)],
    // A point is never encoded: those of values cannot be told from those between values, which OpenAPI 3.0.3 has
    // without `explode` too.
    ['path', 'label', false, values(text(/[/\\\0.]/), text(/[/\\\0.]/), whole)],
    ['path', 'label', true, values(text(/[/\\\0.]/), text(/[/\\\0.]/), whole)],
    ['path', 'matrix', false, values(path, path, number)],
    ['path', 'matrix', true, values(path, path, number)],
    ['query', 'form', false, values(text(/^$/, 0), text(/^$/), number)],
    ['query', 'form', true, values(text(/^$/, 0), text(/^$/), number)],
    ['query', 'spaceDelimited', false, values(text(/ /), text(/ /), number)],
    ['query', 'pipeDelimited', false, values(text(/\|/), text(/\|/), number)],
    ['query', 'deepObject', true, values(text(/^$/, 0), text(/[[\]]/), number)],
    ['header', 'simple', false, values(field, field, number)],
    ['header', 'simple', true, values(field, field, number)],
    ['cookie', 'form', false, values(text(/^$/, 0), text(/^$/), number)],
  ];

  for (const [where, style, explode, values] of rows) {
    for (const [kind, value] of Object.entries(values)) {
      if (style === 'deepObject' && kind !== 'object') continue;
      if (style.endsWith('Delimited') && kind === 'one') continue;
      test(`${where} ${style}${explode ? ' exploded' : ''}: ${kind}`, async () => {
        await fc.assert(
          fc.asyncProperty(value, value, async (value, other) => {
            const parameter = {
              name: 'Value',
              in: where,
              required: true,
              style,
              explode,
              schema: exactly(value),
            };
            const template = where === 'path' ? '/at/{Value}' : '/at/x';
            const ask = await judge({ paths: { [template]: { get: { parameters: [parameter] } } } });
            const reasons = (value: Value) => {
              const { path, query, fields } = placed({ in: where, style, explode }, 'Value', value);
              return ask({ target: `/at/${path}${query && `?${query}`}`, fields }).map(({ reason }) => reason);
            };
            expect(reasons(value)).toEqual([]);
            if (JSON.stringify(sorted(other)) !== JSON.stringify(sorted(value)) && !samePlace(value, other)) {
              expect(reasons(other)).not.toEqual([]);
            }
          }),
          { seed: SEED, numRuns: 25 },
        );
      });
    }
  }

  /** The order of members is nobody's concern. */
  function sorted(value: Value): unknown {
    return typeof value === 'object' && !Array.isArray(value) ? Object.entries(value).sort() : value;
  }

  /** Text and number that are written alike. */
  function samePlace(value: Value, other: Value): boolean {
    return JSON.stringify(texts(value)) === JSON.stringify(texts(other));
  }

  function texts(value: Value): unknown {
    if (Array.isArray(value)) return value.map(String);
    if (typeof value !== 'object') return String(value);
    return Object.entries(value)
      .map(([name, item]) => [name, String(item)])
      .sort();
  }
});

describe('random schemas', () => {
  const components = { schemas: { Anything: true } };

  test('take what conforms to them', async () => {
    await fc.assert(
      fc.asyncProperty(
        generated(3).chain(({ schema, value }) => fc.tuple(fc.constant(schema), fc.array(value, { minLength: 1 }))),
        async ([schema, values]) => {
          const verdict = await judgeOfJson(schema, components);
          for (const value of values) expect(verdict(value), JSON.stringify(value)).toBe('pass');
        },
      ),
      { seed: SEED, numRuns: 400 },
    );
  });

  test('refuse what does not', async () => {
    const broken = generated(3).filter(({ broken }) => broken !== null);
    await fc.assert(
      fc.asyncProperty(
        broken.chain(({ schema, broken }) =>
          fc.tuple(fc.constant(schema), fc.array(broken as fc.Arbitrary<unknown>, { minLength: 1 })),
        ),
        async ([schema, values]) => {
          const verdict = await judgeOfJson(schema, components);
          for (const value of values) expect(verdict(value), JSON.stringify(value)).toBe('schema.body');
        },
      ),
      { seed: SEED, numRuns: 400 },
    );
  });

  const compiled = (schema: unknown, schemas: object) =>
    new Ajv2020({ strict: false, allErrors: true, logger: false }).compile({
      allOf: [schema],
      components: { schemas },
    });

  test('mean to the engine what they mean to ajv', async () => {
    await fc.assert(
      fc.asyncProperty(
        anySchema.filter(schema => !isExplained(schema)),
        anySchema.filter(schema => !isExplained(schema)),
        fc.array(anyInstance, { minLength: 1, maxLength: 12 }),
        async (schema, second, values) => {
          const schemas = {
            A: { type: ['object', 'integer', 'null'], properties: { a: { $ref: '#/components/schemas/A' }, b: true } },
            B: { maxProperties: 2, properties: { b: second }, items: second },
          };
          const theirs = compiled(schema, schemas);
          const verdict = await judgeOfJson(schema, { schemas });
          for (const value of values) {
            expect(verdict(value), JSON.stringify(value)).toBe(theirs(value) ? 'pass' : 'schema.body');
          }
        },
      ),
      { seed: SEED, numRuns: 300 },
    );
  });

  /** Where ajv is not followed; each was found by the property above, and shrunk. */
  const DISAGREEMENTS: [why: string, schema: object, value: unknown, theirs: boolean | 'an exception', ours: string][] =
    [
      [
        'items that an alternative for objects speaks of count as evaluated to ajv, in arrays too',
        { anyOf: [{ type: 'object', items: true }, {}], unevaluatedItems: false },
        ['b'],
        true,
        'schema.body',
      ],
      [
        'ajv fails where an alternative holds a composition with unevaluatedProperties',
        {
          anyOf: [{ allOf: [{ unevaluatedProperties: true, type: 'null' }, true], type: 'null' }, { type: 'null' }],
          patternProperties: { '^a': { type: 'null' } },
        },
        { a: {} },
        'an exception',
        'schema.body',
      ],
    ];

  function isExplained(schema: unknown): boolean {
    const text = JSON.stringify(schema);
    return /"unevaluated(Items|Properties)"/.test(text) && /"(anyOf|oneOf|if)"/.test(text);
  }

  for (const [why, schema, value, theirs, ours] of DISAGREEMENTS) {
    test(why, async () => {
      expect(isExplained(schema)).toBe(true);
      const validate = compiled(schema, {});
      if (theirs === 'an exception') expect(() => validate(value)).toThrow(TypeError);
      else expect(validate(value)).toBe(theirs);
      expect((await judgeOfJson(schema))(value)).toBe(ours);
    });
  }
});
