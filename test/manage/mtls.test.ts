// Client-certificate rules that are made through the API, and what traffic tells of them beforehand.

import { expect, test } from 'vitest';
import { Api, type Principal } from '../../src/manage/admin/api.js';
import { preview } from '../../src/manage/mtls/preview.js';
import { routes } from '../../src/manage/mtls/routes.js';
import { type Sighting, TrafficRecorder } from '../../src/manage/mtls/traffic.js';
import { Store } from '../../src/manage/store/open.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';

const HOUR_MS = 3_600_000;
const HOST = 'api.example.com';
const OPERATIONS = [
  { id: 'getOrder', method: 'GET', path: '/v2/orders/{id}' },
  { id: 'getStatus', method: 'GET', path: '/status' },
];

test('a rule is made once for a place, changed only by who knows its version, and taken away', async () => {
  const { ask } = await admin();
  const made = await ask('POST', '/mtls/rules', { host: HOST, path: '/v2/', trust: ['devices'], action: 'log' });
  expect(made).toMatchObject({
    status: 201,
    body: { path: '/v2', mode: 'require', action: 'log', trust: ['devices'] },
  });
  const again = await ask('POST', '/mtls/rules', { host: HOST, path: '/v2', trust: ['devices'] });
  expect(again).toMatchObject({ status: 409, body: { title: 'There is a rule for api.example.com/v2 already.' } });

  const path = `/mtls/rules/${made.body.id}`;
  expect(await ask('PATCH', path, { action: 'block' }, { 'if-match': '"9"' })).toMatchObject({ status: 412 });
  const changed = await ask('PATCH', path, { action: 'block' }, { 'if-match': made.etag });
  expect(changed).toMatchObject({ status: 200, body: { action: 'block', mode: 'require' } });
  expect(await ask('DELETE', path, undefined, { 'if-match': made.etag })).toMatchObject({ status: 412 });
  expect(await ask('DELETE', path, undefined, { 'if-match': changed.etag })).toMatchObject({ status: 204 });
  expect(await ask('GET', path)).toMatchObject({ status: 404 });
  expect((await ask('GET', '/mtls/rules')).body).toEqual({ items: [], next: null });
});

test('a rule for a host or an authority that is not there is refused, naming those that are', async () => {
  const { ask } = await admin();
  expect(await ask('POST', '/mtls/rules', { host: 'api.exmaple.com', trust: ['devices'] })).toMatchObject({
    status: 422,
    body: { title: 'The host api.exmaple.com is not served.', detail: 'Hosts: api.example.com.' },
  });
  expect(await ask('POST', '/mtls/rules', { host: HOST, trust: ['devcies'] })).toMatchObject({
    status: 422,
    body: { title: 'No authority is called devcies.', detail: 'Authorities: devices.' },
  });
  // What the configuration would not take either: such a rule would have every reload refused.
  for (const path of ['v2', '/v2/../admin', '/v2//admin', '/v2/.', '/v2?a']) {
    expect(await ask('POST', '/mtls/rules', { host: HOST, path, trust: ['devices'] })).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/path' }] },
    });
  }
});

test('the preview counts the last day, below the path, and names who would lose', async () => {
  const store = await opened();
  const now = 1_000_000 * HOUR_MS;
  const counts = (hoursAgo: number, operation: string, valid: number, absent: number, invalid = 0) => ({
    ...{ host: HOST, operation, hour: 1_000_000 - hoursAgo, node: 'a', valid, absent, invalid },
  });
  await store.db
    .insertInto('mtls_hours')
    .values([
      counts(0, 'getOrder', 10, 2),
      counts(23, 'getOrder', 5, 0, 1),
      counts(24, 'getOrder', 100, 100),
      counts(1, 'getStatus', 0, 50),
      counts(1, '-', 1, 1),
    ])
    .execute();
  const told = await preview(store, { host: HOST, path: '/v2', trust: ['devices'] }, OPERATIONS, now);
  expect(told).toMatchObject({ requests: 20, valid: 16, absent: 3, invalid: 1, undescribed: 2 });
  expect(told.operations).toEqual([{ id: 'getOrder', requests: 18, denied: 3 }]);
  const whole = await preview(store, { host: HOST, path: '/', trust: ['devices'] }, OPERATIONS, now);
  expect(whole).toMatchObject({ requests: 70, absent: 53 });
});

test('what traffic tells is kept: certificates add up, counters are told apart by hour', async () => {
  const store = await opened();
  const seen: Sighting[][] = [[sighting({ requests: 3 })], [sighting({ requests: 4, authority: null })]];
  let valid = 7;
  const recorder = new TrafficRecorder({
    store,
    seen: () => JSON.stringify(seen.shift() ?? []),
    metrics: () =>
      JSON.stringify([
        {
          name: 'portcullis_mtls_requests_total',
          help: '',
          type: 'counter',
          samples: [{ labels: { host: HOST, operation: 'getOrder', certificate: 'valid' }, value: valid }],
        },
      ]),
    node: 'a',
    told: () => {},
    log: { warn: (entry: object) => expect.fail(JSON.stringify(entry)) } as never,
  });
  await recorder.record();
  valid = 12;
  await recorder.stop();
  const kept = await store.db.selectFrom('seen').selectAll().execute();
  expect(kept).toMatchObject([{ fingerprint: 'ab', requests: 7, authority: 'partners' }]);
  const hours = await store.db.selectFrom('mtls_hours').selectAll().execute();
  expect(hours.reduce((sum, row) => sum + row.valid, 0)).toBe(12);

  const losing = { host: HOST, path: '/', trust: ['devices'] };
  expect((await preview(store, losing, OPERATIONS, Date.now())).losing).toMatchObject({
    count: 1,
    certificates: [{ subject: 'CN=phone', authority: 'partners' }],
  });
  const keeping = { ...losing, trust: ['devices', 'partners'] };
  expect((await preview(store, keeping, OPERATIONS, Date.now())).losing.count).toBe(0);
});

function sighting(changes: Partial<Sighting>): Sighting {
  return {
    fingerprint: 'ab',
    authority: 'partners',
    key_id: 'cd',
    serial: '01',
    subject: 'CN=phone',
    issuer: 'CN=partners',
    issuer_key_id: 'ef',
    not_before: 0,
    not_after: Date.now() + HOUR_MS,
    crl_urls: [],
    ocsp_urls: [],
    requests: 1,
    last_seen: Date.now(),
    hosts: [HOST],
    ...changes,
  };
}

async function opened(): Promise<Store> {
  const store = await Store.open({ url: null, folder: temporaryFolder(), key: Buffer.alloc(32, 1) });
  atTheEnd(() => store.close());
  return store;
}

async function admin() {
  const store = await opened();
  const principal: Principal = { name: 'test', role: 'admin', kind: 'token' };
  const api = new Api(async () => principal);
  routes(api, {
    store,
    hosts: () => [{ name: HOST, operations: OPERATIONS }],
    record: async () => {},
    authorities: async () => ['devices'],
  });
  const ask = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const answer = await api.app.request(`http://localhost/admin/v1${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, etag: answer.headers.get('etag') ?? '', body: text ? JSON.parse(text) : null };
  };
  return { ask };
}
