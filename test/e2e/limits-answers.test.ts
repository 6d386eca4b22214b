// What a limit answers, whom it tells apart, and what it counts: over the wire, each limit with a path of its own.

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Limited, named, startLimited } from '../support/limited.js';
import { httpOrigin } from '../support/origin.js';
import { pause, until } from '../support/waiting.js';

const HOUR_S = 3_600;

const LIMITS = {
  headers: true,
  rules: [
    { name: 'basic', requestsPerPeriod: 3 },
    { name: 'shown', requestsPerPeriod: 3 },
    { name: 'soon', requestsPerPeriod: 1, period: '1s' },
    { name: 'penalty', requestsPerPeriod: 1, period: '1s', mitigationTimeout: '10m' },
    { name: 'counted', algorithm: 'slidingWindow', requestsPerPeriod: 2, period: '2s' },
    { name: 'watched', requestsPerPeriod: 2, action: 'log' },
    { name: 'ignored', requestsPerPeriod: 2, action: 'off' },
    { name: 'both', requestsPerPeriod: 10 },
    { name: 'narrow', requestsPerPeriod: 2, period: '1m', expression: 'http.request.uri.path eq "/both/narrow"' },
    { name: 'strict', requestsPerPeriod: 2, period: '1m', expression: 'http.request.uri.path eq "/strictest"' },
    { name: 'strictest', requestsPerPeriod: 2 },
    { name: 'lax', requestsPerPeriod: 3, expression: 'http.request.uri.path eq "/strictest"' },
    { name: 'prefix', requestsPerPeriod: 2, characteristics: ['cidr(ip.src, 24, 64)'] },
    { name: 'named', requestsPerPeriod: 2, characteristics: ['http.request.headers["x-client"]'] },
    { name: 'pair', requestsPerPeriod: 2, characteristics: ['http.request.uri.args["a"][0]', 'http.request.method'] },
    { name: 'answered', scorePerPeriod: 10, score: { responseHeader: 'x-cost' } },
    {
      ...{ name: 'pages', scorePerPeriod: 100 },
      score: { expression: 'to_number(http.request.uri.args["limit"][0])' },
    },
    { name: 'sockets', requestsPerPeriod: 2 },
  ],
};

let front: Limited;
let arrived: () => number;

beforeAll(async () => {
  const origin = await httpOrigin(({ url }, response) => {
    const cost = /^\/answered\?(.*)$/.exec(url)?.[1];
    if (cost !== undefined) response.setHeader('X-Cost', cost);
    response.end('ok');
  });
  arrived = () => origin.arrived.length;
  front = await startLimited(origin.url, LIMITS, { hosts: { 'ws.test': { origin: await echo() } } });
});

describe('a refusal', () => {
  test('is 429 with its limit, when to come back, and what the policy is', async () => {
    expect(await front.statuses(3, '/basic')).toEqual([200, 200, 200]);
    const before = arrived();
    const { status, reason, retryAfter, policy, left, answered } = await front.get('/basic');
    expect([status, reason]).toEqual([429, 'limits.basic']);
    expect(answered.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(answered.body)).toMatchObject({ status: 429, title: expect.any(String) });
    // One of three comes back every 20 minutes.
    expect(retryAfter).toBeGreaterThan(HOUR_S / 3 - 10);
    expect(retryAfter).toBeLessThanOrEqual(HOUR_S / 3);
    expect(policy).toEqual({ basic: { q: 3, w: HOUR_S } });
    expect(left).toEqual({ name: 'basic', r: 0, t: expect.any(Number) });
    expect(arrived()).toBe(before);
  });

  test('is recorded with its limit and a short key, and counted', async () => {
    const from = '127.0.0.9';
    await front.statuses(3, '/basic', { from });
    const { answered } = await front.get('/basic', { from });
    const event = await front.gateway.event(({ RayID }) => RayID === answered.headers['x-request-id']);
    expect(event).toMatchObject({ SecurityAction: 'block', SecurityRuleID: 'limits.basic', EdgeResponseStatus: 429 });
    expect(event.RateLimits).toMatchObject([{ Action: 'block', ID: 'limits.basic', Key: expect.any(String) }]);
    await front.gateway.counted('portcullis_denials_total', 1, 'reason="limits.basic",action="block"');
    await front.gateway.counted('portcullis_limits_checked_total', 8, 'limit="basic"');
  });

  test('to HEAD has no body', async () => {
    const from = '127.0.0.8';
    await front.statuses(3, '/basic', { from });
    const { status, retryAfter, answered } = await front.get('/basic', { from, method: 'HEAD' });
    expect([status, answered.body]).toEqual([429, '']);
    expect(retryAfter).toBeGreaterThan(0);
  });

  test('ends when it said it would', async () => {
    expect((await front.get('/soon')).status).toBe(200);
    const refused = await front.get('/soon');
    expect([refused.status, refused.retryAfter]).toEqual([429, 1]);
    await pause(1_000);
    expect((await front.get('/soon')).status).toBe(200);
  });

  test('with a mitigation timeout lasts that long, whatever comes meanwhile', async () => {
    expect(await front.statuses(2, '/penalty')).toEqual([200, 429]);
    await pause(1_100);
    const { status, retryAfter } = await front.get('/penalty');
    expect(status).toBe(429);
    expect(retryAfter).toBeGreaterThan(590);
    expect(retryAfter).toBeLessThanOrEqual(600);
    expect((await front.get('/penalty', { from: '127.0.0.2' })).status).toBe(200);
  });

  test('of a sliding window lasts until what was counted is a period ago', async () => {
    expect(await front.statuses(3, '/counted')).toEqual([200, 200, 429]);
    const { retryAfter } = await front.get('/counted');
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    expect(retryAfter).toBeLessThanOrEqual(3);
    await pause((retryAfter as number) * 1_000);
    expect((await front.get('/counted')).status).toBe(200);
  });
});

