// Limits that stand in API descriptions, and what of the configuration's becomes a plan. What is wrong with limits of the
// configuration itself are cases: test/corpus/config.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { load } from '../../src/config/load.js';
import type { PolicyLimit } from '../../src/config/policy.js';
import { render } from '../../src/config/problem.js';
import { limitsOf, limitsTable } from '../../src/manage/cli/limits-table.js';
import { DatabaseRefused, Databases } from '../../src/manage/limits/databases.js';
import { database, type Folder, GOOD, makeFolder } from '../config/folder.js';

let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

const lookups = { env: { PASSWORD: 'se cr%et' }, resolve: async () => ['10.0.0.7'] };

const SECOND = `  api2.example.com:
    tls: { certificate: pki/server.pem, key: pki/server.key }
    mtls: { mode: off }
    origin: http://127.0.0.1:3001
`;

async function loaded(text: string) {
  const { parts, remarks } = await load(folder.write('portcullis.yaml', text), lookups);
  const said = remarks.map(remark => render(remark).replaceAll(`${folder.path}/`, ''));
  return { parts, said, told: remarks.map(({ severity, message }) => `${severity}: ${message}`) };
}

/** A host whose description has these paths, as YAML. */
async function described(paths: string, more = '') {
  folder.write('api.yaml', `openapi: 3.1.0\npaths:\n${paths}`);
  return loaded(`${GOOD}    openapi: { file: api.yaml }\n    credentials: { session: [{ header: x-user }] }\n${more}`);
}

const names = (rules: readonly PolicyLimit[] = []) => rules.map(({ name, operation }) => [name, operation]);

