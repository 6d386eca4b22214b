import { beside, metric, onlyPortcullis } from '../beside.mjs';
import { meter } from '../meter.mjs';
import { openapi } from '../orders.mjs';
import { firstLine, freePort, installed, start } from '../processes.mjs';
import { median, round } from '../report.mjs';

export const name = 'get-strict';
export const about =
  'GET of get-mtls at 64 connections that one limit by address counts: strict, in a Redis of the same machine, beside local (to reach: 1.15)';

// The most that is shared, a second: never reached.
const AMOUNT = 1_000_000;

export function absent(place, rivals) {
  return onlyPortcullis(place, rivals) ?? (installed('redis-server', '--version') ? null : 'redis-server is missing');
}

export function programs() {
  return [{ name: 'redis-server', version: () => firstLine('redis-server', '--version') }];
}

export async function run(place) {
  const port = await freePort();
  // On the core of origin and load generator; nothing is written to disk.
  const redis = start('load', 'redis-server', [
    ...['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', place.folder],
  ]);
  const limits = mode => ({
    // A second: on a busy machine an answer is late that the measurement should hold.
    shared: { url: `redis://127.0.0.1:${port}/0`, timeout: '1s' },
    rules: [{ name: 'address', characteristics: ['ip.src'], requestsPerPeriod: AMOUNT, period: '1s', mode }],
  });
  const counters = [];
  let shared = 0;
  const rows = await beside(
    { ...place, load: metered(place.load, redis, counters) },
    name,
    { 'one limit': { path: '/orders/1', connections: 64 } },
    {
      description: openapi(),
      sides: ['local', 'strict'],
      options: {
        local: { config: { limits: limits('local') } },
        strict: { config: { limits: limits('strict') } },
      },
      proof: async (...of) => {
        shared = await proof(...of);
      },
    },
  );
  await redis.stop();
  // They take turns: the second of each two is strict.
  const strict = counters.filter((_, turn) => turn % 2 === 1);
  return rows.map((row, index) => (index === 0 ? row : { ...row, redis_cpu_us: median(strict), asks_a_call: shared }));
}

/** The same load, and what Redis took for it: none of it is the gateway's. */
function metered(load, redis, counters) {
  const run = async (...args) => {
    const end = meter(redis.pid);
    const seen = await load.run(...args);
    counters.push(round(end().cpu / seen.requests, 2));
    return seen;
  };
  return { ...load, name: load.name, run };
}

/** Each request asked, and none fell back; answers how many went in one call. */
async function proof({ strict }, samples) {
  const requests = [...samples.get(strict.name).values()].flat().reduce((sum, { requests }) => sum + requests, 0);
  const asks = await metric(strict, 'portcullis_limits_shared_asks_total');
  const fallbacks = await metric(strict, 'portcullis_limits_fallback_total');
  if (asks < requests) throw new Error(`${asks} of ${requests} requests asked the fleet's counters`);
  if (fallbacks > 0) throw new Error(`${fallbacks} requests fell back: they were not counted by the fleet`);
  return round(asks / (await metric(strict, 'portcullis_limits_shared_calls_total', 'result="answered"')), 1);
}
