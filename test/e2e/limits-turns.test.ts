// Requests that wait for their turn, and requests under way: in order, within the bound, and given back however they end.

import type { ServerResponse } from 'node:http';
import { beforeAll, describe, expect, test } from 'vitest';
import { connect, type RawClient } from '../support/https.js';
import { HOST, type Limited, startLimited } from '../support/limited.js';
import { httpOrigin } from '../support/origin.js';
import { pause, until } from '../support/waiting.js';

/** Between two turns. */
const TURN_MS = 100;
const DELAY_MS = 1_000;
/** Of a busy machine, for what should take no time. */
const SLACK_MS = 400;

let front: Limited;
let arrived: string[];
/** Requests that the origin has not answered yet. */
let held: ServerResponse[];

beforeAll(async () => {
  const origin = await httpOrigin(({ url }, response) => {
    if (url.endsWith('/reset')) response.socket?.resetAndDestroy();
    else if (url.endsWith('/held')) held.push(response);
    else response.end('ok');
  });
  arrived = [];
  held = [];
  origin.arrived.push = (...some) => {
    for (const { url } of some) arrived.push(url);
    return arrived.length;
  };
  const delay = { action: 'delay', period: '1s', requestsPerPeriod: 1_000 / TURN_MS, burst: 1 };
  const rules = [
    { name: 'turns', ...delay, delay: `${DELAY_MS}ms` },
    { name: 'leaving', ...delay, delay: `${DELAY_MS}ms` },
    { name: 'two', concurrency: 2 },
    { name: 'faulty', concurrency: 2 },
    { name: 'aborted', concurrency: 2 },
    { name: 'posted', concurrency: 1 },
  ];
  front = await startLimited(origin.url, { headers: true, rules });
});

describe('delay', () => {
  test('gives turns in order, evenly, and refuses who would wait longer than its bound', async () => {
    const count = 24;
    const clients = await Promise.all(Array.from({ length: count }, () => connect(front.at())));
    const since = performance.now();
    const answers: Promise<{ status: number; ms: number; index: number }>[] = [];
    for (const [index, client] of clients.entries()) {
      answers.push(
        client.ask(get(`/turns/${index}`)).then(({ status }) => ({ status, ms: performance.now() - since, index })),
      );
      // One after the other also where two threads read them, and the machine has more to do.
      await pause(40);
    }
    const all = await Promise.all(answers);
    const passed = all.filter(({ status }) => status === 200);
    const refused = all.filter(({ status }) => status === 429);
    expect(passed.length + refused.length).toBe(count);
    // The first at once, then one a turn for as long as the bound, and for as long as the asking took.
    expect(passed.length).toBeGreaterThanOrEqual(1 + DELAY_MS / TURN_MS);
    expect(passed.length).toBeLessThan(count);
    const order = passed.map(({ index }) => `/turns/${index}`);
    expect(arrived.filter(url => url.startsWith('/turns/'))).toEqual(order);
    for (const [turn, { ms }] of passed.entries()) {
      expect(ms).toBeGreaterThanOrEqual(turn * TURN_MS - 5);
      expect(ms).toBeLessThan(turn * TURN_MS + SLACK_MS);
    }
    for (const { ms, index } of refused) expect(ms).toBeLessThan(index * 40 + SLACK_MS);
    await front.gateway.counted('portcullis_limits_delayed_total', passed.length - 1, 'limit="turns"');
  });

  test('holds nobody who goes away, and the gateway goes on', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(front.at())));
    for (const [index, client] of clients.entries()) client.send(get(`/leaving/${index}`));
    await pause(50);
    for (const client of clients) client.close();
    await pause(DELAY_MS);
    expect(arrived.filter(url => url.startsWith('/leaving/')).length).toBeLessThanOrEqual(2);
    await until(async () => (await front.gateway.count('portcullis_exchanges_open')) === 0);
    expect((await front.get('/leaving/last')).status).toBe(200);
  });
});

describe('concurrency', () => {
  test('refuses one more than it allows, at once, and lets it in when one is done', async () => {
    const [one, two] = [await hold('/two/held'), await hold('/two/held')];
    const { status, reason, retryAfter, policy, left } = await front.get('/two/held');
    expect([status, reason]).toEqual([429, 'limits.two']);
    expect(retryAfter).toBeGreaterThanOrEqual(1);
    // Requests under way have no window that the fields could tell of.
    expect([policy, left]).toEqual([{}, null]);
    expect((await front.get('/two', { from: '127.0.0.2' })).status).toBe(200);
    held.shift()?.end('done');
    expect((await one.response()).status).toBe(200);
    expect((await front.get('/two')).status).toBe(200);
    held.shift()?.end('done');
    expect((await two.response()).status).toBe(200);
    await exactly('/two', 2);
  });

  test('is given back when clients go away', async () => {
    for (let i = 0; i < 5; i++) {
      const clients = [await hold('/aborted/held'), await hold('/aborted/held')];
      expect((await front.get('/aborted')).status).toBe(429);
      for (const client of clients) client.close();
      await until(async () => (await front.get('/aborted')).status === 200);
    }
    held.length = 0;
    await exactly('/aborted', 2);
  });

  test('is given back when the origin fails', async () => {
    for (let i = 0; i < 8; i++) expect((await front.get('/faulty/reset', { method: 'POST' })).status).toBe(502);
    await exactly('/faulty', 2);
  });

  test('is given back when a client goes away in the middle of its body', async () => {
    for (let i = 0; i < 5; i++) {
      const client = await connect(front.at());
      client.send(`POST /posted HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 10\r\n\r\n12345`);
      await pause(30);
      client.close();
      await until(async () => (await front.get('/posted')).status === 200);
    }
    await exactly('/posted', 1);
  });

  /** So many can be under way at once, no more and no fewer: nothing leaked, nothing was given back twice. */
  async function exactly(path: string, allowed: number): Promise<void> {
    held.length = 0;
    const clients: RawClient[] = [];
    for (let i = 0; i < allowed; i++) clients.push(await hold(`${path}/held`));
    expect((await front.get(path)).status).toBe(429);
    for (const response of held.splice(0)) response.end('done');
    for (const client of clients) expect((await client.response()).status).toBe(200);
  }
});

/** A request that the origin has. */
async function hold(path: string): Promise<RawClient> {
  const before = held.length;
  const client = await connect(front.at());
  client.send(get(path));
  await until(() => held.length > before || client.received !== '');
  expect(client.received).toBe('');
  return client;
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
}
