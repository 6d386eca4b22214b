// Bodies against their OpenAPI description, looked at on the edge thread or by the pool: the same answers.

import { Agent } from 'node:https';
import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { atTheEnd } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask, connect } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';

const INLINE_BYTES = 1024;

const line = {
  type: 'object',
  required: ['sku', 'quantity'],
  additionalProperties: false,
  properties: { sku: { type: 'string' }, quantity: { type: 'integer', minimum: 1 } },
};
const description = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1' },
  paths: {
    '/orders': {
      get: { operationId: 'listOrders', responses: { 200: { description: 'All.' } } },
      post: {
        operationId: 'placeOrder',
        requestBody: {
          required: true,
          content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } },
        },
        responses: { 201: { description: 'Placed.' } },
      },
    },
    '/orders/{id}': { get: { operationId: 'getOrder', responses: { 200: { description: 'One.' } } } },
    '/notes': {
      post: {
        operationId: 'takeNote',
        requestBody: {
          content: { 'application/json': { schema: { type: 'string' } }, 'text/plain': { schema: { type: 'string' } } },
        },
        responses: { 204: { description: 'Taken.' } },
      },
    },
  },
  components: {
    schemas: {
      Order: {
        type: 'object',
        required: ['customer', 'lines'],
        additionalProperties: false,
        properties: {
          customer: { type: 'string', maxLength: 64 },
          note: { type: 'string' },
          lines: { type: 'array', minItems: 1, items: line },
        },
      },
    },
  },
};

let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin();
  const openapi = (action: string) => ({ file: 'orders.json', action, fallthrough: action });
  front = await startFront(
    {
      'strict.test': { origin: origin.url, openapi: openapi('block') },
      'watch.test': { origin: origin.url, openapi: openapi('log') },
      'off.test': { origin: origin.url, openapi: openapi('off') },
    },
    {
      files: { 'orders.json': JSON.stringify(description) },
      config: { inspect: { inlineBytes: `${INLINE_BYTES / 1024}KiB`, threads: 1 } },
    },
  );
});

beforeEach(() => {
  origin.arrived.length = 0;
});

const good = { customer: 'ada', lines: [{ sku: 'A-1', quantity: 2 }] };
const bad = { customer: 'ada', lines: [{ sku: 'A-1', quantity: 0 }] };
const post = (
  body: string | Buffer,
  { host = 'strict.test', path = '/orders', type = 'application/json', headers = {} } = {},
) => ask(front.caller(host), path, { method: 'POST', body, headers: { 'content-type': type, ...headers } });
const reasonOf = ({ status, body }: Answered) => (status < 400 ? status : `${status} ${JSON.parse(body).reason}`);
const eventOf = ({ headers }: Answered) => front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

describe.each([
  ['on the edge thread', 0],
  ['by the pool', 4 * INLINE_BYTES],
])('a body inspected %s', (where, padding) => {
  const order = (of: object) => JSON.stringify({ note: 'x'.repeat(padding), ...of });

  test('passes when it is as described, byte for byte', async () => {
    const before = await inspected();
    const body = order(good);
    const answered = await post(body);
    expect(answered).toMatchObject({ status: 200, body });
    expect(origin.arrived[0]?.body.toString()).toBe(body);
    expect(origin.arrived[0]?.headers['content-length']).toBe(String(body.length));
    const after = await inspected();
    expect(after.pool - before.pool).toBe(padding > 0 ? 1 : 0);
    expect(after.inPlace - before.inPlace).toBe(padding > 0 ? 0 : 1);
  });

  test('is denied with the place and what was expected there', async () => {
    const answered = await post(order(bad));
    expect(reasonOf(answered)).toBe('400 schema.body');
    const { errors } = JSON.parse(answered.body);
    expect(errors).toMatchObject([{ pointer: '/lines/0/quantity', message: expect.stringContaining('1') }]);
    expect(origin.arrived).toEqual([]);
  });

  test('is denied for every fault at once, without a word of the client repeated', async () => {
    const answered = await post(order({ lines: [{ sku: 7, quantity: 1 }], customer: 'hunter2'.repeat(10) }));
    const { errors } = JSON.parse(answered.body) as { errors: { pointer: string }[] };
    expect(errors.map(({ pointer }) => pointer).sort()).toEqual(['/customer', '/lines/0/sku']);
    expect(answered.body).not.toContain('hunter2');
  });

  test('is denied when a member stands in it twice, or when it is no JSON', async () => {
    const twice = order(good).replace('"customer":"ada"', '"customer":"ada","customer":"bob"');
    expect(reasonOf(await post(twice))).toBe('400 schema.duplicate_key');
    expect(reasonOf(await post(order(good).slice(0, -1)))).toBe('400 schema.json');
    expect(origin.arrived).toEqual([]);
  });

  test('may come in chunks, and reaches the origin whole with its length', async () => {
    const body = order(good);
    const client = await connect(front.caller('strict.test'));
    client.send('POST /orders HTTP/1.1\r\nHost: strict.test\r\nContent-Type: application/json\r\n');
    client.send('Transfer-Encoding: chunked\r\n\r\n');
    for (let at = 0; at < body.length; at += 1000) {
      const piece = body.slice(at, at + 1000);
      client.send(`${piece.length.toString(16)}\r\n${piece}\r\n`);
    }
    client.send('0\r\n\r\n');
    expect(await client.response()).toMatchObject({ status: 200, body });
    await client.closed;
    expect(origin.arrived[0]?.headers).toMatchObject({ 'content-length': String(body.length) });
    expect(origin.arrived[0]?.headers['transfer-encoding']).toBeUndefined();
  });

  test('is recorded and let through where the description only logs', async () => {
    const body = order(bad);
    const answered = await post(body, { host: 'watch.test' });
    expect(answered).toMatchObject({ status: 200, body });
    expect(await eventOf(answered)).toMatchObject({
      SecurityAction: 'log',
      SecurityRuleID: 'schema.body',
      OperationID: 'placeOrder',
    });
    expect(where).toBeTruthy();
  });

  test('is not looked at where the description is off', async () => {
    const answered = await post(order(bad), { host: 'off.test' });
    expect(answered.status).toBe(200);
    expect(await eventOf(answered)).not.toHaveProperty('SecurityAction');
  });
});