describe('limits of API descriptions', () => {
  test('are of their operation, and called as it is', async () => {
    const { parts, told } = await described(`
  /search:
    get:
      operationId: search
      x-portcullis: { limit: { requestsPerPeriod: 10, period: 1m, characteristics: [portcullis.session] } }
  /orders/{id}:
    get: { x-portcullis: { limit: { name: by-id, requestsPerPeriod: 5, period: 1m, characteristics: [portcullis.session] } } }
    delete:
      x-portcullis:
        limit:
          - { requestsPerPeriod: 5, period: 1m, characteristics: [portcullis.session] }
          - { requestsPerPeriod: 50, period: 1h, characteristics: [portcullis.session], action: log }
`);
    expect(told.filter(one => one.startsWith('problem'))).toEqual([]);
    expect(names(parts?.policy.limits.rules)).toEqual([
      ['search', [0, 0]],
      ['by-id', [0, 1]],
      ['DELETE-orders-id', [0, 2]],
      ['DELETE-orders-id.2', [0, 2]],
    ]);
    expect(parts?.policy.limits.rules[0]).toMatchObject({
      at: '/hosts/api.example.com/openapi/file/paths/~1search/get/x-portcullis/limit',
      expression: null,
      characteristics: [{ expression: 'portcullis.session' }],
      ...{ amount: 10, burst: 10, period_ms: 60_000, action: 'block' },
    });
  });

  test('of a path are of each of its operations, unless the operation says something itself', async () => {
    const { parts } = await described(`
  /orders:
    x-portcullis: { limit: { name: orders, requestsPerPeriod: 10, period: 1m, characteristics: [portcullis.session] } }
    get: { operationId: list }
    post: { operationId: add, requestBody: { content: {} } }
    delete:
      operationId: clear
      x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } }
`);
    expect(parts?.policy.limits.rules.map(({ name, operation, amount }) => [name, operation, amount])).toEqual([
      ['orders.get', [0, 0], 10],
      ['orders.post', [0, 1], 10],
      ['clear', [0, 2], 1],
    ]);
  });

  test('of one description that serves two hosts are told apart by the host, and by those of the configuration', async () => {
    folder.write(
      'api.yaml',
      `openapi: 3.1.0
paths:
  /a: { get: { operationId: a, x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.key.id] } } } }
  /b: { get: { operationId: quota, x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.key.id] } } } }
`,
    );
    const { parts, told } = await loaded(
      `${GOOD}    openapi: { file: api.yaml }\n${SECOND}    openapi: { file: api.yaml }
limits: { rules: [{ name: a, requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.key.id] }] }\n`,
    );
    expect(told.filter(one => one.startsWith('problem'))).toEqual([]);
    expect(names(parts?.policy.limits.rules)).toEqual([
      ['a', null],
      ['a.api.example.com', [0, 0]],
      ['quota.api.example.com', [0, 1]],
      ['a.api2.example.com', [1, 0]],
      ['quota.api2.example.com', [1, 1]],
    ]);
  });

  test('have names that fit, however long the operation is called', async () => {
    const long = 'x'.repeat(100);
    const { parts } = await described(`
  /{${long}}/a: { get: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } } } }
  /{${long}}/b: { get: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } } } }
  /{${long}}/c: { get: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } } } }
`);
    const found = parts?.policy.limits.rules.map(({ name }) => name) ?? [];
    expect(new Set(found).size).toBe(3);
    for (const name of found) expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/);
  });

  test('are judged as those of the configuration are, with the place in the description', async () => {
    const { said } = await described(`
  /a:
    get: { x-portcullis: { limit: { requestPerPeriod: 1, period: 1m } } }
    put: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, concurrency: 5 } }, requestBody: { content: {} } }
    post: { x-portcullis: { limit: [] }, requestBody: { content: {} } }
    delete: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 25h, expression: ssl } } }
    patch: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, mode: strict } }, requestBody: { content: {} } }
    head: { x-portcullis: { limit: many } }
  /b:
    x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, action: delay, name: a name } }
    get: {}
    put: { requestBody: { content: {} } }
`);
    await expect(`${said.join('\n\n')}\n`).toMatchFileSnapshot(
      join(import.meta.dirname, '../corpus/config/limits-described.txt'),
    );
  });

  test('are all that a path says, and nothing is passed over', async () => {
    const { told } = await described(`
  /a:
    x-portcullis: { public: true, limits: {} }
    get: { x-portcullis: { limitt: {} } }
  /b:
    x-portcullis: [limit]
`);
    expect(told.filter(one => one.startsWith('problem'))).toEqual([
      'problem: `public` is read in operations only',
      'problem: unknown key `limits`',
      'problem: unknown key `limitt`',
      'problem: `x-portcullis` is not a map',
    ]);
  });

  test('know the session of their own host only', async () => {
    folder.write(
      'api.yaml',
      'openapi: 3.1.0\npaths:\n  /a: { get: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } } } }\n',
    );
    const { said } = await loaded(
      `${GOOD}    credentials: { session: [{ header: x-user }] }\n${SECOND}    openapi: { file: api.yaml }\n`,
    );
    expect(said.filter(one => one.includes('no request has a session'))).toEqual([
      expect.stringMatching(/^api\.yaml:3:/),
    ]);
  });

  test('of a Swagger 2.0 description are read as well, of a path too', async () => {
    folder.write(
      'api.yaml',
      `swagger: "2.0"
paths:
  /a:
    x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, characteristics: [portcullis.session] } }
    get: { operationId: a }
    put: { operationId: b, x-portcullis: { limit: { requestsPerPeriod: 2, period: 0s } } }
`,
    );
    const { parts, said } = await loaded(
      `${GOOD}    openapi: { file: api.yaml }\n    credentials: { session: [{ header: x-user }] }\n`,
    );
    expect(names(parts?.policy.limits.rules)).toEqual([['a', [0, 0]]]);
    expect(said.filter(one => one.includes('must lie'))).toEqual([expect.stringMatching(/^api\.yaml:6:/)]);
  });

  test('are 2,000 with those of the configuration, and not one more', async () => {
    const rule = (n: number) => `{ name: r${n}, requestsPerPeriod: 1, period: 1m, action: off }`;
    const rules = Array.from({ length: 2_000 }, (_, n) => rule(n)).join(', ');
    const one = 'get: { x-portcullis: { limit: { requestsPerPeriod: 1, period: 1m, action: off } } }';
    const full = await loaded(`${GOOD}limits: { rules: [${rules}] }\n`);
    expect(full.told).toEqual([]);
    const { told } = await described(`  /a: { ${one} }\n`, `limits: { rules: [${rules}] }\n`);
    expect(told).toContain('problem: 2001 limits, those of the API descriptions included');
  });
});

