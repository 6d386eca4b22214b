// Three gateways and one server of counters: what the fleet admits, while a gateway is killed, the server stands still for
// three seconds, begins anew without memory, and lets nobody in. `strict` never goes above the policy, `fast` stays within
// its formula, and no request waits longer than it may.
//
//     LIMITS_LONG=1 npx vitest run test/e2e/limits-fleet.test.ts      50 runs, a quarter of an hour; keeps the tally

import { expect, test } from 'vitest';
import { FAULTS, Fleet, type Load, type Recovered } from '../support/fleet.js';
import { mostWithin, type Worst, worstSpan } from '../support/spans.js';
import { quickOrigin, type Shot } from '../support/steady.js';
import { keepTally, LONG } from '../support/tally.js';
import { needsServer, Server } from '../support/valkey.js';
import { pause } from '../support/waiting.js';

const GATEWAYS = 3;
const RUNS = LONG ? 50 : 2;
const RUN_MS = 60_000;
/** Each gateway is asked over so many connections for each limit: both its edge threads. */
const CONNECTIONS = 3;

/** Requests a second, of the whole fleet; three times as many come. */
const RATE = 60;
const BURST = 12;
const ADVANCE = 4;
const WINDOW = { amount: 60, ms: 1_000 };
/** How long a request may wait for the counters. */
const TIMEOUT_MS = 50;
/** What a busy machine itself may take, seen where no limit is; the server stands still for three times as long. */
const MACHINE_MS = 1_000;

const bucket = { requestsPerPeriod: RATE, period: '1s', burst: BURST };
const RULES = {
  '/strict': { ...bucket, mode: 'strict', fallback: 'closed' },
  '/window': {
    ...{ algorithm: 'slidingWindow', requestsPerPeriod: WINDOW.amount, period: '1s' },
    ...{ mode: 'strict', fallback: 'closed' },
  },
  '/strict-local': { ...bucket, mode: 'strict', fallback: 'local' },
  '/fast': { ...bucket, mode: 'fast', fallback: 'closed', advance: ADVANCE },
  '/fast-local': { ...bucket, mode: 'fast', fallback: 'local', advance: ADVANCE },
};
/** A gateway that was killed and came back is one more. */
const NODES = GATEWAYS + 1;
/** What the leases of `fast` add to the policy (docs/limits.md): those that were granted before, and the advances. */
const LEASES = (RATE * 500) / 1_000 + NODES * ADVANCE;
/** What nodes admit by themselves while the server cannot be asked. */
const SHARE = { rate: RATE / GATEWAYS, burst: BURST / GATEWAYS };
/** Most that is admitted in any span, by the formulas of docs/limits.md: rate a second, and at once. */
const BOUNDS: Record<string, { rate: number; burst: number }> = {
  '/strict': { rate: RATE, burst: BURST },
  '/fast': { rate: RATE, burst: BURST + LEASES },
  '/strict-local': { rate: RATE + NODES * SHARE.rate, burst: BURST + NODES * SHARE.burst },
  '/fast-local': { rate: RATE + NODES * SHARE.rate, burst: BURST + LEASES + NODES * SHARE.burst },
};
/** Without a limit: how long anything takes at the same time. */
const PLAIN = '/plain';

interface Run {
  recovered: Recovered[];
  /** In the worst span, beyond the policy, and beyond the bound. */
  over: Record<string, Worst>;
  beyond: Record<string, Worst>;
  mostInWindow: number;
  admitted: Record<string, number>;
  asked: Record<string, number>;
  slowestMs: Record<string, number>;
}

needsServer()('a fleet', () => {
  test(
    `holds to its limits in ${RUNS} runs of everything that can happen to it`,
    async () => {
      const origin = await quickOrigin();
      const counters = await Server.start();
      const rules = Object.entries(RULES).map(([path, rule]) => ({
        ...{ name: path.slice(1), expression: `http.request.uri.path eq "${path}"`, ...rule },
      }));
      const shared = { url: `redis://127.0.0.1:${counters.port}`, timeout: `${TIMEOUT_MS}ms` };
      const fleet = await Fleet.start(GATEWAYS, counters, origin.url, { shared, rules });
      await fleet.up();
      const runs: Run[] = [];
      for (let number = 0; number < RUNS; number++) {
        runs.push(await suffered(fleet, number));
        await kept(runs);
      }
      for (const [number, run] of runs.entries()) held(run, number);
      for (const result of ['answered', 'failed', 'late']) {
        expect(await fleet.count('portcullis_limits_shared_calls_total', `result="${result}"`)).toBeGreaterThan(0);
      }
      expect(await fleet.count('portcullis_limits_memory_lost_total')).toBeGreaterThan(0);
      for (const name of ['strict', 'strict-local', 'fast', 'fast-local']) {
        expect(await fleet.count('portcullis_limits_fallback_total', `limit="${name}"`)).toBeGreaterThan(0);
      }
    },
    30_000 + RUNS * RUN_MS,
  );
});

