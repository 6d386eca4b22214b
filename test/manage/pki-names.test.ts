import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isFor } from '../../src/manage/pki/enrolments.js';
import { fileName } from '../../src/manage/pki/file-name.js';
import { fill, matches, type NameKind } from '../../src/manage/pki/names.js';

test.each<[NameKind, string, string, boolean]>([
  ['dns', '*.example.com', 'a.example.com', true],
  ['dns', '*.example.com', 'A.EXAMPLE.com', true],
  ['dns', '*.example.com', 'a.b.example.com', false],
  ['dns', '*.example.com', '.example.com', false],
  ['dns', '*.example.com', 'example.com', false],
  ['dns', '*.example.com', 'a.example.com.evil.test', false],
  ['dns', 'sensor-*.example.com', 'sensor-7.example.com', true],
  ['dns', '{name}.example.com', 'me.example.com', true],
  ['dns', '{name}.example.com', 'you.example.com', false],
  ['dns', '{name}', 'me', true],
  ['dns', '*', 'anything.at.all', true],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/a', true],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/a/b', false],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/', false],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/..', false],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/%2e%2e', false],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/a?b', false],
  ['uri', 'spiffe://example.org/*', 'spiffe://example.org/a#b', false],
  ['uri', 'spiffe://*/a', 'spiffe://user@evil.test/a', false],
  ['uri', 'spiffe://example.org/ns/*/sa/*', 'spiffe://example.org/ns/a/sa/b', true],
  ['uri', 'urn:uuid:*', 'urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8', true],
  ['email', '*@example.com', 'a.b@example.com', true],
  ['email', '*@example.com', 'a@b@example.com', false],
  ['email', '*@example.com', 'a@evil.test', false],
])('%s pattern %s and %s: %s', (kind, pattern, value, expected) => {
  expect(matches(kind, pattern, value, 'me')).toBe(expected);
});

test('a name with a star in it is no pattern', () => {
  expect(matches('dns', 'x-{name}.example.com', 'x-anything.example.com', '*')).toBe(false);
  expect(matches('dns', '{name}', '*', '*')).toBe(true);
  expect(matches('dns', '{name}', 'a', '*')).toBe(false);
});

test('a name never adds a part to a template', () => {
  expect(fill('dns', '{name}.example.com', 'me')).toBe('me.example.com');
  for (const name of ['a.b', 'a/b', '', '-', 'a b']) expect(fill('dns', '{name}.example.com', name)).toBeNull();
  for (const name of ['..', '.', 'a/b', 'a?b', 'a%2fb', 'ä']) expect(fill('uri', 'spiffe://x/{name}', name)).toBeNull();
  for (const name of ['a@b', '.a', 'a..b']) expect(fill('email', '{name}@example.com', name)).toBeNull();
  expect(fill('uri', 'spiffe://x/fixed', '..')).toBe('spiffe://x/fixed');
});

test('a pattern of one part is what a regular expression says', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
  const text = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(letters, text, (pattern, value) => {
      const said = new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(value);
      expect(matches('dns', `${pattern}.x`, `${value}.x`, 'n')).toBe(said);
      expect(isFor({ name: pattern } as never, value)).toBe(said);
    }),
    { numRuns: 2_000 },
  );
});

test('a pattern of many stars comes to its end', () => {
  expect(matches('dns', `${'a*'.repeat(500)}b`, 'a'.repeat(2_000), 'n')).toBe(false);
  expect(isFor({ name: `${'a*'.repeat(30)}b` } as never, 'a'.repeat(64))).toBe(false);
});

test('a file is named by nothing that a program reads otherwise', () => {
  expect(fileName('sensor-1.example')).toBe('sensor-1.example');
  for (const [name, file] of [
    ['../../etc/passwd', 'etc_passwd'],
    ['.hidden', 'hidden'],
    ['-rf', 'rf'],
    ['CON', 'certificate-CON'],
    ['nul.txt', 'certificate-nul.txt'],
    ['日本', 'certificate'],
  ]) {
    expect(fileName(name ?? '')).toBe(file);
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), name => {
      expect(fileName(name)).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]*$/);
      expect(fileName(name).length).toBeLessThan(80);
    }),
  );
});
