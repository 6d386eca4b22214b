// Each test/corpus/endpoints/descriptions/<case>.yaml is compiled; what is said about it, and the policy that comes
// of it, is <case>.txt, word for word. A new case needs no code: write the YAML, run once, read what appears. A first
// line `# openapi: { … }` is what the configuration says beside the file.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileOpenapi } from '../../src/check/endpoints/compile.js';
import { openapi } from '../../src/check/endpoints/config.js';
import { Loading } from '../../src/config/loading.js';
import { inOrder, render } from '../../src/config/problem.js';
import { Source } from '../../src/config/read.js';

const CASES = join(import.meta.dirname, '../corpus/endpoints/descriptions');

const DOCUMENTS =
  '{ documents: [{ file: staging-of-host-document-and-operation.yaml }, { file: pieces/payments.yaml }] }';

async function compile(file: string, directory = CASES, written = `{ file: ${file} }`) {
  const text = `hosts:\n  api.example.com:\n    openapi: ${written}\n`;
  const source = new Source('portcullis.yaml', text, { env: {}, file: () => '' });
  const loading = new Loading(source, directory);
  const { hosts } = source.value as { hosts: Record<string, { openapi: unknown }> };
  const config = openapi.parse(hosts['api.example.com']?.openapi);
  const compiled = await compileOpenapi(config, '/hosts/api.example.com/openapi', loading);
  return { policy: compiled?.policy ?? null, loading, said: inOrder(loading.problems) };
}

/** Two spaces a level, but what an operation has a list of is one line an entry. */
function written(policy: unknown): string {
  const rows: string[] = [];
  const text = JSON.stringify(
    policy,
    (key, value) =>
      ['parameters', 'content', 'statuses'].includes(key) && Array.isArray(value)
        ? value.map(row => `@${rows.push(JSON.stringify(row)) - 1}@`)
        : value,
    2,
  );
  return text.replace(/"@(\d+)@"/g, (_, index) => rows[Number(index)] as string);
}

for (const file of readdirSync(CASES).filter(name => name.endsWith('.yaml'))) {
  test(file.replace('.yaml', '').replaceAll('-', ' '), async () => {
    const [, config] = /^# openapi: (.*)$/m.exec(readFileSync(join(CASES, file), 'utf8')) ?? [];
    const { policy, said } = await compile(file, CASES, config);
    const lines = [...said.map(remark => render(remark)), written(policy)];
    await expect(`${lines.join('\n\n')}\n`).toMatchFileSnapshot(join(CASES, file.replace('.yaml', '.txt')));
  });
}

test('a file that does not exist is a problem of the configuration', async () => {
  const { policy, loading, said } = await compile('none.yaml');
  expect(policy).toBeNull();
  expect(said.map(({ message }) => message)).toEqual(['the file does not exist']);
  expect([...loading.files]).toEqual([join(CASES, 'none.yaml')]);
});

test('what the engine finds is shown where the description has it', async () => {
  const { loading } = await compile('staging-of-host-document-and-operation.yaml', CASES, DOCUMENTS);
  const shown = (pointer: string) => {
    const { file, line, column } = loading.place(`/hosts/api.example.com/openapi/${pointer}`);
    return `${file}:${line}:${column}`;
  };
  expect(shown('file/schema/$defs/Money/properties/amount/minimum')).toBe(
    'staging-of-host-document-and-operation.yaml:10:42',
  );
  expect(shown('file/schema/$defs/1:Currency/minLength')).toBe('pieces/payments.yaml:15:31');
  expect(shown('file/schema/properties/1:value1/type')).toBe('pieces/payments.yaml:10:68');
  expect(shown('documents/1/file/paths/~1payments/post')).toBe('pieces/payments.yaml:4:5');
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
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
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
    expect(JSON.stringify(policy).length).toBeLessThan(600_000);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
