import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { tokenId } from '../../src/manage/admin/tokens.js';
import { anotherKey, digestOf, keyId, makeKey } from '../../src/manage/keys/form.js';

describe('an API key', () => {
  test('is recognised, tells its row, holds 256 random bits and a CRC-32 of all before it', () => {
    const { id, key } = makeKey();
    expect(key).toMatch(/^pck_[0-9a-f]{12}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(keyId(key)).toBe(id);
    expect(Number.parseInt(key.slice(-8), 16)).toBe(crc32(key.slice(0, -9)));
    const all = Array.from({ length: 1_000 }, () => makeKey().key);
    expect(new Set(all.map(one => one.slice(17, 60))).size).toBe(1_000);
    expect(all.every(one => keyId(one) === one.slice(4, 16))).toBe(true);
  });

  test('after a rotation is another one of the same row', () => {
    const { id, key } = makeKey();
    const other = anotherKey(id);
    expect(keyId(other)).toBe(id);
    expect(digestOf(other)).not.toBe(digestOf(key));
    expect(digestOf(key)).toMatch(/^[0-9a-f]{64}$/);
  });

  test('with one character changed, left out, doubled or swapped with its neighbour is none', () => {
    const { key } = makeKey();
    const typed = fc.nat(key.length - 1).chain(at =>
      fc.oneof(
        fc.constantFrom(...'0aZz_-').map(digit => key.slice(0, at) + digit + key.slice(at + 1)),
        fc.constant(key.slice(0, at) + key.slice(at + 1)),
        fc.constant(key.slice(0, at + 1) + key.slice(at)),
        fc.constant(key.slice(0, at) + (key[at + 1] ?? '') + key[at] + key.slice(at + 2)),
      ),
    );
    fc.assert(fc.property(typed, text => (keyId(text) === null) === (text !== key)));
  });

  test('is nothing that is no key, nor a token of the admin API', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => keyId(text) === null));
    const { key } = makeKey();
    for (const text of [`${key}\n`, ` ${key}`, key.toUpperCase(), key.replace('pck', 'pct')]) {
      expect(keyId(text)).toBeNull();
      expect(tokenId(text)).toBeNull();
    }
  });
});
