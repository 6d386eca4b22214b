// What origins answer against its OpenAPI description: passed, logged, blocked, stripped; checked on the edge thread or
// by the pool, whole or in pieces.

import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask, connect, keptAlive } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { noise, transfer } from '../support/transfer.js';

const INLINE_BYTES = 1024;
const HOSTS = ['block', 'log', 'strip', 'off'];
/** Larger than what the gateway hands over at once. */
const LARGE = 700 * 1024;

const thing = {
  type: 'object',
  required: ['id'],
  properties: {
    id: { type: 'integer' },
    note: { type: 'string' },
    parts: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' } } } },
  },
};
const json = (schema: object) => ({ 'application/json': { schema } });
const problem = { 'application/problem+json': { schema: { type: 'object', required: ['title'] } } };
const named = [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }];
const description = {
  openapi: '3.1.0',
  info: { title: 'Things', version: '1' },
  paths: {
    '/things/{name}': {
      parameters: named,
      get: {
        operationId: 'getThing',
        responses: {
          200: { description: 'It.', content: { ...json(thing), 'text/event-stream': { schema: { type: 'string' } } } },
          204: { description: 'Nothing.' },
          '4XX': { description: 'Refused.', content: problem },
        },
      },
      put: {
        operationId: 'putThing',
        requestBody: { content: json({}) },
        responses: { 200: { description: 'Put.', content: json(thing) } },
      },
    },
    '/counted/{name}': {
      parameters: named,
      get: {
        responses: {
          200: {
            description: 'It.',
            headers: { 'X-Left': { required: true, schema: { type: 'integer' } } },
            content: json(thing),
          },
        },
      },
    },
  },
};

type Behaviour = (response: ServerResponse) => unknown;
let behaviours: Record<string, Behaviour>;
let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin(({ url }, response) => {
    const behaviour = behaviours[url.split('/').at(-1) as string];
    response.setHeader('x-inner', 'of the origin');
    if (behaviour) behaviour(response);
    else response.writeHead(500).end('nothing is said of this name');
  });
  const openapi = (action: string) => ({ file: 'things.json', action: 'block', responses: { action } });
  front = await startFront(
    Object.fromEntries(HOSTS.map(name => [`${name}.test`, { origin: origin.url, openapi: openapi(name) }])),
    {
      files: { 'things.json': JSON.stringify(description) },
      config: { inspect: { inlineBytes: `${INLINE_BYTES / 1024}KiB`, threads: 1 } },
    },
  );
});

beforeEach(() => {
  behaviours = {};
});

const sends =
  (body: string | Buffer, headers = {}, status = 200): Behaviour =>
  response =>
    response
      .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...headers })
      .end(body);
/** In chunks, so that it comes in several pieces. */
const chunks =
  (body: string | Buffer, headers = {}): Behaviour =>
  async response => {
    const bytes = Buffer.from(body);
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 3)) {
      response.write(bytes.subarray(at, at + Math.ceil(bytes.length / 3)));
      await sleep(5);
    }
    response.end();
  };
const get = (host: string, name: string, asked = {}) => ask(front.caller(`${host}.test`), `/things/${name}`, asked);
const reasonOf = ({ status, body }: Answered) => (status < 400 ? status : `${status} ${JSON.parse(body).reason}`);
const eventOf = ({ headers }: Answered) => front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

async function counted(): Promise<Record<string, number>> {
  const text = await front.gateway.metrics();
  const value = (name: string) => Number(new RegExp(`^portcullis_${name} (\\d+)$`, 'm').exec(text)?.[1]);
  return {
    pool: value('schema_inspected_in_pool_total'),
    inPlace: value('schema_inspected_in_place_total'),
    notEvaluated: value('schema_responses_not_evaluated_total'),
    stripped: value('schema_responses_stripped_total'),
    members: value('schema_members_stripped_total'),
    gone: value('clients_gone_total'),
    open: value('exchanges_open'),
  };
}

/** By how much the counters grew; they are published now and then. */
async function grown(before: Record<string, number>, expected: Record<string, number>): Promise<void> {
  await vi.waitFor(async () => {
    const after = await counted();
    const grown = Object.fromEntries(
      Object.keys(expected).map(name => [name, (after[name] ?? 0) - (before[name] ?? 0)]),
    );
    expect(grown).toEqual(expected);
  }, 5_000);
}