test('two hundred bodies at once in the pool each get their own verdict', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 40 });
  atTheEnd(() => agent.destroy());
  const before = await inspected();
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => {
      const lines = Array.from({ length: 50 }, (_, at) => ({
        sku: `S-${at}`,
        quantity: index % 2 && at === 49 ? 0 : 1,
      }));
      const body = JSON.stringify({ customer: `c${index}`, lines });
      const headers = { 'content-type': 'application/json' };
      return ask(front.caller('strict.test'), '/orders', { method: 'POST', body, headers, agent });
    }),
  );
  for (const [index, answered] of answers.entries()) {
    if (index % 2) {
      expect(reasonOf(answered)).toBe('400 schema.body');
      expect(JSON.parse(answered.body).errors[0].pointer).toBe('/lines/49/quantity');
    } else {
      expect(answered.status).toBe(200);
      expect(JSON.parse(answered.body).customer).toBe(`c${index}`);
    }
  }
  expect((await inspected()).pool - before.pool).toBe(200);
  expect(origin.arrived.length).toBe(100);
});

test('an error names at most ten places', async () => {
  const lines = Array.from({ length: 30 }, () => ({ sku: 'A-1', quantity: 0 }));
  const answered = await post(JSON.stringify({ customer: 'ada', lines }));
  expect(JSON.parse(answered.body).errors).toHaveLength(10);
});

test('a media type that is not described is denied, one that is not checked passes', async () => {
  expect(reasonOf(await post('<order/>', { type: 'application/xml' }))).toBe('415 schema.media_type');
  expect(reasonOf(await post('a=b', { type: 'application/x-www-form-urlencoded' }))).toBe('415 schema.media_type');
  expect(reasonOf(await post('not json', { path: '/notes', type: 'text/plain' }))).toBe(200);
  expect(reasonOf(await post('not json', { path: '/notes' }))).toBe('400 schema.json');
  expect(reasonOf(await post(JSON.stringify(good), { type: 'application/json; charset=utf-8' }))).toBe(200);
});

test('an encoded body is decoded to be checked, and forwarded as it came', async () => {
  const packed = gzipSync(JSON.stringify(good));
  const headers = { 'content-encoding': 'gzip' };
  expect(reasonOf(await post(packed, { headers }))).toBe(200);
  expect(origin.arrived[0]?.body.equals(packed)).toBe(true);
  expect(reasonOf(await post(gzipSync('{}'), { headers }))).toBe('400 schema.body');
  expect(reasonOf(await post(JSON.stringify(good), { headers }))).toBe('400 schema.decoding');
  expect(reasonOf(await post(packed, { headers: { 'content-encoding': 'gzip, br' } }))).toBe(
    '415 schema.content_encoding',
  );
});

test('a body that is required has to be there, one that is not need not', async () => {
  const empty = (path: string) => ask(front.caller('strict.test'), path, { method: 'POST' });
  expect(reasonOf(await empty('/orders'))).toBe('400 schema.body');
  expect((await empty('/notes')).status).toBe(200);
});

test('a path that is not described is 404, a method that is not is 405 and tells the others', async () => {
  const get = (path: string, method = 'GET', host = 'strict.test') => ask(front.caller(host), path, { method });
  expect(reasonOf(await get('/nothing'))).toBe('404 endpoints.fallthrough');
  expect(reasonOf(await get('/orders/1/2'))).toBe('404 endpoints.fallthrough');
  const deleted = await get('/orders', 'DELETE');
  expect(reasonOf(deleted)).toBe('405 endpoints.method');
  expect(deleted.headers.allow).toBe('GET, HEAD, POST');
  expect((await get('/orders/%31')).status).toBe(200);
  expect(origin.arrived.map(({ url }) => url)).toEqual(['/orders/1']);

  for (const [path, method, reason] of [
    ['/nothing', 'GET', 'endpoints.fallthrough'],
    ['/orders', 'DELETE', 'endpoints.method'],
  ] as const) {
    const watched = await get(path, method, 'watch.test');
    expect(watched.status).toBe(200);
    expect(await eventOf(watched)).toMatchObject({ SecurityAction: 'log', SecurityRuleID: reason });
    expect((await get(path, method, 'off.test')).status).toBe(200);
  }
});

test('HEAD is served where GET is described', async () => {
  expect((await ask(front.caller('strict.test'), '/orders/1', { method: 'HEAD' })).status).toBe(200);
  expect(origin.arrived[0]?.method).toBe('HEAD');
});

test('a body above what can be inspected is denied', async () => {
  const note = 'x'.repeat(1024 * 1024);
  expect(reasonOf(await post(JSON.stringify({ ...good, note })))).toBe('413 http.body_too_large');
  expect(origin.arrived).toEqual([]);
});

async function inspected(): Promise<{ pool: number; inPlace: number }> {
  const text = await front.gateway.metrics();
  const value = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  return {
    pool: value('portcullis_schema_inspected_in_pool_total'),
    inPlace: value('portcullis_schema_inspected_in_place_total'),
  };
}
