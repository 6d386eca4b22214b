// What a simulation calls certain is so, against the limit run over every single request.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Draft, Simulation } from '../../src/manage/limits/simulate.js';
import { BUCKET_MS } from '../../src/manage/limits/volume.js';
import { type Recorded, type Request, recordedOf, replayed, sessionHash } from '../support/volumes.js';

const START = 1_763_797_200_000;

/** Sessions with a habit each: so many requests at once, so far apart, from some moment on. */
const habit = fc.record({
  session: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  node: fc.constantFrom('one', 'two'),
  from: fc.integer({ min: 0, max: 4 * BUCKET_MS }),
  everyMs: fc.oneof(
    fc.integer({ min: 1, max: 2_000 }),
    fc.integer({ min: 2_000, max: 120_000 }),
    fc.constantFrom(1_000, 10_000, 60_000, 600_000),
  ),
  times: fc.integer({ min: 1, max: 60 }),
  atOnce: fc.integer({ min: 1, max: 5 }),
});
const traffic = fc.array(habit, { minLength: 1, maxLength: 12 }).map(habits =>
  habits.flatMap(({ session, node, from, everyMs, times, atOnce }) =>
    Array.from({ length: times * atOnce }, (_, i): Request => {
      return { session, node, at: START + from + Math.floor(i / atOnce) * everyMs };
    }),
  ),
);
const drafts: fc.Arbitrary<Draft> = fc
  .record({
    amount: fc.integer({ min: 1, max: 200 }),
    periodS: fc.constantFrom(1, 7, 10, 60, 600, 3_600, 86_400),
    share: fc.double({ min: 0.01, max: 1, noNaN: true }),
    counters: fc.constantFrom('local' as const, 'fleet' as const),
  })
  .map(({ share, ...draft }) => ({ ...draft, burst: Math.max(1, Math.ceil(share * draft.amount)) }));

function simulated(buckets: readonly Recorded[], draft: Draft, most = 1_000) {
  const simulation = new Simulation(draft);
  for (const { at, nodes } of buckets) simulation.add({ host: 'api.test', operation: 'x', at, nodes });
  return simulation.result(most);
}

describe('against a replay of the requests', () => {
  test('whoever is hit for certain was refused that often and that early, and who is spared never was', () => {
    const seen = { certain: 0, possible: 0, spared: 0 };
    fc.assert(
      fc.property(traffic, drafts, fc.constantFrom(1, 2, 200), (requests, draft, most) => {
        const buckets = recordedOf(requests, most);
        const found = simulated(buckets, draft);
        const refused = replayed(requests, draft);
        const named = new Set(found.hits.map(({ session }) => session));
        const listed = new Set(
          buckets.flatMap(({ nodes }) => nodes.flatMap(one => one.heaviest.map(([name]) => name))),
        );
        for (const [name, times] of refused) {
          const session = sessionHash(name);
          const hit = found.hits.find(one => one.session === session);
          if (!listed.has(session)) {
            if (found.others.verdict === 'spared') expect(times).toEqual([]);
            continue;
          }
          if (!named.has(session)) {
            seen.spared += 1;
            expect(times).toEqual([]);
          } else if (hit?.verdict === 'certain') {
            seen.certain += 1;
            expect(times.length).toBeGreaterThanOrEqual(hit.refused);
            expect(hit.refused).toBeGreaterThan(0);
            expect(times[0]).toBeLessThan((hit.first ?? 0) + BUCKET_MS);
          } else seen.possible += 1;
        }
        const all = [...refused.values()].reduce((sum, times) => sum + times.length, 0);
        expect(found.refused).toBeLessThanOrEqual(all);
        if (found.others.certain > 0) expect(all).toBeGreaterThan(0);
        expect(found.requests).toBe(requests.length);
      }),
      { numRuns: 2_000 },
    );
    // It says something about most.
    expect(seen.certain).toBeGreaterThan(500);
    expect(seen.spared).toBeGreaterThan(1_000);
    expect(seen.possible).toBeLessThan(seen.certain + seen.spared);
  });
});

describe('a simulation', () => {
  const steady = (session: string, count: number, everyMs: number, node = 'one', from = 0): Request[] =>
    Array.from({ length: count }, (_, i) => ({ session, node, at: START + from + i * everyMs }));
  const draft: Draft = { amount: 60, periodS: 60, burst: 10, counters: 'fleet' };

  test('tells who goes on above the limit, how often at least, and when first', () => {
    const requests = [...steady('greedy', 1_800, 1_000 / 3 - 1, 'one', BUCKET_MS), ...steady('modest', 100, 6_000)];
    const found = simulated(recordedOf(requests, 200), draft);
    expect(found.sessions).toEqual({ certain: 1, possible: 0, spared: 1 });
    const [hit] = found.hits;
    expect(hit).toMatchObject({ session: sessionHash('greedy'), verdict: 'certain', first: START + BUCKET_MS });
    expect(hit?.refused).toBe(1_800 - 600 - 10);
    expect([found.from, found.until]).toEqual([START, START + 2 * BUCKET_MS]);
  });

  test('finds a burst within a second that the ten minutes do not show', () => {
    const requests = [...steady('burst', 30, 1), ...steady('burst', 10, 30_000, 'one', 10_000)];
    const found = simulated(recordedOf(requests, 200), draft);
    expect(found.hits).toMatchObject([{ verdict: 'certain', refused: 30 - 10 - 1 }]);
  });

  test('adds up what a day allows over many buckets', () => {
    const daily: Draft = { amount: 1_000, periodS: 86_400, burst: 100, counters: 'fleet' };
    const found = simulated(recordedOf(steady('all day', 1_440, 60_000), 200), daily);
    expect(found.hits).toMatchObject([{ verdict: 'certain' }]);
    expect(found.hits[0]?.refused).toBeGreaterThan(300);
  });

  test('counts a session of two processes once in a fleet, and apart where each counts by itself', () => {
    const half = (node: string) => steady('both', 450, 1_333, node);
    const buckets = recordedOf([...half('one'), ...half('two')], 200);
    const shared = simulated(buckets, { ...draft, amount: 60, burst: 60 });
    expect(shared.hits).toMatchObject([{ verdict: 'certain', requests: 900, refused: 900 - 600 - 60 }]);
    const local = simulated(buckets, { ...draft, amount: 60, burst: 60, counters: 'local' });
    expect(local.sessions).toEqual({ certain: 0, possible: 0, spared: 1 });
  });

  test('spares nobody that it has not seen all of', () => {
    const buckets = recordedOf(
      [
        ...steady('heavy', 500, 1_000),
        ...steady('known', 20, 30_000),
        ...steady('known', 20, 30_000, 'one', BUCKET_MS),
      ],
      200,
    );
    const half = buckets.map(({ at, nodes }) => ({
      at,
      nodes: nodes.map(node => ({ ...node, share: 0.5, heaviest: at === START ? [] : node.heaviest, histogram: [] })),
    }));
    expect(simulated(buckets, draft).sessions.spared).toBe(2);
    expect(simulated(half, draft).sessions).toEqual({ certain: 0, possible: 1, spared: 0 });
    expect(simulated(half, draft).share).toBe(0.5);
  });

  test('of no volume says so', () => {
    expect(simulated([], draft)).toMatchObject({ from: null, buckets: 0, hits: [], others: { verdict: 'spared' } });
  });
});
