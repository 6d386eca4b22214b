// Each test/corpus/config/<case>.yaml is loaded; what is said about it is <case>.txt, word for word.
// A new case needs no code: write the YAML, run once, read the text that appears.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { load } from '../../src/config/load.js';
import { render } from '../../src/config/problem.js';
import { type Folder, makeFolder } from './folder.js';

const CASES = join(import.meta.dirname, '../corpus/config');

let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

const lookups = {
  env: { PORT: '8443', EMPTY: '', SECRET: 'hunter2', LONG_SECRET: 'hunter2 '.repeat(4) },
  resolve: async (name: string) => {
    if (name === 'orders.internal') return ['10.0.0.7', 'fd00::7'];
    throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
  },
};

for (const name of readdirSync(CASES).filter(name => name.endsWith('.yaml'))) {
  test(name.replace('.yaml', '').replaceAll('-', ' '), async () => {
    const file = folder.write('portcullis.yaml', readFileSync(join(CASES, name), 'utf8'));
    const { remarks } = await load(file, lookups);
    const text = remarks.map(remark => render(remark)).join('\n\n');
    const said = `${text.replaceAll(`${folder.path}/`, '')}\n`;
    expect(said).not.toContain('hunter2');
    await expect(said).toMatchFileSnapshot(join(CASES, name.replace('.yaml', '.txt')));
  });
}
