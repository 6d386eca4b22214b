// The functions that a fleet's counters run on the server, against a plain model, on a clock that the test moves; then
// what only the server's own clock, its memory and its death show.

import fc from 'fast-check';
import { Redis } from 'iovalkey';
import { beforeAll, expect, test } from 'vitest';
import { LIBRARY, NODE, RECORDS } from '../../src/check/limits/functions.js';
import { atTheEnd } from '../support/cleanup.js';
import { type Counter, GcraModel, type Policy, WindowModel } from '../support/fleet-model.js';
import { describeServers, Server } from '../support/valkey.js';
import { pause } from '../support/waiting.js';

/** As if the server were asked a year or two after the epoch of the functions. */
const START_US = 40_000_000_000_000;
const BORN = 'p{0}:born';
/** What double fractions of a microsecond may be off, and no decision may depend on. */
const NEAR_US = 0.01;
const DAY_MS = 86_400_000;
/** Longer than any state here says something. */
const LIFE_MS = 1e12;

interface Words {
  kind: number;
  t?: number;
  tolerance?: number;
  c?: number;
  d?: number;
  ttlMs?: number;
  a?: number;
  b?: number;
}

interface Reply {
  now: number;
  born: number;
  records: [number, number, number][];
}

class Functions {
  readonly client: Redis;

  constructor(
    readonly server: Server,
    readonly name = RECORDS,
  ) {
    this.client = new Redis({ port: server.port, enableReadyCheck: false, retryStrategy: () => 50 });
    this.client.on('error', () => {});
    atTheEnd(() => this.client.disconnect());
  }

  load(library = LIBRARY): Promise<unknown> {
    return this.client.call('FUNCTION', 'LOAD', 'REPLACE', library);
  }

  async call(records: [key: string, words: Words][], known = 0): Promise<Reply> {
    const body = Buffer.concat([doubles(known), ...records.map(([, words]) => record(words))]);
    const keys = [BORN, ...records.map(([key]) => `p{0}:${key}`)];
    const reply = (await this.client.callBuffer('FCALL', this.name, keys.length, ...keys, body)) as Buffer;
    const words = Array.from({ length: reply.length / 8 }, (_, place) => reply.readDoubleLE(place * 8));
    const [now = 0, born = 0, ...rest] = words;
    expect(rest.length).toBe(records.length * 3);
    return { now, born, records: records.map((_, i) => rest.slice(i * 3, i * 3 + 3) as [number, number, number]) };
  }
}

function doubles(...words: number[]): Buffer {
  const buffer = Buffer.alloc(words.length * 8);
  for (const [place, word] of words.entries()) buffer.writeDoubleLE(word, place * 8);
  return buffer;
}

function record({ kind, t = 1, tolerance = 0, c = 0, d = 0, ttlMs = LIFE_MS, a = 0, b = 0 }: Words): Buffer {
  return doubles(kind, t, tolerance, c, d, ttlMs, a, b);
}

/** The functions by a clock that is a key of the server, and with states that the server's own clock ends never. */
function onVirtualClock(): string {
  const text = LIBRARY.replaceAll(/portcullis_(records_|node_)?[0-9a-f]{12}/g, (_, name = '') => `virtual_${name}`)
    .replace("redis.call('TIME')", "{ redis.call('GET', 'clock_s'), redis.call('GET', 'clock_us') }")
    .replace("'PX', math.ceil(us / 1000)", `'PX', ${DAY_MS}`);
  expect(text).toContain("'clock_us'");
  expect(text).toContain(`'PX', ${DAY_MS}`);
  return text;
}

// --- random sequences -------------------------------------------------------------------------------------------------

const policies: fc.Arbitrary<Policy & { window: boolean }> = fc
  .record({
    amount: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 100_000 })),
    periodUs: fc.constantFrom(1, 7, 10, 60, 3_600).map(seconds => seconds * 1_000_000),
    burst: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 100_000 })),
    window: fc.boolean(),
  })
  .map(policy => (policy.window ? { ...policy, burst: policy.amount } : policy));

type What = 'take' | 'peek' | 'spend' | 'giveBack' | 'settle' | 'reset';

interface Step {
  what: What;
  key: number;
  /** Of the amount or the burst. */
  share: number;
  cost: number;
  delay: number;
  penalty: number;
  want: number;
  /** Which of those taken before is given back. */
  which: number;
}

