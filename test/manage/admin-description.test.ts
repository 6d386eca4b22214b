import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileOpenapi } from '../../src/check/endpoints/compile.js';
import { openapi } from '../../src/check/endpoints/config.js';
import { Loading } from '../../src/config/loading.js';
import { Source } from '../../src/config/read.js';
import { adminApi } from '../support/admin.js';
import { temporaryFolder } from '../support/cleanup.js';

interface Described {
  operationId: string;
  summary: string;
  responses: object;
  security: object[];
}

const { ask, app } = await adminApi();
const described = await ask('GET', '/openapi.json', undefined, { token: null });
const methods = ['get', 'put', 'post', 'delete', 'patch', 'options', 'head', 'trace'];

test('is open to everybody, and holds no secret', () => {
  expect([described.status, described.body.openapi]).toEqual([200, '3.1.0']);
  expect(JSON.stringify(described.body)).not.toMatch(/pct_[0-9a-f]/);
});

test('is without a fault, as our own reader of descriptions sees it', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(described.body, null, 2));
  const loading = new Loading(new Source('portcullis.yaml', '', { env: {}, file: () => '' }), folder);
  const written = openapi.parse({ file: 'openapi.json' });
  const compiled = await compileOpenapi(written, '/hosts/admin/openapi', loading);
  const faults = loading.problems.filter(({ severity }) => severity === 'problem');
  expect(faults.map(({ place, message }) => `${place.line}: ${message}`)).toEqual([]);
  expect(compiled?.policy.operations.length).toBe(operationsOf(described.body).length);
});

test('describes every operation that is routed, and no other', () => {
  const routed = app.routes
    .filter(({ path, method }) => path.startsWith('/admin/v1') && method !== 'ALL')
    .map(({ path, method }) => `${method} ${path.replace(/:(\w+)/g, '{$1}')}`);
  expect(operationsOf(described.body).sort()).toEqual([...new Set(routed)].sort());
});

test('says of every operation what it may refuse, and who may call it', () => {
  const ids = new Set<string>();
  for (const [path, item] of Object.entries<Record<string, Described>>(described.body.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!methods.includes(method)) continue;
      const { operationId, summary, responses, security } = operation;
      expect(ids.has(operationId), operationId).toBe(false);
      ids.add(operationId);
      expect(summary, operationId).toMatch(/[.?]$/);
      expect(Object.keys(responses), operationId).toEqual(expect.arrayContaining(['400', '403', '500', 'default']));
      if (security.length > 0) expect(Object.keys(responses)).toEqual(expect.arrayContaining(['401', '429']));
      const open = path === '/admin/v1/' || path.endsWith('/openapi.json');
      expect(security.length === 0, path).toBe(open);
    }
  }
});

test('can be read as a page that runs no scripts and takes nothing from elsewhere', async () => {
  const page = await ask('GET', '/', undefined, { token: null });
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
  expect(page.body).not.toMatch(/<script|https?:\/\//i);
  for (const operation of operationsOf(described.body)) expect(page.body).toContain(operation.split(' ')[1]);
});

function operationsOf({ paths }: { paths: Record<string, object> }): string[] {
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).flatMap(method => (methods.includes(method) ? `${method.toUpperCase()} ${path}` : [])),
  );
}
