// Exactness on the wire: below a limit nobody is refused, and above it nobody gets more than the policy says in any span,
// over many connections and both edge threads.
//
//     LIMITS_LONG=1 npx vitest run test/e2e/limits-exact.test.ts      100,000 requests, then 100 s; keeps what it saw

import { beforeAll, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { mostWithin, worstSpan } from '../support/spans.js';
import { quickOrigin, type Shot, steady } from '../support/steady.js';
import { keepTally, LONG } from '../support/tally.js';

/** The kernel spreads them over both edge threads. */
const CONNECTIONS = 16;
/** Most that the client sends at once after a pause. */
const AT_ONCE = 8;
/**
 * Between sending and being decided a request may wait, so that more come at once than were sent at once: never more than
 * there are connections. With this burst a client below the rate keeps to the policy whatever the machine does.
 */
const BURST = CONNECTIONS + AT_ONCE;

/** Requests a second. */
const RATE = 2_000;
const BELOW = LONG ? 100_000 : 10_000;
/** A window counts its oldest eighth whole: at a steady rate nine eighths of a period have to fit. */
const WHOLE = { bucket: 1, window: 8 / 9 };
const ABOVE = { rate: 300, seconds: LONG ? 100 : 5, timeoutMs: LONG ? 400_000 : 60_000 };
/** What the policy allows and the client may see beyond it. */
const TOLERANCE = 1.02;

let front: Front;

beforeAll(async () => {
  const origin = await quickOrigin();
  const rule = (name: string, settings: object) => ({
    ...{ name, expression: `http.request.uri.path eq "/${name}"`, characteristics: ['ip.src'], period: '1s' },
    ...settings,
  });
  front = await startFront(
    { 'api.test': { origin: origin.url, mtls: { mode: 'off' } } },
    {
      config: {
        events: { destination: 'stdout', sampleRate: 0 },
        limits: {
          rules: [
            rule('bucket', { requestsPerPeriod: RATE, burst: BURST }),
            rule('window', { algorithm: 'slidingWindow', requestsPerPeriod: RATE }),
            rule('bucket-exceeded', { requestsPerPeriod: ABOVE.rate, burst: BURST }),
            rule('window-exceeded', { algorithm: 'slidingWindow', requestsPerPeriod: ABOVE.rate }),
          ],
        },
      },
    },
  );
});

test.each(['bucket', 'window'] as const)(
  'at 90 % of a %s nobody is refused',
  async name => {
    const shots = await asked(name, { perSecond: 0.9 * WHOLE[name] * RATE, count: BELOW });
    const refused = shots.filter(({ status }) => status !== 204);
    const perSecond = Math.round((1_000 * shots.length) / lengthOf(shots));
    const seen = { asked: shots.length, perSecond, limit: RATE, refused: refused.length };
    await keepTally('limits-exact', `90 % of a ${name}`, seen);
    expect(refused).toEqual([]);
  },
  ABOVE.timeoutMs,
);

test(
  'at 300 % of a bucket no span holds more than burst and rate allow, and the rate itself is given',
  async () => {
    const shots = await above('bucket-exceeded');
    const admitted = admittedOf(shots);
    const perMs = ABOVE.rate / 1_000;
    const worst = worstSpan(admitted, TOLERANCE * perMs, TOLERANCE * BURST);
    const exact = worstSpan(admitted, perMs, BURST);
    const least = perMs * lengthOf(shots) + BURST;
    await keepTally('limits-exact', '300 % of a bucket', {
      ...{ asked: shots.length, admitted: admitted.length, policy: Math.floor(least) },
      worst: { over: exact.over, admitted: exact.admitted, ms: exact.to - exact.from },
    });
    expect(worst.over, JSON.stringify(worst)).toBeLessThanOrEqual(0);
    expect(admitted.length).toBeGreaterThan(0.98 * least);
  },
  ABOVE.timeoutMs,
);

test(
  'at 300 % of a window no period holds more than it allows',
  async () => {
    const shots = await above('window-exceeded');
    const admitted = admittedOf(shots);
    const most = mostWithin(admitted, 1_000);
    await keepTally('limits-exact', '300 % of a window', {
      ...{ asked: shots.length, admitted: admitted.length, mostInAPeriod: most, amount: ABOVE.rate },
    });
    expect(most).toBeLessThanOrEqual(ABOVE.rate);
    expect(admitted.length).toBeGreaterThan(0.95 * WHOLE.window * (ABOVE.rate / 1_000) * lengthOf(shots));
  },
  ABOVE.timeoutMs,
);

function above(name: string): Promise<Shot[]> {
  return asked(name, { perSecond: 3 * ABOVE.rate, count: 3 * ABOVE.rate * ABOVE.seconds });
}

async function asked(name: string, how: { perSecond: number; count: number }): Promise<Shot[]> {
  const callers = Array.from({ length: CONNECTIONS }, () => front.caller('api.test', null));
  const request = () => `GET /${name} HTTP/1.1\r\nHost: api.test\r\n\r\n`;
  const shots = await (await steady(callers, { ...how, request, atOnce: AT_ONCE })).done();
  expect(shots.filter(({ status }) => status !== 204 && status !== 429)).toEqual([]);
  return shots;
}

function admittedOf(shots: readonly Shot[]): Shot[] {
  return shots.filter(({ status }) => status === 204);
}

function lengthOf(shots: readonly Shot[]): number {
  return (shots.at(-1)?.received ?? 0) - (shots[0]?.sent ?? 0);
}
