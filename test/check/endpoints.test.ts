// Each test/corpus/endpoints/descriptions/<case>.yaml is compiled; what is said about it, and the policy that comes
// of it, is <case>.txt, word for word. A new case needs no code: write the YAML, run once, read what appears.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileOpenapi } from '../../src/check/endpoints/compile.js';
import { openapi } from '../../src/check/endpoints/config.js';
import { Loading } from '../../src/config/loading.js';
import { inOrder, render } from '../../src/config/problem.js';
import { Source } from '../../src/config/read.js';

const CASES = join(import.meta.dirname, '../corpus/endpoints/descriptions');

async function compile(file: string, directory = CASES) {
  const text = `hosts:\n  api.example.com:\n    openapi: { file: ${file} }\n`;
  const source = new Source('portcullis.yaml', text, { env: {}, file: () => '' });
  const loading = new Loading(source, directory);
  const policy = await compileOpenapi(openapi.parse({ file }), '/hosts/api.example.com/openapi', loading);
  return { policy, loading, said: inOrder(loading.problems) };
}

for (const file of readdirSync(CASES).filter(name => name.endsWith('.yaml'))) {
  test(file.replace('.yaml', '').replaceAll('-', ' '), async () => {
    const { policy, said } = await compile(file);
    const lines = [...said.map(remark => render(remark)), JSON.stringify(policy, null, 2)];
    await expect(`${lines.join('\n\n')}\n`).toMatchFileSnapshot(join(CASES, file.replace('.yaml', '.txt')));
  });
}

test('a file that does not exist is a problem of the configuration', async () => {
  const { policy, loading, said } = await compile('none.yaml');
  expect(policy).toBeNull();
  expect(said.map(({ message }) => message)).toEqual(['the file does not exist']);
  expect([...loading.files]).toEqual([join(CASES, 'none.yaml')]);
});

test('what the engine says about a schema has its place in the description', async () => {
  const { loading } = await compile('components-are-written-once.yaml');
  const place = loading.place('/hosts/api.example.com/openapi/schema/$defs/Order/properties/customer');
  expect([place.file, place.text.trim()]).toEqual([
    'components-are-written-once.yaml',
    'customer: { $ref: "#/components/schemas/Customer", minLength: 2, x-note: dropped }',
  ]);
});

test('JSON is read as well, and says the same', async () => {
  const { policy } = await compile('components-are-written-once.yaml');
  const { default: yaml } = await import('yaml');
  const value = yaml.parse(readFileSync(join(CASES, 'components-are-written-once.yaml'), 'utf8'));
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-'));
  try {
    writeFileSync(join(folder, 'orders.json'), JSON.stringify(value));
    const again = await compile('orders.json', folder);
    expect(again.policy).toEqual(policy);
    expect(again.said.every(({ severity, place }) => severity === 'warning' && place.text.length <= 400)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a thousand operations over shared components are read within seconds', async () => {
  const schemas = Object.fromEntries(
    Array.from({ length: 200 }, (_, n) => [
      `C${n}`,
      { type: 'object', properties: { next: { $ref: `#/components/schemas/C${(n + 1) % 200}` } } },
    ]),
  );
  const paths = Object.fromEntries(
    Array.from({ length: 1_000 }, (_, n) => [
      `/r${n}/{id}`,
      {
        post: {
          requestBody: { content: { 'application/json': { schema: { $ref: `#/components/schemas/C${n % 200}` } } } },
        },
      },
    ]),
  );
  const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-'));
  try {
    writeFileSync(join(folder, 'big.json'), JSON.stringify({ openapi: '3.1.0', paths, components: { schemas } }));
    const { policy, said } = await compile('big.json', folder);
    expect(said).toEqual([]);
    expect(policy?.operations).toHaveLength(1_000);
    const schema = policy?.schema as { $defs: Record<string, unknown> } | undefined;
    expect(Object.keys(schema?.$defs ?? {})).toHaveLength(200);
    expect(JSON.stringify(policy).length).toBeLessThan(500_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
