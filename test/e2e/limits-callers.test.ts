// Limits that know who calls: failed log-ins by address and by name, keys, partners and their quotas, and limits that stand
// beside an operation in the API's description.

import { beforeAll, describe, expect, test } from 'vitest';
import { HOST, type Limited, startLimited } from '../support/limited.js';
import { httpOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';

const FAILED = {
  countingExpression: 'http.response.code eq 401',
  mitigationTimeout: '10m',
};

const LIMITS = {
  headers: true,
  rules: [
    { name: 'address', expression: 'http.request.uri.path eq "/login"', requestsPerPeriod: 3, ...FAILED },
    {
      ...{ name: 'name', expression: 'http.request.uri.path eq "/login"', requestsPerPeriod: 5, ...FAILED },
      characteristics: ['lookup_json_string(http.request.body.raw, "user")'],
    },
    {
      ...{ name: 'form', requestsPerPeriod: 2, ...FAILED },
      characteristics: ['http.request.body.form["username"][0]'],
    },
    { name: 'nested', requestsPerPeriod: 2, characteristics: ['lookup_json_string(http.request.body.raw, "a", "b")'] },
    { name: 'strangers', expression: 'http.host eq "keys.test"', requestsPerPeriod: 2, ...FAILED },
    {
      ...{ name: 'by-key', expression: 'http.host eq "keys.test" and http.request.uri.path eq "/by-key"' },
      ...{ requestsPerPeriod: 2, characteristics: ['portcullis.key.id'] },
    },
    { name: 'by-status', requestsPerPeriod: 1, countingExpression: 'http.response.headers["x-result"][0] eq "bad"' },
  ],
};

const DESCRIPTION = {
  openapi: '3.1.0',
  info: { title: 'reports', version: '1' },
  paths: {
    '/reports': {
      'x-portcullis': { limit: { requestsPerPeriod: 4, period: '1h', characteristics: ['ip.src'] } },
      get: { operationId: 'listReports', responses: { 200: { description: 'all' } } },
      post: {
        operationId: 'makeReport',
        responses: { 200: { description: 'made' } },
        'x-portcullis': {
          limit: [
            { name: 'making', requestsPerPeriod: 1, period: '1h', characteristics: ['ip.src'] },
            { name: 'making-all', requestsPerPeriod: 3, period: '1h' },
          ],
        },
      },
    },
  },
};

let front: Limited;

beforeAll(async () => {
  const origin = await httpOrigin(({ url, body }, response) => {
    if (url.startsWith('/login') || url.startsWith('/form'))
      response.statusCode = /right/.test(String(body)) ? 200 : 401;
    if (url.startsWith('/by-status')) response.setHeader('X-Result', url.endsWith('bad') ? 'bad' : 'good');
    response.end();
  });
  const keys = { keys: [{ header: 'X-API-Key' }], require: [{ keys: true }] };
  front = await startLimited(origin.url, LIMITS, {
    hosts: {
      'keys.test': { credentials: keys },
      'described.test': { openapi: { file: 'openapi.json', action: 'block', fallthrough: 'block' } },
    },
    files: { 'openapi.json': JSON.stringify(DESCRIPTION) },
  });
});

describe('log-ins', () => {
  test('that fail are counted, and the others are not', async () => {
    const from = '127.0.1.1';
    expect(new Set(await logins(20, { from, user: 'ada', password: 'right' }))).toEqual(new Set([200]));
    expect(await logins(4, { from, user: 'ada' })).toEqual([401, 401, 401, 429]);
    expect(await login({ from, user: 'ada', password: 'right' })).toMatchObject({
      status: 429,
      reason: 'limits.address',
    });
    expect(await login({ from: '127.0.1.2', user: 'ada', password: 'right' })).toMatchObject({ status: 200 });
  });

  test('at one name from many addresses end for that name alone', async () => {
    for (let i = 1; i <= 5; i++) expect(await logins(1, { from: `127.0.2.${i}`, user: 'grace' })).toEqual([401]);
    const there = { from: '127.0.2.100' };
    expect(await login({ ...there, user: 'grace', password: 'right' })).toMatchObject({
      ...{ status: 429, reason: 'limits.name' },
    });
    expect(await login({ ...there, user: 'edsger', password: 'right' })).toMatchObject({ status: 200 });
    expect(await login({ ...there, user: 'Grace', password: 'right' })).toMatchObject({ status: 200 });
  });

  test('many at once stop counting as failed soon after the limit', async () => {
    const from = '127.0.3.1';
    const all = await Promise.all(Array.from({ length: 12 }, (_, i) => login({ from, user: `u${i}` })));
    // What was under way when the limit was reached had been admitted.
    expect(all.filter(({ status }) => status === 401).length).toBeGreaterThanOrEqual(3);
    expect(await login({ from, user: 'somebody', password: 'right' })).toMatchObject({ status: 429 });
  });

  test('by a form are told apart by what stands in it', async () => {
    const post = (username: string, password: string) =>
      front.get('/form', {
        ...{ method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
        body: new URLSearchParams({ username, password }).toString(),
      });
    for (const expected of [401, 401, 429]) expect((await post('a+b c', 'wrong')).status).toBe(expected);
    expect((await post('a b+c', 'wrong')).status).toBe(401);
    expect((await post('a+b c', 'right')).status).toBe(429);
  });

  test('the gateway itself answers 401 to count too', async () => {
    const from = '127.0.4.1';
    const host = 'keys.test';
    expect(await front.statuses(3, '/', { from, host })).toEqual([401, 401, 429]);
    expect(await front.statuses(1, '/', { from: '127.0.4.2', host })).toEqual([401]);
  });

  function login({ from, user, password = 'wrong' }: Login) {
    const headers = { 'content-type': 'application/json' };
    return front.get('/login', { from, method: 'POST', headers, body: JSON.stringify({ user, password }) });
  }

  async function logins(count: number, one: Login): Promise<number[]> {
    const all: number[] = [];
    while (all.length < count) all.push((await login(one)).status);
    return all;
  }

  interface Login {
    from: string;
    user: string;
    password?: string;
  }
});

test('a field of the answer can tell what counts', async () => {
  expect(await front.statuses(5, '/by-status/good')).toEqual(Array(5).fill(200));
  expect(await front.statuses(2, '/by-status/bad')).toEqual([200, 429]);
});

test('a value deep in a JSON body tells counters apart; one that is not there is a value too', async () => {
  const post = async (body: string) =>
    (await front.get('/nested', { method: 'POST', headers: { 'content-type': 'application/json' }, body })).status;
  for (const body of ['{"a":{"b":"x"}}', '{"a":{"b":"y"}}', '{"a":"b"}']) {
    expect([await post(body), await post(body), await post(body)]).toEqual([200, 200, 429]);
  }
  // Spelled in another way it is the same.
  expect(await post('{"c":1, "a":{"b":"\\u0078"}}')).toBe(429);
});

describe('of a description', () => {
  const there = { host: 'described.test' };

  test('a limit of the path holds for each of its operations by itself', async () => {
    expect(await front.statuses(5, '/reports', { ...there, from: '127.0.5.1' })).toEqual([200, 200, 200, 200, 429]);
    const { reason } = await front.get('/reports', { ...there, from: '127.0.5.1' });
    expect(reason).toBe('limits.listReports');
  });

  test('limits of the operation are all kept', async () => {
    const made = (from: string) => front.get('/reports', { ...there, from, method: 'POST' });
    expect((await made('127.0.5.2')).status).toBe(200);
    expect(await made('127.0.5.2')).toMatchObject({ status: 429, reason: 'limits.making' });
    expect([(await made('127.0.5.3')).status, (await made('127.0.5.4')).status]).toEqual([200, 200]);
    expect(await made('127.0.5.5')).toMatchObject({ status: 429, reason: 'limits.making-all' });
  });
});

describe('callers with keys', () => {
  test('have counters of their own', async () => {
    const [one, other] = [await key(), await key()];
    for (const mine of [one, other]) {
      expect(await front.statuses(3, '/by-key', { host: 'keys.test', headers: mine })).toEqual([200, 200, 429]);
    }
  });

  test('of a partner share what was agreed on', async () => {
    await manage('POST', '/partners', { name: 'acme', owner: 'o', contact: 'c', quota: { requests: 6, period: '1h' } });
    await manage('POST', '/partners', { name: 'other', owner: 'o', contact: 'c' });
    const [one, two, other] = [await key('acme'), await key('acme'), await key('other')];
    const ask = (headers: Record<string, string>) => front.get('/quota', { host: 'keys.test', headers });
    for (const mine of [one, two, one, two]) expect((await ask(mine)).status).toBe(200);
    const refused = await ask(one);
    expect(refused).toMatchObject({ status: 429, reason: 'limits.quota' });
    expect(refused.retryAfter).toBeGreaterThan(500);
    expect((await ask(other)).status).toBe(200);
  });
});

/** Made, and known: it has passed once, which counts for its partner. */
async function key(partner?: string): Promise<Record<string, string>> {
  const { key } = await manage('POST', '/keys', { name: 'k', partner });
  const headers = { 'x-api-key': key };
  // Of an address each: where strangers are refused for 401s, nobody else is.
  let last = 1;
  const pass = () => front.get('/warm', { host: 'keys.test', headers, from: `127.0.6.${last++}` });
  await until(async () => (await pass()).status === 200);
  return headers;
}

async function manage(method: string, path: string, body: object) {
  const headers = { 'content-type': 'application/json' };
  const answer = await front.gateway.ask(`/admin/v1${path}`, { method, headers, body: JSON.stringify(body) });
  const told = await answer.json();
  expect(answer.status, JSON.stringify(told)).toBe(201);
  return told;
}

test('the host without any of it is left alone', async () => {
  expect(new Set(await front.statuses(20, '/', { host: HOST }))).toEqual(new Set([200]));
});