test('the example has no problem and no warning', async () => {
  const example = (name: string) => readFileSync(join(import.meta.dirname, '../../examples/limits', name), 'utf8');
  folder.write('openapi.yaml', example('openapi.yaml'));
  const text = example('portcullis.yaml').replaceAll('../../.portcullis/pki/localhost', 'pki/server');
  const { parts, told } = await loaded(text);
  expect(told).toEqual([]);
  expect(names(parts?.policy.limits.rules)).toEqual([
    ...['failed-logins', 'attacked-accounts', 'everybody'].map(name => [name, null]),
    ['listBooks', [0, 1]],
    ['search', [0, 2]],
    ['export', [0, 3]],
  ]);
});

describe('what check and explain tell', () => {
  test('is a line a limit', async () => {
    const { parts, told } = await described(
      `  /search:
    get:
      operationId: search
      x-portcullis: { limit: { requestsPerPeriod: 10, period: 1m, characteristics: [portcullis.session], burst: 3 } }
`,
      `limits:
  shared: { url: "redis://localhost" }
  rules:
    - name: logins
      expression: http.request.uri.path eq "/login"
      countingExpression: http.response.code eq 401
      characteristics: ['cidr(ip.src, 32, 64)']
      requestsPerPeriod: 5
      period: 90s
      mitigationTimeout: 10m
      mode: fast
      fallback: closed
    - { name: at-once, characteristics: [portcullis.key.id], concurrency: 10, action: log }
    - { name: waits, characteristics: [portcullis.key.id], requestsPerPeriod: 10, period: 1s, action: delay, delay: 1500ms }
    - name: costs
      characteristics: [portcullis.key.id]
      scorePerPeriod: 400
      score: { responseHeader: X-Cost }
      period: 1h
      algorithm: slidingWindow
    - { name: everybody, requestsPerPeriod: 10, period: 1s, action: off }
`,
    );
    expect(told.filter(one => one.startsWith('problem'))).toEqual([]);
    if (!parts) return expect.fail('no policy');
    await expect(`${limitsTable(parts.policy)}\n`).toMatchFileSnapshot(
      join(import.meta.dirname, '../corpus/config/limits-enforced.txt'),
    );
    expect(limitsOf(parts.policy, 'api.example.com', 'search')).toEqual({
      always: [
        'at-once (10 at once for each portcullis.key.id)',
        'waits (10 in 1s for each portcullis.key.id)',
        'costs (400 of x-cost in 1h, sliding for each portcullis.key.id)',
        'search (10 in 1m, burst 3 for each portcullis.session)',
      ],
      if: ['logins (5 in 90s for each cidr(ip.src, 32, 64))'],
    });
    expect(limitsOf(parts.policy, 'api.example.com', null).always).toHaveLength(3);
  });
});