const steps: fc.Arbitrary<Step> = fc.record({
  what: fc.constantFrom<What>('take', 'take', 'take', 'take', 'peek', 'spend', 'giveBack', 'settle', 'reset'),
  key: fc.integer({ min: 0, max: 1 }),
  share: fc.constantFrom(0, 0, 0, 0.1, 0.5, 1, 1.1),
  cost: fc.integer({ min: 1, max: 3 }),
  delay: fc.constantFrom(0, 0, 0, 0.2, 1.5),
  penalty: fc.constantFrom(0, 0, 0, 0, 0.5, 3),
  want: fc.constantFrom(0, 0.2, 1, 5),
  which: fc.nat(),
});

/** Of the period, between two calls: none, some, or enough to forget. */
const gaps = fc.oneof(
  fc.constant(0),
  fc.double({ min: 0, max: 0.02, noNaN: true }),
  fc.double({ min: 0, max: 0.3, noNaN: true }),
  fc.double({ min: 0, max: 3, noNaN: true }),
);

const calls = fc.array(fc.record({ gap: gaps, steps: fc.array(steps, { minLength: 1, maxLength: 4 }) }), {
  minLength: 1,
  maxLength: 40,
  size: 'max',
});

interface Taken {
  key: number;
  cost: number;
  at: number;
}

describeServers('functions of the counters', program => {
  let virtual: Functions;
  let real: Functions;

  beforeAll(async () => {
    const server = await Server.start({ program });
    virtual = new Functions(server, 'virtual_records_');
    await virtual.load(onVirtualClock());
    real = new Functions(server);
    await real.load();
  });

  async function at(now: number): Promise<void> {
    const seconds = Math.floor(now / 1e6);
    await virtual.client.mset('clock_s', seconds + 1_767_225_600, 'clock_us', now - seconds * 1e6);
  }

  test('answer as the model does, whatever is asked', { timeout: 300_000 }, async () => {
    const runs = fc.asyncProperty(policies, calls, async (policy, calls) => {
      await virtual.client.flushall();
      const models: Counter[] = [0, 1].map(() => (policy.window ? new WindowModel(policy) : new GcraModel(policy)));
      const taken: Taken[] = [];
      let now = START_US;
      for (const { gap, steps } of calls) {
        now += Math.floor(gap * policy.periodUs);
        await at(now);
        const asked = steps.map(step => write(step, policy, models[step.key] as Counter, taken, now));
        const reply = await virtual.call(asked.map(({ key, words }) => [`k${key}`, words]));
        expect(reply.now).toBe(now);
        for (const [place, { expected }] of asked.entries()) near(reply.records[place], expected);
      }
    });
    await fc.assert(runs, { numRuns: 250 });
  });

  test('admit no more than the policy in any span, and as much as it allows', { timeout: 300_000 }, async () => {
    const tries = fc.array(fc.record({ gap: gaps, cost: fc.integer({ min: 1, max: 3 }) }), {
      maxLength: 120,
      size: 'max',
    });
    const runs = fc.asyncProperty(policies, tries, async (policy, tries) => {
      await virtual.client.flushall();
      const admitted: { now: number; cost: number }[] = [];
      let now = START_US;
      for (const { gap, cost } of tries) {
        now += Math.floor(gap * policy.periodUs);
        await at(now);
        const { records } = await virtual.call([['k', { ...wordsOf(policy), kind: policy.window ? 2 : 1, c: cost }]]);
        const fits = fitsPolicy(policy, [...admitted, { now, cost }]);
        if (records[0]?.[0] === 0) admitted.push({ now, cost });
        // A window counts its oldest eighth whole: it may refuse what would fit by the microsecond.
        if (policy.window) expect(records[0]?.[0] === 0 && !fits).toBe(false);
        else expect(records[0]?.[0] === 0).toBe(fits);
      }
    });
    await fc.assert(runs, { numRuns: 100 });
  });

  test('a server whose clock went back refuses no longer than a state may live', async () => {
    const words = { t: 1_000_000, tolerance: 5_000_000, c: 5, ttlMs: 60_000 };
    await virtual.client.flushall();
    await at(START_US + 3_600_000_000);
    await virtual.call([
      ['gcra', { ...words, kind: 1 }],
      ['window', { ...words, kind: 2, tolerance: 5 }],
      ['penalty', { ...words, kind: 1, c: 6, d: 30_000_000 }],
    ]);
    await at(START_US);
    const { records } = await virtual.call([
      ['gcra', { ...words, kind: 3, c: 1 }],
      ['window', { ...words, kind: 4, c: 1, tolerance: 5 }],
      ['penalty', { ...words, kind: 3, c: 1 }],
    ]);
    expect(records.map(([verdict]) => verdict)).toEqual([56_000_000, 9_000_000, -60_000_000]);
  });

  test('a limit whose period changes goes on with what was counted', async () => {
    await virtual.client.flushall();
    await at(START_US);
    await virtual.call([['k', { kind: 2, t: 1_000_000, tolerance: 5, c: 4 }]]);
    await at(START_US + 500_000);
    const { records } = await virtual.call([['k', { kind: 2, t: 250_000, tolerance: 5, c: 1 }]]);
    expect(records).toEqual([[0, 0, 2_250_000]]);
  });

  function write(step: Step, policy: Policy & { window: boolean }, model: Counter, taken: Taken[], now: number) {
    const { what, key } = step;
    const units = policy.window ? policy.amount : policy.burst;
    const cost = step.cost + Math.floor(step.share * units);
    const delay = Math.floor(step.delay * policy.periodUs);
    const penalty = Math.floor(step.penalty * policy.periodUs);
    const words = { ...wordsOf(policy), c: cost, d: penalty, a: delay };
    const kind = (gcra: number) => gcra + (policy.window ? 1 : 0);
    if (what === 'take') {
      const expected = model.take(now, cost, delay, penalty);
      if (expected.verdict >= 0 && expected.verdict <= delay) {
        // What is admitted at once counts in the newest eighth; what is delayed, when its turn comes.
        taken.push({ key, cost, at: now + Math.floor(expected.verdict) });
      }
      return { key, words: { ...words, kind: kind(1) }, expected };
    }
    if (what === 'peek') {
      return { key, words: { ...words, kind: kind(3) }, expected: model.peek(now, cost, delay, penalty) };
    }
    if (what === 'spend') {
      return { key, words: { ...words, kind: kind(5), a: 0 }, expected: model.spend(now, cost, penalty) };
    }
    if (what === 'settle') {
      const spent = step.share === 0 ? 0 : cost;
      const want = Math.floor(step.want * units);
      const expected = model.settle(now, spent, want, penalty);
      return { key, words: { ...words, kind: kind(20), c: spent, d: 0, a: want, b: penalty }, expected };
    }
    const own = taken.filter(one => one.key === key);
    const back = own[step.which % Math.max(1, own.length)];
    if (what === 'giveBack' && back) {
      taken.splice(taken.indexOf(back), 1);
      const expected = model.giveBack(now, back.cost, back.at);
      return { key, words: { ...words, kind: kind(7), c: back.cost, d: 0, a: back.at }, expected };
    }
    return { key, words: { kind: 9 }, expected: model.reset() };
  }
});