describe.each([
  ['small and whole, on the edge thread', 0, sends, 'inPlace'],
  ['whole, by the pool', 4 * INLINE_BYTES, sends, 'pool'],
  ['small and in chunks', 0, chunks, 'inPlace'],
  ['in chunks, by the pool', 4 * INLINE_BYTES, chunks, 'pool'],
  ['large, of known length', LARGE, sends, 'pool'],
  ['large, in chunks', LARGE, chunks, 'pool'],
])('an answer that is %s', (_, padding, send, where) => {
  const body = (of: object) => JSON.stringify({ note: 'x'.repeat(padding), ...of });

  test('passes byte for byte when it is as described', async () => {
    const before = await counted();
    const good = body({ id: 1 });
    behaviours.good = send(good);
    const answered = await get('block', 'good');
    expect(answered.status).toBe(200);
    expect(answered.body).toBe(good);
    expect(answered.headers).toMatchObject({ 'x-inner': 'of the origin', 'content-type': 'application/json' });
    expect(await eventOf(answered)).toMatchObject({ EdgeResponseStatus: 200, EdgeResponseBodyBytes: good.length });
    await grown(before, { [where]: 1, notEvaluated: 0 });
  });

  test('is answered 502 when it is not, and nothing of it goes on', async () => {
    behaviours.bad = send(body({ id: 'secret-value' }));
    const answered = await get('block', 'bad');
    expect(reasonOf(answered)).toBe('502 schema.response_body');
    expect(JSON.parse(answered.body)).not.toHaveProperty('errors');
    expect(answered.headers).not.toHaveProperty('x-inner');
    expect(answered.headers['content-type']).toBe('application/problem+json');
    expect(JSON.stringify(answered)).not.toMatch(/secret-value|xxx/);
    const event = await eventOf(answered);
    expect(event).toMatchObject({ SecurityAction: 'block', OriginResponseStatus: 200, EdgeResponseStatus: 502 });
    expect(event.SchemaViolations).toEqual([
      { Location: 'response', Class: 'type', Detail: 'expected integer', Target: '/body/id' },
    ]);
  });

  test('is recorded where responses are logged', async () => {
    const bad = body({ id: '1' });
    behaviours.bad = send(bad);
    const answered = await get('log', 'bad');
    expect(answered).toMatchObject({ status: 200, body: bad });
    expect(await eventOf(answered)).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'schema.response_body' });
  });

  test('loses what is not described where that is stripped', async () => {
    const before = await counted();
    behaviours.excess = send(body({ id: 1, secret: 's', parts: [{ sku: 'a', cost: 2 }] }), { etag: '"1"' });
    const answered = await get('strip', 'excess');
    expect(answered.status).toBe(200);
    expect(answered.body).toBe(body({ id: 1, parts: [{ sku: 'a' }] }));
    expect(answered.headers).toMatchObject({
      'x-inner': 'of the origin',
      'content-length': String(answered.body.length),
    });
    expect(answered.headers).not.toHaveProperty('etag');
    const event = await eventOf(answered);
    expect(event).toMatchObject({ SecurityAction: 'log', EdgeResponseBodyBytes: answered.body.length });
    expect((event.SchemaViolations as { Class: string; Target: string }[]).map(one => [one.Class, one.Target])).toEqual(
      [
        ['unknown', '/body/secret'],
        ['unknown', '/body/parts/0/cost'],
      ],
    );
    await grown(before, { stripped: 1, members: 2 });
  });

  test('is left as it is where there is nothing to strip', async () => {
    const good = body({ id: 1 });
    behaviours.good = send(good, { etag: '"1"' });
    const answered = await get('strip', 'good');
    expect(answered).toMatchObject({ status: 200, body: good, headers: { etag: '"1"' } });
    expect(await eventOf(answered)).not.toHaveProperty('SecurityAction');
  });

  test('is answered 502 where what is left is wrong', async () => {
    behaviours.bad = send(body({ id: '1', secret: 2 }));
    expect(reasonOf(await get('strip', 'bad'))).toBe('502 schema.response_body');
  });

  test('is not looked at where responses are off', async () => {
    const bad = body({ id: '1' });
    behaviours.bad = send(bad);
    const answered = await get('off', 'bad');
    expect(answered).toMatchObject({ status: 200, body: bad });
    expect(await eventOf(answered)).not.toHaveProperty('SecurityAction');
  });
});

