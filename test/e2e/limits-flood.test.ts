// A flood of made-up keys against a small table: nobody's penalty is lifted by it, no counter forgets what was spent, and
// when the table is full, new keys are refused or pass as it is set.
//
//     LIMITS_LONG=1 npx vitest run test/e2e/limits-flood.test.ts      half a million keys

import { randomBytes } from 'node:crypto';
import { beforeAll, expect, test } from 'vitest';
import { HOST, type Limited, named, startLimited } from '../support/limited.js';
import { quickOrigin, type Shot, steady } from '../support/steady.js';
import { keepTally, LONG } from '../support/tally.js';
import { until } from '../support/waiting.js';

/** The least that can be configured. */
const ENTRIES = 1_024;
const FLOOD = LONG ? 500_000 : 20_000;
const TIMEOUT_MS = LONG ? 600_000 : 60_000;
const CONNECTIONS = 32;

const characteristics = ['http.request.headers["x-name"]'];
const LIMITS = {
  entries: ENTRIES,
  rules: [
    { name: 'penalty', requestsPerPeriod: 1, mitigationTimeout: '1h', characteristics },
    { name: 'spent', requestsPerPeriod: 5, characteristics },
    // A key that asked once counts for 10 ms: most of the flood is idle, and goes when there is no room.
    { name: 'passing', requestsPerPeriod: 100, period: '1s', characteristics },
    // It counts for twelve minutes: the table gets full.
    { name: 'staying', requestsPerPeriod: 5, characteristics },
  ],
};
/** All in penalty, or with one request left. */
const VICTIMS = Array.from({ length: 20 }, (_, i) => `somebody-${i}`);

let front: Limited;

beforeAll(async () => {
  const origin = await quickOrigin();
  front = await startLimited(origin.url, LIMITS, {
    config: { events: { destination: 'stdout', sampleRate: 0 } },
  });
  for (const name of VICTIMS) {
    expect(await asked(name, '/penalty', 2)).toEqual([204, 429]);
    expect(await asked(name, '/spent', 4)).toEqual([204, 204, 204, 204]);
  }
});

test(
  'made-up keys evict idle ones alone',
  async () => {
    const { gateway } = front;
    const shots = await flood('/passing', FLOOD);
    const passed = shots.filter(({ status }) => status === 204).length;
    const evictions = await gateway.count('portcullis_limits_evictions_total');
    await keepTally('limits-flood', 'idle keys', { keys: FLOOD, passed, evictions, perSecond: perSecond(shots) });
    expect(evictions).toBeGreaterThan(FLOOD / 2);
    expect(await gateway.count('portcullis_limits_entries')).toBeLessThanOrEqual(ENTRIES);
    // A shard may be full for a moment.
    expect(passed).toBeGreaterThan(0.99 * FLOOD);
    await stillHeld();
  },
  TIMEOUT_MS,
);

test(
  'a table full of keys that count refuses new ones, and all that it knew go on',
  async () => {
    const { gateway } = front;
    const known = `known-${randomBytes(8).toString('hex')}`;
    expect(await asked(known, '/staying', 1)).toEqual([204]);
    const shots = await flood('/staying', FLOOD);
    const full = shots.filter(({ status }) => status === 503).length;
    const passed = shots.filter(({ status }) => status === 204).length;
    const counted = await gateway.count('portcullis_limits_full_total');
    await keepTally('limits-flood', 'keys that count', { keys: FLOOD, passed, full, perSecond: perSecond(shots) });
    expect(passed + full).toBe(FLOOD);
    expect(passed).toBeLessThanOrEqual(ENTRIES);
    expect(passed).toBeGreaterThan(0.7 * ENTRIES);
    expect(counted).toBeGreaterThanOrEqual(full);
    const refused = await front.get('/staying', { headers: { 'x-name': 'one-more' } });
    expect(refused).toMatchObject({ status: 503, reason: 'limits.full' });
    expect(refused.retryAfter).toBeGreaterThan(0);
    expect(await asked(known, '/staying', 5)).toEqual([204, 204, 204, 204, 429]);
    await stillHeld();
  },
  TIMEOUT_MS,
);

test('with allowUncounted new keys pass, counted as such, and those that are known are held as before', async () => {
  const { gateway } = front;
  const applied = () => gateway.count('portcullis_config_reloads_total', 'result="applied"');
  const before = await applied();
  gateway.writeConfig({ limits: named({ ...LIMITS, allowUncounted: true }) });
  await until(async () => (await applied()) > before);
  const shots = await flood('/staying', 2_000);
  expect(new Set(shots.map(({ status }) => status))).toEqual(new Set([204]));
  await gateway.counted('portcullis_limits_full_total', 1_000);
  await stillHeld();
});

test('those that it threatened have what they had left, and no more', async () => {
  for (const name of VICTIMS) expect(await asked(name, '/spent', 2)).toEqual([204, 429]);
});

/** Penalties last, and nobody may spend again what was spent: asked of a few at a time, since asking spends. */
async function stillHeld(): Promise<void> {
  for (const name of VICTIMS) expect(await asked(name, '/penalty', 1)).toEqual([429]);
  const name = VICTIMS.pop() as string;
  expect(await asked(name, '/spent', 2)).toEqual([204, 429]);
}

function asked(name: string, path: string, count: number): Promise<number[]> {
  return front.statuses(count, path, { headers: { 'x-name': name } });
}

/** Each request with a key that nobody had before. */
async function flood(path: string, count: number): Promise<Shot[]> {
  const callers = Array.from({ length: CONNECTIONS }, () => front.at());
  const some = randomBytes(8).toString('hex');
  const request = (number: number) => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nX-Name: ${some}-${number}\r\n\r\n`;
  return (await steady(callers, { perSecond: 50_000, atOnce: CONNECTIONS, request, count })).done();
}

function perSecond(shots: readonly Shot[]): number {
  const ms = (shots.at(-1)?.received ?? 0) - (shots[0]?.sent ?? 0);
  return Math.round((1_000 * shots.length) / ms);
}
