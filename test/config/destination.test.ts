import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Destination } from '../../src/journal/events/destination.js';
import { silent } from './fakes.js';
import { type Folder, makeFolder } from './folder.js';

let folder: Folder;
let destination: Destination;
beforeEach(() => {
  folder = makeFolder();
});
afterEach(async () => {
  await destination?.close(10);
  folder.remove();
});

/** Hands out `count` lines, one each time it is asked. */
const lines = (count: number) =>
  vi.fn((buffer: Uint8Array) =>
    count-- > 0 ? new TextEncoder().encodeInto(`{"left":${count}}\n`, buffer).written : 0,
  );

test.skipIf(!existsSync('/dev/full'))('a full disk stops the draining, so that memory stays bounded', async () => {
  const drain = lines(100);
  const log = silent();
  const warned = vi.spyOn(log, 'warn');
  destination = new Destination('/dev/full', 1, drain, log);
  await vi.waitFor(() => expect(warned).toHaveBeenCalledTimes(1));
  await new Promise(resolve => setTimeout(resolve, 300));
  expect(drain).toHaveBeenCalledTimes(1);
  expect(warned).toHaveBeenCalledTimes(1);
});

test.skipIf(!existsSync('/dev/full'))('what could not be written is written once it can be', async () => {
  const link = join(folder.path, 'later.ndjson');
  destination = new Destination('/dev/full', 1, lines(2), silent());
  await new Promise(resolve => setTimeout(resolve, 150));
  destination.reopen(link);
  await vi.waitFor(() => expect(readFileSync(link, 'utf8')).toBe('{"left":1}\n{"left":0}\n'), { timeout: 3_000 });
});

test('a destination that cannot be opened anew leaves the old one in use', async () => {
  const file = join(folder.path, 'events.ndjson');
  const drain = lines(0);
  destination = new Destination(file, 1, drain, silent());
  expect(() => destination.reopen(join(folder.path, 'nowhere/events.ndjson'))).toThrow();
  drain.mockImplementationOnce(buffer => new TextEncoder().encodeInto('{}\n', buffer).written);
  await vi.waitFor(() => expect(readFileSync(file, 'utf8')).toBe('{}\n'));
  rmSync(file);
});