describeServers('functions of the counters, by the server alone', program => {
  const take = { kind: 1, t: 1_000, tolerance: 100_000, c: 1, ttlMs: 60_000 };

  async function functions(server?: Server): Promise<Functions> {
    const made = new Functions(server ?? (await Server.start({ program })));
    await made.load();
    return made;
  }

  test('times are microseconds since 2026, by the server', async () => {
    const { now, born } = await (await functions()).call([]);
    expect(Math.abs(now / 1_000 + Date.UTC(2026, 0) - Date.now())).toBeLessThan(5_000);
    expect(born).toBe(now);
  });

  test('what says nothing any more is gone by itself', async () => {
    const asked = await functions();
    await asked.call([
      ['short', { ...take, c: 20 }],
      ['long', { ...take, c: 100 }],
      ['window', { kind: 2, t: 2_000, tolerance: 5, c: 1 }],
      ['penalty', { ...take, c: 101, d: 30_000 }],
      // The most that it may live is less than what it says.
      ['bound', { ...take, c: 100, ttlMs: 20 }],
    ]);
    const keys = async () => ((await asked.client.keys('*')) as string[]).map(key => key.slice(5)).sort();
    expect(await keys()).toEqual(['born', 'bound', 'long', 'penalty', 'short', 'window']);
    await pause(60);
    expect(await keys()).toEqual(['born', 'long']);
    await pause(60);
    expect(await keys()).toEqual(['born']);
  });

  test('a server that was started again from its snapshot says that it may have forgotten', async () => {
    const server = await Server.start({ program });
    const asked = await functions(server);
    const take = { kind: 1, t: 1_000_000, tolerance: 100_000_000, ttlMs: 200_000 };
    const first = await asked.call([['k', { ...take, c: 100 }]]);
    await server.ask('SAVE');
    await asked.call([['other', { ...take, c: 100 }]], first.born);
    await server.restart();
    // Functions are in the snapshot, and one counter of two.
    const second = await asked.call([['k', { ...take, c: 1 }]], first.born);
    expect(-second.born).toBe(second.now);
    expect(second.records[0]?.[0]).toBeGreaterThan(0);
    // A node that was not there before is told, too.
    expect((await asked.call([])).born).toBe(second.born);
  });

  test('a server that was emptied says so to who knows that there was something', async () => {
    const asked = await functions();
    const first = await asked.call([['k', take]]);
    await asked.client.flushall();
    const second = await asked.call([]);
    expect(second.born).toBe(second.now);
    const third = await asked.call([], first.born);
    expect(third.born).toBe(-second.born);
    expect((await asked.call([])).born).toBe(third.born);
  });

  test('functions that are loaded anew, or beside others, are no new server', async () => {
    const asked = await functions();
    const { born } = await asked.call([]);
    await asked.load();
    const other = LIBRARY.replaceAll(/[0-9a-f]{12}/g, 'other');
    await asked.client.call('FUNCTION', 'LOAD', other);
    expect((await asked.call([], born)).born).toBe(born);
    expect((await new Functions(asked.server, 'portcullis_records_other').call([], born)).born).toBe(born);
  });

  test('a counter that is reset is gone, and it is told whether it was there', async () => {
    const asked = await functions();
    await asked.call([['k', { ...take, c: 100, d: 30_000_000 }]]);
    await asked.call([['k', { ...take, c: 1, d: 30_000_000 }]]);
    const { records } = await asked.call([
      ['k', { kind: 9 }],
      ['k', { kind: 9 }],
      ['k', { ...take, c: 100 }],
    ]);
    expect(records.slice(0, 2)).toEqual([
      [0, 1, 0],
      [0, 0, 0],
    ]);
    expect(records[2]?.slice(0, 2)).toEqual([0, 0]);
  });

  test('what was taken before the birth is not given back', async () => {
    const asked = await functions();
    const { now } = await asked.call([['k', { ...take, c: 50 }]]);
    await asked.client.flushall();
    await asked.call([['k', { ...take, c: 50 }]]);
    const { records } = await asked.call([['k', { ...take, kind: 7, c: 50, a: now }]]);
    expect(records[0]?.[1]).toBeLessThan(99);
  });

  test('a call that cannot be meant changes nothing', async () => {
    const asked = await functions();
    await asked.call([]);
    const wrong: Words[] = [
      { ...take, kind: 10 },
      { ...take, kind: Number.NaN },
      { ...take, t: 0 },
      { ...take, c: -1 },
      { ...take, c: Number.NaN },
      { ...take, tolerance: Number.POSITIVE_INFINITY },
      { ...take, a: -5 },
    ];
    for (const words of wrong) {
      await expect(
        asked.call([
          ['k', take],
          ['k', words],
        ]),
      ).rejects.toThrow('cannot be meant');
    }
    const short = asked.client.callBuffer('FCALL', RECORDS, 2, BORN, 'p{0}:k', Buffer.alloc(71));
    await expect(short).rejects.toThrow('71 bytes of records for 1 keys');
    expect(await asked.client.dbsize()).toBe(1);
  });

  test('nodes that said nothing for a while do not count', async () => {
    const { client } = await functions();
    const node = (name: string, gone: number) => client.call('FCALL', NODE, 1, 'p{0}:nodes', name, gone);
    expect(await node('one', 150)).toBe(1);
    expect(await node('two', 150)).toBe(2);
    expect(await node('one', 150)).toBe(2);
    await pause(100);
    expect(await node('one', 150)).toBe(2);
    await pause(100);
    expect(await node('one', 150)).toBe(1);
    await pause(300);
    expect(await client.exists('p{0}:nodes')).toBe(0);
  });
});

