// Each test/corpus/credentials/descriptions/<case>.yaml holds a configuration and, behind a line `---`, a description.
// What is said about both, what `portcullis check --requires` shows and the policy that comes of it is <case>.txt, word
// for word. A new case needs no code: write the YAML, run once, read what appears.

import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { render } from '../../src/config/problem.js';
import { check } from '../../src/manage/cli/check.js';
import { callersTable } from '../../src/manage/cli/operations.js';
import { type Folder, makeFolder } from '../config/folder.js';

const CASES = join(import.meta.dirname, '../corpus/credentials/descriptions');

const lookups = { env: {}, resolve: async () => ['10.0.0.7'] };
/** The engine's part is not looked at here. */
const taken = () => JSON.stringify({ generation: 1, problems: [] });

let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

for (const name of readdirSync(CASES).filter(name => name.endsWith('.yaml'))) {
  test(name.replace('.yaml', '').replaceAll('-', ' '), async () => {
    const [config = '', description] = readFileSync(join(CASES, name), 'utf8').split('---\n');
    if (description !== undefined) folder.write('openapi.yaml', description);
    const { remarks, policy, stated } = await check(folder.write('portcullis.yaml', config), taken, lookups);
    const parts = remarks.map(remark => render(remark));
    if (policy) parts.push(callersTable(policy, stated));
    for (const { name, credentials } of policy?.hosts ?? []) {
      if (credentials === null) continue;
      const { operations, unmatched, ...rest } = credentials;
      const lines = [unmatched, ...operations].map(({ at, any }) => `${at}: ${JSON.stringify(any)}`);
      const others = Object.entries(rest).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
      parts.push([name, ...lines, ...others].join('\n  '));
    }
    const text = `${parts.join('\n\n').replaceAll(`${folder.path}/`, '')}\n`;
    await expect(text).toMatchFileSnapshot(join(CASES, name.replace('.yaml', '.txt')));
  });
}

test('the recipe requires what its README shows', async () => {
  const recipe = (name: string) => readFileSync(join(import.meta.dirname, '../../examples/callers', name), 'utf8');
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  folder.write('jwks.json', JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), alg: 'ES256' }] }));
  folder.write('openapi.yaml', recipe('openapi.yaml'));
  const config = recipe('portcullis.yaml')
    .replace(/\.\.\/\.\.\/\.portcullis\/pki\/localhost/g, 'pki/server')
    .replace('../../.portcullis/callers/', '');
  const { remarks, policy, stated } = await check(folder.write('portcullis.yaml', config), taken, lookups);
  expect(remarks).toEqual([]);
  const shown = policy ? callersTable(policy, stated).replace(/^/gm, '    ') : '';
  expect(recipe('README.md')).toContain(`${shown}\n`);
});
