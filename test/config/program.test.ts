// Which program is started, when links to it were pointed elsewhere meanwhile.

import { mkdirSync, realpathSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findProgram } from '../../src/manage/program.js';
import { type Folder, makeFolder } from './folder.js';

let folder: Folder;
const at = (...names: string[]) => join(realpathSync(folder.path), ...names);

/** Two versions, and a link to the first. */
beforeEach(() => {
  folder = makeFolder();
  for (const version of ['1', '2']) {
    mkdirSync(at(version));
    for (const name of ['main.js', 'node']) folder.write(`${version}/${name}`, version);
  }
  symlinkSync(at('1'), at('current'));
});
afterEach(() => folder.remove());

const found = (changes: { argv1?: string; argv0?: string; PATH?: string } = {}) => {
  const { argv1 = at('current/main.js'), argv0 = at('current/node'), PATH = '' } = changes;
  const execPath = at('1/node');
  return findProgram(at('1/main.js'), { argv: [execPath, argv1], argv0, execPath, env: { PATH } });
};

test('a link to the version leads to the one that it points at when it is followed', () => {
  const { script, execPath } = found();
  unlinkSync(at('current'));
  symlinkSync(at('2'), at('current'));
  expect([realpathSync(script), realpathSync(execPath())]).toEqual([at('2/main.js'), at('2/node')]);
});

test('a Node.js that was found by its name is found by its name', () => {
  const { execPath } = found({ argv0: 'node', PATH: `:/nowhere:${at('current')}` });
  expect(execPath()).toBe(at('current/node'));
});

test('names that do not lead to what runs are not followed', () => {
  const { script, execPath } = found({ argv1: at('2/main.js'), argv0: 'node', PATH: at('2') });
  expect([script, execPath()]).toEqual([at('1/main.js'), at('1/node')]);
});

test('a Node.js that was taken away leaves the one that runs', () => {
  const { execPath } = found();
  unlinkSync(at('current'));
  expect(execPath()).toBe(at('1/node'));
});
