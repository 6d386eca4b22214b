// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax that is tested

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { interpolate } from '../../src/config/interpolate.js';
import { Source } from '../../src/config/read.js';
import { damerauLevenshtein, suggest } from '../../src/config/suggest.js';

const env = { PORT: '8443', EMPTY: '', TEXT: 'a: b' };
const from = {
  env,
  file: (path: string) => {
    if (path === 'secret') return 'swordfish\n';
    throw new Error('the file does not exist');
  },
};
const read = (text: string) => new Source('p.yaml', text, from);

describe('interpolation', () => {
  test.each([
    ['${PORT}', '8443'],
    ['0.0.0.0:${PORT}', '0.0.0.0:8443'],
    ['${UNSET:-8080}', '8080'],
    ['${EMPTY:-8080}', '8080'],
    ['${EMPTY}', ''],
    ['${UNSET:-}', ''],
    ['${file:secret}', 'swordfish'],
    ['$${PORT} costs $5', '${PORT} costs $5'],
    ['ip.src in $partners', 'ip.src in $partners'],
  ])('%s becomes %s', (written, expected) => {
    expect(interpolate(written, from)).toMatchObject({ text: expected, faults: [] });
  });

  test('a plain scalar gets its type after interpolation, a quoted one stays a string', () => {
    expect(read('a: ${PORT}\nb: "${PORT}"\nc: x${PORT}').value).toEqual({ a: 8443, b: '8443', c: 'x8443' });
  });

  test('what is put in cannot add structure', () => {
    expect(read('a: ${TEXT}').value).toEqual({ a: 'a: b' });
  });

  test('a value from outside is never quoted back', () => {
    expect(read('a: ${file:secret}').written('/a')).toBe('${file:secret}');
  });
});

describe('places', () => {
  const at = (text: string, found: string, pointer = '/a') => {
    const source = read(text);
    const value = (source.value as { a: string }).a;
    const start = Buffer.byteLength(value.slice(0, value.indexOf(found)));
    const { line, column, width } = source.place(pointer, { bytes: [start, start + Buffer.byteLength(found)] });
    return [line, column, width];
  };

  test.each([
    ['plain', 'a: one bad two', [1, 8, 3]],
    ['single quotes', "a: 'it''s bad'", [1, 11, 3]],
    ['double quotes', 'a: "tab\\tbad"', [1, 10, 3]],
    ['double quotes with \\u', 'a: "\\u00e9 bad"', [1, 12, 3]],
    ['behind characters of several bytes', 'a: äö😀 bad', [1, 9, 3]],
    ['literal block', 'a: |\n  one\n  two bad\n', [3, 7, 3]],
    ['literal block, more indented', 'a: |\n  one\n    bad\n', [3, 5, 3]],
    ['folded block', 'a: >-  # why\n  one\n  two\n\n  bad\n', [5, 3, 3]],
    ['plain over several lines', 'a: one\n  two\n  bad', [3, 3, 3]],
  ])('inside a scalar: %s', (_, text, expected) => {
    expect(at(text, 'bad')).toEqual(expected);
  });

  test('a span never leaves its scalar, whatever the style', () => {
    const style = fc.constantFrom('PLAIN', 'QUOTE_SINGLE', 'QUOTE_DOUBLE', 'BLOCK_LITERAL', 'BLOCK_FOLDED');
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), style, (value, defaultStringType) => {
        fc.pre(!value.includes('${') && !value.includes('\r'));
        const text = stringify({ before: 1, a: value, after: 2 }, { defaultStringType } as never);
        const source = read(text);
        if ((source.value as { a: unknown }).a !== value) return;
        const bytes = Buffer.byteLength(value);
        for (let i = 0; i <= bytes; i++) {
          const place = source.place('/a', { bytes: [i, i + 1] });
          expect(place.line).toBeGreaterThanOrEqual(2);
          expect(place.column).toBeGreaterThanOrEqual(1);
          expect(place.column).toBeLessThanOrEqual(place.text.length + 1);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('a value that is not in the file is where it is missing', () => {
    expect(read('a:\n  b: 1').place('/a/c/d')).toMatchObject({ line: 1, column: 1, width: 1 });
  });

  test('a list without some of its items keeps the places of the others', () => {
    expect(read('a:\n  - 1\n  - 2').place('/a/1')).toMatchObject({ line: 3, column: 5 });
  });
});

describe('hostile files', () => {
  test('an alias bomb is refused', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`);
    const source = read(`l0: &l0 x\n${levels.join('\n')}`);
    expect(source.problems.map(({ message }) => message)).toEqual(['the file is too large or nested too deeply']);
  });

  test('deep nesting is refused', () => {
    expect(read(`a: ${'['.repeat(100)}${']'.repeat(100)}`).problems).toHaveLength(1);
  });

  test('__proto__ is no key', () => {
    expect(read('__proto__: { polluted: true }').problems[0]?.message).toBe('this cannot be a key');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('any text is read or refused, never thrown at', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'a:- \n\t{}[]&*|>"\'$!#%?,~0') }), text => {
        read(text);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('did you mean', () => {
  test.each([
    ['listne', 'listen'],
    ['Hosts', 'hosts'],
    ['autorities', 'authorities'],
    ['treads', 'threads'],
    ['zzz', null],
    ['x', null],
  ])('%s: %s', (written, expected) => {
    expect(suggest(written, ['listen', 'hosts', 'authorities', 'threads', 'rules', 'log'])).toBe(expected);
  });

  test('a swap of neighbours is one step', () => {
    expect(damerauLevenshtein('ab', 'ba')).toBe(1);
    expect(damerauLevenshtein('orgin', 'origin')).toBe(1);
    expect(damerauLevenshtein('', 'abc')).toBe(3);
  });
});
