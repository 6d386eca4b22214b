// From requests to a limit that fits them: recorded by one run of the gateway, recommended, tried out and taken up by the
// next.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { temporaryFolder } from '../support/cleanup.js';
import { commandLine } from '../support/command.js';
import { HOST, startLimited } from '../support/limited.js';
import { httpOrigin } from '../support/origin.js';

const openapi = {
  openapi: '3.1.0',
  info: { title: 'orders', version: '1' },
  paths: {
    '/login': { get: { operationId: 'login', responses: { 200: { description: 'in' }, 401: { description: 'no' } } } },
    '/orders': { get: { operationId: 'listOrders', responses: { 200: { description: 'all' } } } },
  },
};

const BUCKET_MS = 600_000;
const ASKED_WITHIN_MS = 20_000;
/** Three gateways start, one after the other. */
const TIMEOUT_MS = 120_000;

test(
  'what was asked outlives the gateway, and becomes a limit that its successor enforces',
  async () => {
    const origin = await httpOrigin((request, response) => {
      response.statusCode = request.url === '/login' ? 401 : 200;
      response.end('{}');
    });
    const folder = join(temporaryFolder(), 'state');
    const start = (rules: { name: string }[]) =>
      startLimited(
        origin.url,
        { rules },
        {
          config: { store: { folder } },
          files: { 'orders.json': JSON.stringify(openapi) },
          hosts: {
            [HOST]: {
              openapi: { file: 'orders.json' },
              credentials: { action: 'off', session: [{ header: 'X-Session' }] },
            },
          },
        },
      );
    const first = await start([]);
    // All of it in the same ten minutes.
    const left = BUCKET_MS - (Date.now() % BUCKET_MS);
    if (left < ASKED_WITHIN_MS) await pause(left);
    const { token } = first.gateway;
    for (const [session, times] of [
      ['alice', 3],
      ['bob', 2],
      ['mallory', 40],
    ] as const) {
      await first.statuses(times, '/login', { headers: { 'x-session': session } });
    }
    await first.statuses(4, '/orders', { from: '127.0.0.9' });
    // It tells of the ten minutes that it is in.
    expect(await first.gateway.stop()).toBe(0);
    for (const file of readdirSync(folder)) {
      expect(readFileSync(join(folder, file)).includes('mallory'), file).toBe(false);
    }

    const second = await start([]);
    const run = commandLine({ token, admin: second.gateway.admin } as typeof second.gateway, temporaryFolder());
    const json = async (...args: string[]) => JSON.parse(await run('limits', ...args, '-o', 'json'));
    const { items } = await json('recommend');
    expect(items).toMatchObject([
      {
        ...{
          host: HOST,
          operation: 'listOrders',
          requests: 4,
          anonymous: 4,
          sessions: 1,
          p99: 4,
          counted_by: 'address',
        },
        ...{ class: 'other', requests_per_period: 20 },
      },
      {
        ...{ host: HOST, operation: 'login', requests: 45, anonymous: 0, sessions: 3, p50: 3, p99: 40, share: 1 },
        ...{ class: 'login', counted_by: 'session', confidence: 'low' },
      },
    ]);
    const tried = await json('simulate', 'login', '--requests', '5', '--period', '10m');
    expect(tried).toMatchObject({ sessions: { certain: 1, possible: 0, spared: 2 }, hits: [{ requests: 40 }] });
    expect(tried.refused_at_least).toBeGreaterThanOrEqual(34);
    const written = parse(await run('limits', 'recommend', 'login', '--yaml')).limits.rules;
    expect(await second.gateway.stop()).toBe(0);

    const third = await start([{ ...written[0], requestsPerPeriod: 5, action: 'block' }]);
    const statuses = await third.statuses(7, '/login', { headers: { 'x-session': 'mallory' } });
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
    expect(await third.statuses(1, '/login', { headers: { 'x-session': 'alice' } })).toEqual([401]);
    expect(await third.statuses(7, '/login')).toEqual(Array(7).fill(401));
  },
  TIMEOUT_MS,
);