/** Every fault once, in an order of its own. */
async function suffered(fleet: Fleet, number: number): Promise<Run> {
  const rates = [...Object.keys(RULES), PLAIN].map(path => [path, 3 * RATE] as const);
  const load = await fleet.load(Object.fromEntries(rates), CONNECTIONS);
  await pause(1_000);
  const recovered: Recovered[] = [];
  for (const fault of turned(FAULTS, number)) recovered.push(await fleet.suffer(fault, number));
  await load.stop();
  return { recovered, ...judged(load) };
}

function judged({ shots }: Load): Omit<Run, 'recovered'> {
  const of = <T>(paths: readonly string[], judge: (shots: readonly Shot[], path: string) => T) =>
    Object.fromEntries(paths.map(path => [path, judge(shots.get(path) ?? [], path)]));
  const admitted = (all: readonly Shot[]) => all.filter(({ status }) => status === 204);
  // Those that were lost with a gateway got no answer at all.
  const answered = (all: readonly Shot[]) => all.filter(({ status }) => status !== 0);
  const paths = [...shots.keys()];
  return {
    over: of(Object.keys(BOUNDS), all => worstSpan(admitted(all), RATE / 1_000, BURST)),
    beyond: of(Object.keys(BOUNDS), (all, path) => {
      const { rate, burst } = BOUNDS[path] as { rate: number; burst: number };
      return worstSpan(admitted(all), rate / 1_000, burst);
    }),
    mostInWindow: mostWithin(admitted(shots.get('/window') ?? []), WINDOW.ms),
    admitted: of(paths, all => admitted(all).length),
    asked: of(paths, all => all.length),
    slowestMs: of(paths, all => Math.ceil(Math.max(...answered(all).map(({ sent, received }) => received - sent)))),
  };
}

function held(run: Run, number: number): void {
  const { beyond, mostInWindow, admitted, slowestMs } = run;
  const told = `run ${number}: ${JSON.stringify(run, null, 1)}`;
  for (const path of Object.keys(BOUNDS)) expect(beyond[path]?.over, told).toBeLessThanOrEqual(0);
  expect(mostInWindow, told).toBeLessThanOrEqual(WINDOW.amount);
  for (const path of Object.keys(RULES)) {
    expect(admitted[path], told).toBeGreaterThan(RATE);
    expect(slowestMs[path], told).toBeLessThanOrEqual(TIMEOUT_MS + MACHINE_MS + (slowestMs[PLAIN] as number));
  }
}

function turned<T>(all: readonly T[], by: number): T[] {
  return all.map((_, i) => all[(i + by) % all.length] as T);
}

/** The worst of all runs. */
async function kept(runs: readonly Run[]): Promise<void> {
  const worst = <T>(of: (run: Run) => Record<string, T>, value: (each: T) => number) =>
    Object.fromEntries(
      Object.keys(of(runs[0] as Run)).map(path => [path, Math.max(...runs.map(run => value(of(run)[path] as T)))]),
    );
  const recoveries = runs.flatMap(({ recovered }) => recovered);
  await keepTally('limits-fleet', 'three gateways', {
    ...{
      runs: runs.length,
      policy: { rate: RATE, burst: BURST, advance: ADVANCE, window: WINDOW.amount, timeoutMs: TIMEOUT_MS },
    },
    worstOver: worst(
      ({ over }) => over,
      ({ over }) => Number(over.toFixed(3)),
    ),
    mostInWindow: Math.max(...runs.map(run => run.mostInWindow)),
    slowestMs: worst(
      ({ slowestMs }) => slowestMs,
      each => each,
    ),
    asked: runs.flatMap(({ asked }) => Object.values(asked)).reduce((sum, each) => sum + each, 0),
    admitted: runs.flatMap(({ admitted }) => Object.values(admitted)).reduce((sum, each) => sum + each, 0),
    recoveredMs: Object.fromEntries(
      FAULTS.map(fault => [fault, Math.max(...recoveries.filter(one => one.fault === fault).map(({ ms }) => ms))]),
    ),
    each: runs.map(run => ({
      ...{ recovered: run.recovered, slowestMs: run.slowestMs, mostInWindow: run.mostInWindow },
      over: Object.fromEntries(Object.entries(run.over).map(([path, { over }]) => [path, Number(over.toFixed(3))])),
    })),
  });
}
