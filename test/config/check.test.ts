// What `portcullis check` prints of descriptions: test/corpus/endpoints/enforced.txt, word for word.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { check } from '../../src/manage/cli/check.js';
import { enforced, table } from '../../src/manage/cli/operations.js';
import { type Folder, GOOD, makeFolder } from './folder.js';

const CORPUS = join(import.meta.dirname, '../corpus/endpoints');
const DESCRIPTIONS = [
  'parameters-of-every-place-and-style',
  'bodies-of-every-media-type',
  'forms-and-multiparts',
  'responses-are-compiled-where-somebody-looks',
];
const lookups = { env: {}, resolve: async () => ['10.0.0.7'] };
const taken = () => JSON.stringify({ generation: 1, problems: [] });

let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
  mkdirSync(join(folder.path, 'openapi'));
  for (const name of DESCRIPTIONS) {
    folder.write(`openapi/${name}.yaml`, readFileSync(join(CORPUS, 'descriptions', `${name}.yaml`), 'utf8'));
  }
});
afterAll(() => folder.remove());

test('a line an operation tells what is enforced of it', async () => {
  const documents = DESCRIPTIONS.map(name => `\n        - { file: openapi/${name}.yaml }`).join('');
  const openapi = `    openapi:
      responses: { action: strip }
      operations: { quiet: { action: "off", responses: { action: "off" } }, readLine: { unknownQuery: ignore } }
      documents:${documents}
`;
  const { policy, stated } = await check(folder.write('portcullis.yaml', GOOD + openapi), taken, lookups);
  expect(policy).not.toBeNull();
  if (policy) await expect(`${table(policy, stated)}\n`).toMatchFileSnapshot(join(CORPUS, 'enforced.txt'));
  const read = policy && enforced(policy, stated).find(({ id }) => id === 'readLine');
  expect(read).toMatchObject({
    method: 'GET',
    action: 'block',
    unknownQuery: 'ignore',
    parameters: { path: 2, query: 8, header: 3, cookie: 1 },
    body: null,
    notChecked: [],
  });
});

test('what an operation requires of who calls it stands in its line, and as data', async () => {
  folder.write(
    'openapi/guarded.json',
    JSON.stringify({
      openapi: '3.1.0',
      paths: {
        '/a': { get: { security: [{ key: [] }] }, delete: { security: [] }, put: {} },
      },
      components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Key' } } },
    }),
  );
  const text = `${GOOD}    openapi: { file: openapi/guarded.json }
    credentials:
      operations: { PUT /a: { action: "off" }, GET /a: { action: log, scopes: orders:read } }
`;
  const { policy, stated } = await check(folder.write('portcullis.yaml', text), taken, lookups);
  expect(policy).not.toBeNull();
  if (policy === null) return;
  const [, headings, ...lines] = table(policy, stated).split('\n');
  expect(headings).toMatch(/method {2}path {2}action {2}requires +other query/);
  expect(lines.map(line => line.trim().split(/ {2,}/).slice(0, 4).join(', '))).toEqual([
    'GET, /a, block, log: key[orders:read]',
    'DELETE, /a, block, block: nothing (not stated)',
    'PUT, /a, block, off',
  ]);
  expect(enforced(policy, stated).map(({ requires }) => requires)).toMatchObject([
    { action: 'log', public: false, saidBy: 'description', any: [[{ kind: 'key', scopes: ['orders:read'] }]] },
    { action: 'block', public: false, saidBy: 'description', any: [[]] },
    { action: 'off', public: false, saidBy: 'default', any: [[{ kind: 'key', scopes: [] }]] },
  ]);
});

test('a configuration with problems enforces nothing', async () => {
  const openapi = '    openapi: { file: openapi/bodies-of-every-media-type.yaml, operations: { nobody: {} } }\n';
  const { policy, remarks } = await check(folder.write('portcullis.yaml', GOOD + openapi), taken, lookups);
  expect(policy).toBeNull();
  expect(remarks.filter(({ severity }) => severity === 'problem').map(({ message }) => message)).toEqual([
    'no operation is called `nobody`',
  ]);
});

test('a rule that reads a path parameter which no operation has is warned of', async () => {
  const openapi = '    openapi: { file: openapi/parameters-of-every-place-and-style.yaml }\n';
  const expressions = [
    'path.line eq "a" and path["id"] eq r#"path.quoted"# and http.request.uri.path eq "path.too"',
    'path.lines ne http.request.jwt.claims["sub"] and path.lines ne "\\"path.c"',
    'not path["x-y"] eq "a"',
  ];
  const rules = expressions.map(
    (expression, n) => `  - { name: r${n}, action: log, expression: ${JSON.stringify(expression)} }`,
  );
  const text = `${GOOD}${openapi}rules:\n${rules.join('\n')}\n`;
  const { remarks } = await check(folder.write('portcullis.yaml', text), taken, lookups);
  const told = remarks.filter(({ message }) => message.includes('path parameter'));
  expect(told.map(({ severity, message, hint }) => `${severity}: ${message} (${hint})`)).toEqual([
    'warning: no operation has a path parameter `lines`: it is missing from every request (did you mean `line`?)',
    'warning: no operation has a path parameter `x-y`: it is missing from every request (names are those of the templates in the OpenAPI descriptions)',
  ]);
});

test('control characters of a description do not reach the terminal', async () => {
  const path = folder.write(
    'openapi/odd.json',
    JSON.stringify({ openapi: '3.1.0', paths: { '/a\u001b[2J': { get: {} } } }),
  );
  expect(path).toContain('odd.json');
  const openapi = '    openapi: { file: openapi/odd.json }\n';
  const { policy, stated } = await check(folder.write('portcullis.yaml', GOOD + openapi), taken, lookups);
  expect(policy && table(policy, stated)).not.toContain('\u001b');
});