test('passing answers say what is left, for all limits and of the tightest', async () => {
  const seen = [await front.get('/shown'), await front.get('/shown')];
  for (const { policy, retryAfter } of seen) {
    expect(policy).toEqual({ shown: { q: 3, w: HOUR_S } });
    expect(retryAfter).toBeNull();
  }
  expect(seen.map(({ left }) => left)).toEqual([
    { name: 'shown', r: 2, t: expect.any(Number) },
    { name: 'shown', r: 1, t: expect.any(Number) },
  ]);
  const nothing = await front.get('/elsewhere');
  expect([nothing.policy, nothing.left]).toEqual([{}, null]);
});

test('several limits: each is told, the tightest is told about, and what one refuses costs the others nothing', async () => {
  const first = await front.get('/both/narrow');
  expect(first.policy).toEqual({ both: { q: 10, w: HOUR_S }, narrow: { q: 2, w: 60 } });
  expect(first.left).toMatchObject({ name: 'narrow', r: 1 });
  const after = await Promise.all(Array.from({ length: 10 }, () => front.get('/both/narrow')));
  expect(after.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(new Set(after.map(({ reason }) => reason))).toEqual(new Set([null, 'limits.narrow']));
  // Two passed before; one of ten comes back in six minutes.
  expect((await front.get('/both/other')).left).toMatchObject({ name: 'both', r: 7 });
});

test('of several that refuse, the one that does so for longest answers', async () => {
  await front.statuses(2, '/strictest');
  const { reason, retryAfter, policy } = await front.get('/strictest');
  expect(reason).toBe('limits.strictest');
  expect(retryAfter).toBeGreaterThan(60);
  expect(Object.keys(policy).sort()).toEqual(['lax', 'strict', 'strictest']);
});

describe('staged', () => {
  test('in log all pass, and what would be refused is recorded and counted', async () => {
    expect(await front.statuses(2, '/watched')).toEqual([200, 200]);
    const { status, policy, answered } = await front.get('/watched');
    expect([status, policy]).toEqual([200, {}]);
    const { RayID } = await front.gateway.event(
      ({ RateLimits }) => JSON.stringify(RateLimits)?.includes('watched') === true,
    );
    expect(answered.headers).not.toHaveProperty('retry-after');
    const event = await front.gateway.event(event => event.RayID === RayID);
    expect(event).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'limits.watched', EdgeResponseStatus: 200 });
    await front.gateway.counted('portcullis_denials_total', 1, 'reason="limits.watched",action="log"');
  });

  test('off does not even look', async () => {
    expect(new Set(await front.statuses(5, '/ignored'))).toEqual(new Set([200]));
    expect(await front.gateway.count('portcullis_limits_checked_total', 'limit="ignored"')).toBe(0);
  });

  test('what log has counted holds when it is enforced', async () => {
    const from = '127.0.0.3';
    expect(await front.statuses(2, '/watched', { from })).toEqual([200, 200]);
    await rewritten('watched', { action: 'block' });
    expect(await front.get('/watched', { from })).toMatchObject({ status: 429, reason: 'limits.watched' });
    expect((await front.get('/watched', { from: '127.0.0.4' })).status).toBe(200);
    await rewritten('watched', { action: 'log' });
    expect((await front.get('/watched', { from })).status).toBe(200);
  });
});

