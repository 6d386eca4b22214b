// The gateway's own answers: RFC 9457 problem details that say the same as the record.

import { beforeAll, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask, connect } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { freePort } from '../support/ports.js';

let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin();
  const closed = { name: 'closed', expression: 'starts_with(http.request.uri.path, "/closed")', action: 'block' };
  front = await startFront(
    {
      'api.test': { origin: origin.url, maxBodyBytes: '1KiB' },
      'down.test': { origin: `http://127.0.0.1:${await freePort()}` },
    },
    { config: { rules: [closed] } },
  );
});

const eventOf = ({ headers }: Pick<Answered, 'headers'>) =>
  front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

test('a denial is a problem document with reason and request id', async () => {
  const answered = await ask(front.caller('api.test', null), '/');
  expect(answered.status).toBe(403);
  expect(answered.headers).toMatchObject({
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'content-length': String(answered.body.length),
  });
  expect(answered.headers).not.toHaveProperty('uwebsockets');
  expect(JSON.parse(answered.body)).toEqual({
    type: 'urn:portcullis:reason:mtls.missing',
    title: 'A client certificate is required.',
    status: 403,
    reason: 'mtls.missing',
    requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
});

test('header, body and record carry one request id, and each request its own', async () => {
  const seen = new Set<unknown>();
  for (let turn = 0; turn < 5; turn++) {
    const answered = await ask(front.caller('api.test'), '/closed');
    const id = answered.headers['x-request-id'];
    expect(JSON.parse(answered.body).requestId).toBe(id);
    expect(await eventOf(answered)).toMatchObject({ RayID: id, SecurityRuleID: 'rules.closed' });
    seen.add(id);
  }
  expect(seen.size).toBe(5);
});

test('what passed carries the request id to the origin, to the client and into the record', async () => {
  const answered = await ask(front.caller('api.test'), '/', { headers: { 'x-request-id': 'mine' } });
  const id = answered.headers['x-request-id'];
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(origin.arrived.at(-1)?.headers['x-request-id']).toBe(id);
  expect(origin.arrived.at(-1)?.headers.traceparent).toMatch(new RegExp(`^00-${id}-[0-9a-f]{16}-00$`));
  expect(await eventOf(answered)).toMatchObject({ EdgeResponseStatus: 200 });
});

test("the client's own trace goes on, the request id stays the gateway's", async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const answered = await ask(front.caller('api.test'), '/', { headers: { traceparent, tracestate: 'a=b' } });
  expect(origin.arrived.at(-1)?.headers).toMatchObject({ traceparent, tracestate: 'a=b' });
  expect(answered.headers['x-request-id']).not.toContain('0af7651916cd43dd8448eb211c80319c');
});

test('a denial of HEAD has the head of the answer and no body', async () => {
  const client = await connect(front.caller('api.test'));
  const denied = await client.ask('HEAD /closed HTTP/1.1\r\nHost: api.test\r\n\r\n');
  expect(denied).toMatchObject({ status: 403, headers: { 'content-type': 'application/problem+json' } });
  const get = await client.ask('GET /closed HTTP/1.1\r\nHost: api.test\r\n\r\n');
  expect(get.status).toBe(403);
  expect(denied.headers['content-length']).toBe(String(get.body.length));
  client.close();
});

test('every kind of refusal is a problem document of its own status', async () => {
  const caller = front.caller('api.test');
  const post = (length: number) => ask(caller, '/', { method: 'POST', body: 'x'.repeat(length) });
  const told = async (answered: Promise<Answered>) => {
    const { status, headers, body } = await answered;
    expect(headers['content-type']).toBe('application/problem+json');
    const problem = JSON.parse(body);
    expect(problem.status).toBe(status);
    return `${status} ${problem.reason}`;
  };
  expect(await told(ask(caller, '/a%2fb'))).toBe('400 http.path');
  expect(await told(ask(caller, '/', { headers: { host: 'nobody.test' } }))).toBe('421 http.unknown_host');
  expect(await told(post(1025))).toBe('413 http.body_too_large');
  expect((await post(1024)).status).toBe(200);
  expect(await told(ask(front.caller('down.test'), '/'))).toBe('502 origin.connect');
  expect(await told(ask(caller, '/closed'))).toBe('403 rules.closed');
});

test('a chunked body above the bound is refused as well, and never reaches the origin whole', async () => {
  const before = origin.arrived.length;
  const client = await connect(front.caller('api.test'));
  client.send('POST /chunks HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n');
  for (let piece = 0; piece < 4; piece++) client.send(`200\r\n${'x'.repeat(512)}\r\n`);
  client.send('0\r\n\r\n');
  const answered = await client.response();
  expect(answered.status).toBe(413);
  await client.closed;
  expect(origin.arrived.slice(before)).toEqual([]);
});

test('an answer says nothing of the policy and nothing of the software', async () => {
  const answers = [
    await ask(front.caller('api.test'), '/closed'),
    await ask(front.caller('down.test'), '/'),
    await ask(front.caller('api.test'), '/'),
  ];
  for (const { headers, body } of answers) {
    expect(headers).not.toHaveProperty('server');
    expect(JSON.stringify(headers)).not.toMatch(/uwebsockets/i);
    expect(body).not.toMatch(/starts_with|127\.0\.0\.1|devices/);
  }
});
