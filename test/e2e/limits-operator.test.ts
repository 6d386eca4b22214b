// What an operator sees and does about those that a limit refuses, from the command line to the next request; and clients
// whose addresses come in two forms.

import { networkInterfaces } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { commandLine } from '../support/command.js';
import { type Limited, startLimited } from '../support/limited.js';
import { httpOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';

const PENALTY = { requestsPerPeriod: 2, mitigationTimeout: '1h' };

let front: Limited;
// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
let limits: (...args: string[]) => Promise<any>;

beforeAll(async () => {
  const origin = await httpOrigin((_, response) => response.end('ok'));
  const rules = [
    { name: 'reset', ...PENALTY },
    { name: 'exempt', ...PENALTY },
    { name: 'private', ...PENALTY, characteristics: ['http.request.headers["x-secret"]'] },
    { name: 'prefix', requestsPerPeriod: 2, characteristics: ['cidr(ip.src, 24, 64)'] },
    { name: 'single', requestsPerPeriod: 2, characteristics: ['ip.src'] },
  ];
  front = await startLimited(origin.url, { rules }, { everyAddress: true });
  const run = commandLine(front.gateway, temporaryFolder());
  limits = async (...args) => JSON.parse(await run('limits', ...args, '-o', 'json'));
});

test('a key that was reset begins anew, its penalty forgotten; the others stay', async () => {
  const from = '127.0.0.2';
  for (const address of [from, '127.0.0.3']) {
    expect(await front.statuses(3, '/reset', { from: address })).toEqual([200, 200, 429]);
  }
  // Refused most often: the first of the list.
  await front.statuses(5, '/reset', { from });
  const { items } = await limits('top', 'reset');
  expect(items).toMatchObject([
    { limit: 'reset', refused: 6 },
    { limit: 'reset', refused: 1 },
  ]);
  for (const { penalty_ends } of items) expect(Date.parse(penalty_ends)).toBeGreaterThan(Date.now());
  await limits('reset', 'reset', items[0].key);
  await until(async () => (await front.get('/reset', { from })).status === 200);
  expect(await front.statuses(2, '/reset', { from })).toEqual([200, 429]);
  expect((await front.get('/reset', { from: '127.0.0.3' })).status).toBe(429);
});

test('a key that is exempt is never refused nor counted, until it is no longer', async () => {
  const from = '127.0.0.4';
  expect(await front.statuses(3, '/exempt', { from })).toEqual([200, 200, 429]);
  const { key } = (await limits('top', 'exempt')).items[0];
  expect(await limits('exempt', 'exempt', key, '--why', 'a load test')).toMatchObject({
    limit: 'exempt',
    key,
    until: null,
  });
  await until(async () => (await front.get('/exempt', { from })).status === 200);
  expect(new Set(await front.statuses(10, '/exempt', { from }))).toEqual(new Set([200]));
  expect((await limits('exemptions', 'exempt')).items).toMatchObject([{ key, why: 'a load test' }]);
  await limits('unexempt', 'exempt', key, '--yes');
  await until(async () => (await front.get('/exempt', { from })).status === 429);
});

test('what a key stands for is nowhere to be seen', async () => {
  const headers = { 'x-secret': 'hunter2-of-somebody' };
  expect(await front.statuses(3, '/private', { headers })).toEqual([200, 200, 429]);
  const told = await limits('top', 'private');
  expect(told.items).toMatchObject([{ identity: null, key: expect.stringMatching(/^[0-9a-f]{32}$/) }]);
  const event = await front.gateway.event(({ SecurityRuleID }) => SecurityRuleID === 'limits.private');
  expect(event.RateLimits).toMatchObject([{ Key: told.items[0].key.slice(0, 8) }]);
  const all = JSON.stringify([told, front.gateway.events, await front.gateway.metrics(), front.gateway.log]);
  expect(all).not.toContain('hunter2');
});

test('limits in force are listed with what they have counted', async () => {
  await front.statuses(3, '/single', { from: '127.0.0.5' });
  const { items } = await limits('list');
  const single = items.find(({ name }: { name: string }) => name === 'single');
  expect(single).toMatchObject({ amount: 2, period_seconds: 3_600, figures: { checked: 3, refused: 1 } });
});

const ipv6 = Object.values(networkInterfaces()).some(all => all?.some(({ address }) => address === '::1'));

describe.skipIf(!ipv6)('where clients come by IPv6 and IPv4 to one socket', () => {
  test('an IPv4 address has its own prefix, not that of all mapped ones', async () => {
    const from = (address: string) => front.get('/prefix', { from: address });
    expect([(await from('127.1.1.1')).status, (await from('127.1.1.2')).status]).toEqual([200, 200]);
    expect((await from('127.1.1.3')).status).toBe(429);
    expect((await from('127.1.2.1')).status).toBe(200);
  });

  test('an IPv6 address has one too', async () => {
    expect(await front.statuses(3, '/prefix', { from: '::1' })).toEqual([200, 200, 429]);
  });

  test('addresses are told apart', async () => {
    for (const from of ['::1', '127.0.0.7'])
      expect(await front.statuses(3, '/single', { from })).toEqual([200, 200, 429]);
  });
});