test('a reload forgets neither what was spent nor a penalty', async () => {
  const from = '127.0.0.5';
  await front.statuses(2, '/basic', { from });
  expect(await front.statuses(2, '/penalty', { from })).toEqual([200, 429]);
  await rewritten('shown', { requestsPerPeriod: 1_000 });
  expect(await front.statuses(2, '/basic', { from })).toEqual([200, 429]);
  await pause(1_100);
  expect((await front.get('/penalty', { from })).status).toBe(429);
});

describe('what tells counters apart', () => {
  test('the prefix of an address', async () => {
    const from = (address: string) => front.get('/prefix', { from: address });
    expect([(await from('127.0.7.1')).status, (await from('127.0.7.200')).status]).toEqual([200, 200]);
    expect((await from('127.0.7.3')).status).toBe(429);
    expect((await from('127.0.8.1')).status).toBe(200);
  });

  test('a header; its absence is a value of its own', async () => {
    const ask = (value?: string) =>
      front.statuses(3, '/named', value === undefined ? {} : { headers: { 'x-client': value } });
    for (const value of ['a', 'b', undefined, '']) expect(await ask(value)).toEqual([200, 200, 429]);
  });

  test('several values together, not what they make when they are joined', async () => {
    for (const [a, method] of [
      ['GET', 'GET'],
      ['GETG', 'GET'],
      ['GET', 'POST'],
      ['', 'GET'],
    ] as const) {
      expect(await front.statuses(3, `/pair?a=${a}`, { method })).toEqual([200, 200, 429]);
    }
  });
});

describe('what a request costs', () => {
  test('is what the answer says of it', async () => {
    // The one that goes beyond was admitted before its cost was known.
    expect(await front.statuses(3, '/answered?6')).toEqual([200, 200, 429]);
    // Without a number it costs one.
    expect(await front.statuses(11, '/answered?many', { from: '127.0.0.2' })).toEqual([...Array(10).fill(200), 429]);
  });

  test('is what an expression makes of the request', async () => {
    expect(await front.statuses(3, '/pages?limit=50')).toEqual([200, 200, 429]);
    // What costs more than all there is never passes.
    expect(await front.statuses(2, '/pages?limit=101', { from: '127.0.0.2' })).toEqual([429, 429]);
    expect((await front.get('/pages?limit=100', { from: '127.0.0.2' })).status).toBe(200);
  });
});

test('the handshake of a WebSocket is a request like any other', async () => {
  const open = async (from: string) => {
    const { port, ca } = front.at(from, 'ws.test');
    const options = { ca, servername: 'ws.test', headers: { host: 'ws.test' }, localAddress: from };
    const socket = new WebSocket(`wss://127.0.0.1:${port}/sockets`, options);
    atTheEnd(() => socket.terminate());
    const [what] = await Promise.race([
      once(socket, 'open').then(() => ['open']),
      once(socket, 'unexpected-response').then(([, response]) => [response.statusCode]),
    ]);
    return what;
  };
  expect([await open('127.0.0.2'), await open('127.0.0.2'), await open('127.0.0.2')]).toEqual(['open', 'open', 429]);
  expect(await open('127.0.0.3')).toBe('open');
});

test('without `headers` passing answers say nothing, refusals all', async () => {
  const from = '127.0.0.6';
  await applied({ ...LIMITS, headers: false });
  const passing = await front.get('/basic', { from });
  expect([passing.policy, passing.left]).toEqual([{}, null]);
  await front.statuses(2, '/basic', { from });
  expect(await front.get('/basic', { from })).toMatchObject({ policy: { basic: { q: 3, w: HOUR_S } }, left: { r: 0 } });
  await applied(LIMITS);
});

/** The limits with one of them changed. */
function rewritten(name: string, changes: object): Promise<void> {
  return applied({ ...LIMITS, rules: LIMITS.rules.map(rule => (rule.name === name ? { ...rule, ...changes } : rule)) });
}

async function applied(limits: typeof LIMITS): Promise<void> {
  const reloads = () => front.gateway.count('portcullis_config_reloads_total', 'result="applied"');
  const before = await reloads();
  front.gateway.writeConfig({ limits: named(limits) });
  await until(async () => (await reloads()) > before);
}

async function echo(): Promise<string> {
  const server = createServer();
  const sockets = new WebSocketServer({ server });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
