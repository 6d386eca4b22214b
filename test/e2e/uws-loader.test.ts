// uWebSockets.js on every glibc: the weakened copy where it is needed, the package's own binary elsewhere.

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test, vi } from 'vitest';
import { glibcVersion, loadUws, needsWeakCopy, weaken } from '../../src/accept/uws.js';
import { temporaryFolder } from '../support/cleanup.js';

const NAME = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
const original = join(dirname(createRequire(import.meta.url).resolve('uWebSockets.js')), NAME);
const onOldGlibc = test.runIf(needsWeakCopy(glibcVersion()));

test('a copy is needed below glibc 2.38, and nowhere else', () => {
  expect(needsWeakCopy([2, 36])).toBe(true);
  expect(needsWeakCopy([2, 37])).toBe(true);
  expect(needsWeakCopy([2, 38])).toBe(false);
  expect(needsWeakCopy([2, 41])).toBe(false);
  expect(needsWeakCopy([3, 0])).toBe(false);
  // musl, macOS.
  expect(needsWeakCopy(null)).toBe(false);
});

test.runIf(process.platform === 'linux')('a binary without the requirement is an error that says what to do', () => {
  const addon = readFileSync(fileURLToPath(new URL('../../native/door/portcullis.node', import.meta.url)));
  expect(() => weaken(addon, 'GLIBC_2.38')).toThrow(/no requirement of GLIBC_2\.38: remove the special loading/);
});

test.runIf(process.platform === 'linux')('weakening sets the flag of the one requirement and nothing else', () => {
  const [before, after] = [readFileSync(original), readFileSync(original)];
  weaken(after, 'GLIBC_2.38');
  const changed = [...differences(before, after)];
  // VER_FLG_WEAK is bit 1 of vna_flags.
  expect(changed).toHaveLength(1);
  expect((after[changed[0] ?? 0] ?? 0) ^ (before[changed[0] ?? 0] ?? 0)).toBe(2);
  const once = Buffer.from(after);
  weaken(after, 'GLIBC_2.38');
  expect(after.equals(once)).toBe(true);
});

onOldGlibc('the weakened copy is loaded from the cache folder, and the package stays as it is', () => {
  const cache = join(temporaryFolder(), 'made', 'as-needed');
  const before = readFileSync(original);
  expect(loadUws(cache).SSLApp).toBeTypeOf('function');

  const [copy = '', ...others] = readdirSync(cache);
  expect(others).toEqual([]);
  expect(copy).toMatch(new RegExp(`^[0-9a-f]{16}-${NAME}$`));
  expect(statSync(cache).mode & 0o777).toBe(0o700);
  const weakened = Buffer.from(before);
  weaken(weakened, 'GLIBC_2.38');
  expect(readFileSync(join(cache, copy)).equals(weakened)).toBe(true);
  expect(readFileSync(original).equals(before)).toBe(true);

  const { mtimeMs, ino } = statSync(join(cache, copy));
  expect(loadUws(cache).SSLApp).toBeTypeOf('function');
  expect(statSync(join(cache, copy))).toMatchObject({ mtimeMs, ino });
});

onOldGlibc('a copy that somebody changed is made anew', () => {
  const [first, cache] = [temporaryFolder(), join(temporaryFolder(), 'cache')];
  loadUws(first);
  const [copy = ''] = readdirSync(first);
  mkdirSync(cache);
  writeFileSync(join(cache, copy), 'not what it was');
  loadUws(cache);
  expect(readFileSync(join(cache, copy)).equals(readFileSync(join(first, copy)))).toBe(true);
  expect(readdirSync(cache)).toEqual([copy]);
});

test('with glibc 2.38 the binary of the package is loaded itself', () => {
  const report = { header: { glibcVersionRuntime: '2.38' } };
  const asked = vi.spyOn(process.report, 'getReport').mockReturnValue(report as never);
  const cache = join(temporaryFolder(), 'cache');
  try {
    expect(glibcVersion()).toEqual([2, 38]);
    let refused = '';
    try {
      loadUws(cache);
    } catch (error) {
      refused = String(error);
    }
    asked.mockRestore();
    // An older system's own linker refuses it: so it was the plain one.
    if (needsWeakCopy(glibcVersion())) expect(refused).toContain('GLIBC_2.38');
    else expect(refused).toBe('');
    expect(existsSync(cache)).toBe(false);
  } finally {
    asked.mockRestore();
  }
});

function* differences(one: Buffer, other: Buffer): Generator<number> {
  for (let at = 0; at < one.length; at++) if (one[at] !== other[at]) yield at;
}