describe('where counters are shared', () => {
  const plan = async (shared: string) => {
    const { parts, told } = await loaded(`${GOOD}limits: { quotas: { mode: strict }, shared: ${shared} }\n`);
    expect(told).toEqual([]);
    return parts?.shared;
  };

  test('is one server, by its URL', async () => {
    expect(await plan('{ url: "rediss://me:se%20cr%25et@valkey.internal/3", timeout: 20ms }')).toEqual({
      ...{ kind: 'single', node: { host: 'valkey.internal', port: 6379 }, database: 3, user: 'me' },
      ...{ password: 'se cr%et', timeoutMs: 20, prefix: 'portcullis' },
      tls: { ca: null, certificate: null, key: null, servername: null },
    });
    expect(await plan('{ url: "redis://[::1]:7000" }')).toMatchObject({
      ...{ node: { host: '::1', port: 7000 }, database: 0, tls: null, user: null, password: null },
    });
  });

  test('is a cluster, or what sentinels say', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: what an operator writes
    const user = 'user: me, password: "${PASSWORD}", tls: { ca: pki/ca.pem, servername: valkey }';
    expect(await plan(`{ cluster: ["a:1", "[::1]:2"], ${user} }`)).toMatchObject({
      ...{ kind: 'cluster', user: 'me', password: 'se cr%et' },
      nodes: [
        { host: 'a', port: 1 },
        { host: '::1', port: 2 },
      ],
      tls: { ca: expect.stringContaining('BEGIN CERTIFICATE'), servername: 'valkey' },
    });
    const sentinels = 'sentinels: { name: counters, nodes: ["a:26379"], user: s, password: p }';
    expect(await plan(`{ ${sentinels}, ${user} }`)).toMatchObject({
      ...{ kind: 'sentinel', name: 'counters', nodes: [{ host: 'a', port: 26379 }], database: 0 },
      ...{ user: 'me', sentinelUser: 's', sentinelPassword: 'p' },
    });
  });

  test('is nowhere unless somebody says so', async () => {
    expect((await loaded(GOOD)).parts?.shared).toBeNull();
  });
});

describe('databases of addresses', () => {
  const fake = () => {
    const told: [string, number | null][] = [];
    const native = {
      loadDatabase: (kind: string, bytes: Buffer | null) => {
        if (bytes?.includes('broken')) throw new Error('the search tree is broken');
        told.push([kind, bytes?.length ?? null]);
      },
    };
    return { told, databases: new Databases(native) };
  };
  const plans = async (written: string) =>
    (await loaded(`${GOOD}limits: { databases: ${written} }\n`)).parts?.databases ?? [];

  test('reach the engine once, again when they change, and are taken away', async () => {
    const { told, databases } = fake();
    const country = database('GeoLite2-Country').length;
    const first = await plans('{ country: geo/country.mmdb, asn: geo/asn.mmdb }');
    databases.take(first);
    expect(told.map(([kind]) => kind)).toEqual(['country', 'asn']);
    expect(first.map(({ bytes }) => bytes)).toEqual([null, null]);
    databases.take(await plans('{ country: geo/country.mmdb, asn: geo/asn.mmdb }'));
    expect(told).toHaveLength(2);
    writeFileSync(join(folder.path, 'geo/country.mmdb'), Buffer.concat([database('GeoLite2-City'), Buffer.from('x')]));
    databases.take(await plans('{ country: geo/country.mmdb }'));
    expect(told.slice(2)).toEqual([
      ['country', country - 2],
      ['asn', null],
    ]);
    databases.take(await plans('{}'));
    expect(told.at(-1)).toEqual(['country', null]);
    databases.take(await plans('{}'));
    expect(told).toHaveLength(5);
  });

  test('that the engine cannot read refuse the configuration, and the one before stays', async () => {
    const { told, databases } = fake();
    folder.write('geo/broken.mmdb', Buffer.concat([database('GeoLite2-ASN'), Buffer.from('broken')]));
    databases.take(await plans('{ asn: geo/asn.mmdb }'));
    const broken = await plans('{ asn: geo/broken.mmdb }');
    const refused = (() => {
      try {
        databases.take(broken);
      } catch (error) {
        return error;
      }
    })();
    expect(refused).toBeInstanceOf(DatabaseRefused);
    expect(refused).toMatchObject({ at: '/limits/databases/asn', message: 'the search tree is broken' });
    expect(told).toHaveLength(1);
    databases.take(await plans('{ asn: geo/asn.mmdb }'));
    expect(told).toHaveLength(1);
  });
});
