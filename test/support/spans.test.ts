// The tools that limits are judged with: a span is found as trying them all would find it, and the reader of structured
// fields takes what the RFC allows and nothing else.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mostWithin, type Spent, worstSpan } from './spans.js';
import { parseList, Token } from './structured-fields.js';

const some = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 20 })), { minLength: 1, maxLength: 40 })
  .map(pairs => pairs.map(([sent, took]) => ({ sent, received: sent + took })));

test('the worst span is that of trying all', () => {
  fc.assert(
    fc.property(
      some,
      fc.double({ min: 0.05, max: 2, noNaN: true }),
      fc.integer({ min: 1, max: 10 }),
      (all, rate, burst) => {
        let most = Number.NEGATIVE_INFINITY;
        for (const { sent: from } of all) {
          for (const { received: to } of all) {
            if (to >= from) most = Math.max(most, inside(all, from, to) - burst - rate * (to - from));
          }
        }
        const worst = worstSpan(all, rate, burst);
        expect(worst.over).toBeCloseTo(most, 6);
        expect(worst.admitted).toBe(inside(all, worst.from, worst.to));
      },
    ),
  );
});

test('most within a length is that of trying all', () => {
  fc.assert(
    fc.property(some, fc.integer({ min: 0, max: 40 }), (all, length) => {
      const counts = all.map(({ sent }) => inside(all, sent, sent + length));
      expect(mostWithin(all, length)).toBe(Math.max(...counts));
    }),
  );
});

function inside(all: readonly Spent[], from: number, to: number): number {
  return all.filter(({ sent, received }) => sent >= from && received <= to).length;
}

test('structured fields are read as RFC 9651 says', () => {
  expect(parseList('"a \\"b\\"";q=100;w=60,  token/x;flag, ?1, -1.5, :aGk=:')).toEqual([
    { value: 'a "b"', parameters: { q: 100, w: 60 } },
    { value: new Token('token/x'), parameters: { flag: true } },
    { value: true, parameters: {} },
    { value: -1.5, parameters: {} },
    { value: Buffer.from('hi'), parameters: {} },
  ]);
  expect(parseList('')).toEqual([]);
});

test.each([
  ['a comma at the end', '"a";q=1,'],
  ['no comma', '"a" "b"'],
  ['an open string', '"a'],
  ['a backslash before a letter', '"a\\b"'],
  ['beyond ASCII', '"ä"'],
  ['a space before a parameter', '"a" ;q=1'],
  ['a name in capitals', '"a";Q=1'],
  ['a parameter without its value', '"a";q='],
  ['a number with a point and no digits', '1.'],
  ['16 digits', '1234567890123456'],
  ['the same parameter twice', '"a";q=1;q=2'],
])('%s is no structured field', (_, text) => {
  expect(() => parseList(text)).toThrow('is no structured field');
});