function wordsOf({ amount, periodUs, burst, window }: Policy & { window: boolean }) {
  const unit = periodUs / amount;
  return window ? { t: periodUs / 8, tolerance: amount } : { t: unit, tolerance: burst * unit };
}

/** In any span: the burst, and what comes back meanwhile; or the amount in any period. */
function fitsPolicy(
  { amount, periodUs, burst, window }: Policy & { window: boolean },
  all: { now: number; cost: number }[],
) {
  const last = all.at(-1)?.now ?? 0;
  let sum = 0;
  return [...all].reverse().every(({ now, cost }) => {
    sum += cost;
    if (window) return last - now >= periodUs || sum <= amount;
    return BigInt(sum - burst) * BigInt(periodUs) <= BigInt(last - now) * BigInt(amount);
  });
}

function near(got: [number, number, number] | undefined, expected: object): void {
  const words = Object.values(expected) as (number | null)[];
  expect(got?.map(Number.isFinite), JSON.stringify({ got, expected })).toEqual([true, true, true]);
  for (const [place, word] of words.entries()) {
    if (word === null) continue;
    expect(Math.abs((got?.[place] ?? Number.NaN) - word), JSON.stringify({ got, expected })).toBeLessThan(
      NEAR_US + Math.abs(word) * 1e-12,
    );
  }
}
