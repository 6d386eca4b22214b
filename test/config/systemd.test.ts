import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { makeNotify } from '../../src/manage/systemd.js';
import { silent } from './fakes.js';
import { type Folder, makeFolder } from './folder.js';

let folder: Folder;
beforeEach(() => {
  folder = makeFolder();
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder.remove();
});

test('states are told through systemd-notify', async () => {
  const said = join(folder.path, 'said');
  chmodSync(folder.write('systemd-notify', `#!/bin/sh\necho "$@" >> ${said}\n`), 0o755);
  vi.stubEnv('PATH', `${folder.path}:${process.env.PATH}`);
  makeNotify(silent(), '/run/notify')('READY=1');
  await vi.waitFor(() => expect(readFileSync(said, 'utf8')).toBe(`--pid=${process.pid} READY=1\n`), { timeout: 5_000 });
});

test('without systemd-notify one line in the log says so', async () => {
  vi.stubEnv('PATH', folder.path);
  const log = silent();
  const warned = vi.spyOn(log, 'warn');
  const notify = makeNotify(log, '/run/notify');
  notify('READY=1');
  await vi.waitFor(() => expect(warned).toHaveBeenCalledTimes(1));
  notify('STOPPING=1');
  await new Promise(resolve => setTimeout(resolve, 50));
  expect(warned).toHaveBeenCalledTimes(1);
});

test('without systemd nothing is run', () => {
  expect(() => makeNotify(silent(), undefined)('READY=1')).not.toThrow();
});