describe('the head of an answer', () => {
  test('may have described statuses only', async () => {
    behaviours.tea = sends('{"id":1}', {}, 302);
    const answered = await get('block', 'tea');
    expect(reasonOf(answered)).toBe('502 schema.response_status');
    expect(answered.headers).not.toHaveProperty('x-inner');
    expect(await get('log', 'tea')).toMatchObject({ status: 302, body: '{"id":1}' });
    expect(reasonOf(await get('strip', 'tea'))).toBe('502 schema.response_status');
  });

  test('matches a range of statuses', async () => {
    const type = { 'content-type': 'application/problem+json' };
    behaviours.none = sends('{"title":"none"}', type, 404);
    expect((await get('block', 'none')).status).toBe(404);
    behaviours.none = sends('{}', type, 404);
    expect(reasonOf(await get('block', 'none'))).toBe('502 schema.response_body');
  });

  test('has the required headers', async () => {
    behaviours.good = sends('{"id":1}', { 'X-Left': '1' });
    behaviours.bad = sends('{"id":1}');
    const counted = (name: string) => ask(front.caller('block.test'), `/counted/${name}`);
    expect((await counted('good')).headers['x-left']).toBe('1');
    const answered = await counted('bad');
    expect(reasonOf(answered)).toBe('502 schema.response_header');
    expect((await eventOf(answered)).SchemaViolations).toMatchObject([
      { Target: '/headers/x-left', Class: 'required' },
    ]);
  });

  test.each([
    ['whole', sends],
    ['in chunks', chunks],
  ])('has a described media type, also of a body that comes %s', async (_, send) => {
    behaviours.page = send('<h1>a stack trace</h1>', { 'content-type': 'text/html' });
    const answered = await get('block', 'page');
    expect(reasonOf(answered)).toBe('502 schema.response_media_type');
    expect(answered.body).not.toContain('stack trace');
  });
});

test('an answer to HEAD and a 204 have no body to look at', async () => {
  behaviours.good = sends('{"id":1}');
  const head = await get('block', 'good', { method: 'HEAD' });
  expect(head).toMatchObject({ status: 200, headers: { 'content-length': '8' } });
  behaviours.none = response => response.writeHead(204).end();
  expect((await get('block', 'none')).status).toBe(204);
  behaviours.gone = response => response.writeHead(304).end();
  expect(reasonOf(await get('block', 'gone'))).toBe('502 schema.response_status');
  behaviours.gone = response => response.writeHead(418, { 'content-type': 'application/problem+json' }).end();
  expect(await get('block', 'gone', { method: 'HEAD' })).toMatchObject({ status: 418, body: '' });
});

test('events stream as they come, and are counted as not evaluated', async () => {
  const before = await counted();
  let more = () => {};
  behaviours.events = response => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: 1\n\n');
    more = () => void response.end('data: 2\n\n');
  };
  const client = await connect(front.caller('block.test'));
  client.send('GET /things/events HTTP/1.1\r\nHost: block.test\r\n\r\n');
  await vi.waitFor(() => expect(client.received).toContain('data: 1'), 5_000);
  more();
  expect(await client.response()).toMatchObject({ status: 200, body: 'data: 1\n\ndata: 2\n\n' });
  await grown(before, { notEvaluated: 1 });
});

test.each([
  ['of known length', sends],
  ['in chunks', chunks],
])('an answer above 1 MiB %s passes byte for byte, and is counted as not evaluated', async (_, send) => {
  const before = await counted();
  const body = noise(2_500_000);
  behaviours.huge = send(body);
  const answered = await transfer(front.caller('block.test'), '/things/huge');
  expect(answered.status).toBe(200);
  expect(answered.body.equals(body)).toBe(true);
  expect(answered.headers['x-inner']).toBe('of the origin');
  await grown(before, { notEvaluated: 1, inPlace: 0, pool: 0 });
});

test('an answer in chunks above 1 MiB that comes at once passes too', async () => {
  const body = noise(1_200_000);
  behaviours.huge = response => response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  const answered = await transfer(front.caller('block.test'), '/things/huge');
  expect(answered.body.equals(body)).toBe(true);
});

describe('an encoded answer', () => {
  const gzip = { 'content-encoding': 'gzip' };

  test('is decoded to be checked, and passes as it came', async () => {
    const encoded = gzipSync('{"id":1}');
    behaviours.good = sends(encoded, gzip);
    const answered = await transfer(front.caller('block.test'), '/things/good');
    expect(answered).toMatchObject({ status: 200, headers: gzip });
    expect(answered.body.equals(encoded)).toBe(true);
    behaviours.bad = sends(gzipSync('{"id":"1"}'), gzip);
    expect(reasonOf(await get('block', 'bad'))).toBe('502 schema.response_body');
    behaviours.bad = sends('{"id":1}', gzip);
    expect(reasonOf(await get('block', 'bad'))).toBe('502 schema.response_body');
  });

  test('is sent decoded when something was taken out', async () => {
    behaviours.excess = sends(gzipSync('{"id":1,"secret":2}'), { ...gzip, 'content-digest': 'sha-256=:YQ==:' });
    const answered = await get('strip', 'excess');
    expect(answered).toMatchObject({ status: 200, body: '{"id":1}', headers: { 'content-length': '8' } });
    expect(answered.headers).not.toHaveProperty('content-encoding');
    expect(answered.headers).not.toHaveProperty('content-digest');
    const encoded = gzipSync('{"id":1}');
    behaviours.good = sends(encoded, gzip);
    expect((await transfer(front.caller('strip.test'), '/things/good')).body.equals(encoded)).toBe(true);
  });
});

test('an origin that dies in the middle of what is held back gives an answer of the gateway', async () => {
  behaviours.dies = async response => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"id":1,"note":"half of');
    await sleep(20);
    response.destroy();
  };
  const answered = await get('block', 'dies');
  expect(reasonOf(answered)).toBe('502 origin.closed');
  expect(answered.body).not.toContain('half of');
  expect(answered.headers).not.toHaveProperty('x-inner');
  // In log mode as well: what is held is not seen.
  expect(reasonOf(await get('log', 'dies'))).toBe('502 origin.closed');
});

test('a client that goes while its answer is held back ends the exchange at the origin', async () => {
  const before = await counted();
  let closed: Promise<unknown> = Promise.resolve();
  let held = () => {};
  const holding = new Promise<void>(resolve => {
    held = resolve;
  });
  behaviours.slow = response => {
    closed = once(response, 'close');
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"id":1,');
    held();
  };
  const client = await connect(front.caller('block.test'));
  client.send('GET /things/slow HTTP/1.1\r\nHost: block.test\r\n\r\n');
  await holding;
  await sleep(50);
  expect(client.received).toBe('');
  client.close();
  await closed;
  await grown(before, { gone: 1, open: 0 });
});

test('a client that reads slowly gets all of a large answer', async () => {
  const good = JSON.stringify({ id: 1, note: noise(LARGE).toString('hex').slice(0, LARGE) });
  behaviours.good = sends(good);
  const client = await connect(front.caller('block.test'));
  client.socket.pause();
  client.send('GET /things/good HTTP/1.1\r\nHost: block.test\r\n\r\n');
  await sleep(300);
  client.socket.resume();
  const answered = await client.response();
  expect(answered.body.length).toBe(good.length);
  expect(answered.body).toBe(good);
});

test('two hundred requests of one connection get their own verdicts, in order', async () => {
  const agent = keptAlive();
  const big = 'x'.repeat(4 * INLINE_BYTES);
  for (let index = 0; index < 200; index++) {
    const name = `n${index}`;
    const kind = index % 8;
    const send = kind % 2 ? chunks : sends;
    const note = kind >= 4 ? big : '';
    const body = JSON.stringify({ id: kind === 2 || kind === 5 ? 'no' : index, note, extra: index });
    behaviours[name] = send(body);
    const answered = await get('strip', name, { agent });
    if (kind === 2 || kind === 5) expect(reasonOf(answered)).toBe('502 schema.response_body');
    else expect(JSON.parse(answered.body)).toEqual({ id: index, note });
  }
});

test('the body of a request and its held answer meet: each gets through', async () => {
  const body = JSON.stringify({ padding: 'y'.repeat(200_000) });
  behaviours.put = chunks(JSON.stringify({ id: 7, note: 'z'.repeat(200_000) }));
  const answered = await ask(front.caller('block.test'), '/things/put', {
    method: 'PUT',
    body,
    headers: { 'content-type': 'application/json' },
  });
  expect(answered.status).toBe(200);
  expect(JSON.parse(answered.body)).toMatchObject({ id: 7 });
  expect(origin.arrived.at(-1)?.body.length).toBe(body.length);
});
