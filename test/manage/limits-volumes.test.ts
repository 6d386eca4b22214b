// The observed volume: from the engine into the store, bounded, and not lost while the store is away.

import fc from 'fast-check';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { LimitMetrics } from '../../src/journal/metrics/limits.js';
import { recorded } from '../../src/manage/limits/recorded.js';
import { BUCKET_MS, type Heavy, pack, type Told, unpack } from '../../src/manage/limits/volume.js';
import { Volumes } from '../../src/manage/limits/volumes.js';
import { forget } from '../../src/manage/store/housekeeping.js';
import type { Store } from '../../src/manage/store/open.js';
import { atTheEnd } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { describeStores } from '../support/stores.js';
import { type Request, sessionHash, told } from '../support/volumes.js';

const START = 1_763_797_200_000;
const DAY_MS = 86_400_000;

function recording(store: Store, buckets: unknown[], node = 'here/1') {
  const registry = new Registry();
  const clock = new FakeClock();
  const native = {
    volumes: (until: number) => {
      const ended = buckets.filter(
        one => !((one as Told | null)?.bucket ?? 0) || (one as Told).bucket + BUCKET_MS <= until,
      );
      for (const one of ended) buckets.splice(buckets.indexOf(one), 1);
      return JSON.stringify(ended);
    },
  };
  const log = pino({ level: 'silent' });
  const volumes = new Volumes({ store, native, log, clock, node, metrics: new LimitMetrics(registry) });
  volumes.start();
  atTheEnd(() => volumes.stop());
  return { volumes, clock, metrics: () => registry.metrics() };
}

const requests = (count: number, session = 'a', at = START): Request[] =>
  Array.from({ length: count }, (_, i) => ({ at: at + i, session, node: 'x' }));

async function all(store: Store) {
  const buckets = [];
  for await (const bucket of recorded(store.db, {})) buckets.push(bucket);
  return buckets;
}

describeStores('volume', newPlace => {
  test('is written once it has ended, and reads back as the engine told it', async () => {
    const store = await (await newPlace()).open();
    const now = Date.now();
    const open = now - (now % BUCKET_MS);
    const buckets = [
      ...told([...requests(30, 'a'), ...requests(3, 'b')]),
      ...told(requests(2), 'login', { anonymous: 2, statuses: { '401': 2 } }),
      ...told(requests(1, 'a', open)),
    ];
    const { volumes, metrics } = recording(store, buckets);
    await volumes.look();
    const [orders, login, ...rest] = await all(store);
    // `listOrders` comes before `login` in every collation.
    expect(orders).toMatchObject({ host: 'api.test', operation: 'listOrders', at: START });
    expect(orders?.nodes).toEqual([
      {
        ...{
          node: 'here/1',
          requests: 33,
          anonymous: 0,
          sessions: 2,
          share: 1,
          statuses: { '200': 33 },
          methods: { GET: 33 },
        },
        histogram: [
          [3, 3, 1],
          [30, 31, 1],
        ],
        heaviest: [
          [sessionHash('a'), 30, 30, 30, 30],
          [sessionHash('b'), 3, 3, 3, 3],
        ],
      },
    ]);
    expect(login?.nodes).toMatchObject([{ anonymous: 2, statuses: { '401': 2 } }]);
    expect(rest).toEqual([]);
    // Nobody tells of it later.
    await volumes.stop();
    expect(await all(store)).toHaveLength(3);
    expect(await metrics()).toContain('portcullis_limits_volumes_recorded_total 3');
  });

  test('of several processes stands beside each other', async () => {
    const store = await (await newPlace()).open();
    for (const node of ['a/1', 'b/1', 'a/2']) await recording(store, told(requests(5)), node).volumes.look();
    const [bucket, ...others] = await all(store);
    expect(bucket?.nodes.map(({ node }) => node)).toEqual(['a/1', 'a/2', 'b/1']);
    expect(others).toEqual([]);
  });

  test('waits while the store is away, in order and within a bound, and tells what was given up', async () => {
    const store = await (await newPlace()).open();
    await store.db.schema.alterTable('volumes').renameTo('gone').execute();
    const buckets = told(requests(2));
    const { volumes, clock, metrics } = recording(store, buckets);
    await volumes.look();
    for (let i = 1; i <= 5_010; i++) buckets.push(...told(requests(1, 'a', START + i * BUCKET_MS)));
    await volumes.look();
    await clock.advance(60_000, []);
    expect(await metrics()).toMatch(/volumes_waiting 5000\n[\s\S]*volumes_lag_seconds 60\n/);
    await store.db.schema.alterTable('gone').renameTo('volumes').execute();
    await volumes.look();
    const { rows } = await store.db
      .selectFrom('volumes')
      .select(({ fn }) => fn.countAll<number>().as('rows'))
      .executeTakeFirstOrThrow();
    expect(Number(rows)).toBe(5_000);
    expect(await metrics()).toMatch(
      /volumes_dropped_total 11\n[\s\S]*volumes_waiting 0\n[\s\S]*volumes_lag_seconds 0\n/,
    );
    const oldest = await store.db.selectFrom('volumes').select('bucket').orderBy('bucket').executeTakeFirstOrThrow();
    expect(oldest.bucket).toBe(START + 11 * BUCKET_MS);
  });

  test('that is not what the engine is known to tell is counted and kept out, the rest is kept', async () => {
    const store = await (await newPlace()).open();
    const [good] = told(requests(2));
    const identity = { ...good, heaviest: [['alice@example.com', 2, 2, 2, 2]] };
    const { volumes, metrics } = recording(store, [null, { bucket: START, host: 1 }, identity, good]);
    await volumes.look();
    expect(await all(store)).toHaveLength(1);
    expect(await metrics()).toContain('portcullis_limits_volumes_dropped_total 3');
  });

  test('of more than a page is read back in the order of time, within a span', async () => {
    const store = await (await newPlace()).open();
    const buckets = Array.from({ length: 250 }, (_, i) => told(requests(1, 'a', START + i * BUCKET_MS))).flat();
    await recording(store, buckets).volumes.look();
    const found = await all(store);
    expect(found.map(({ at }) => at)).toEqual(Array.from({ length: 250 }, (_, i) => START + i * BUCKET_MS));
    const some = [];
    const span = { since: START + BUCKET_MS, until: START + 3 * BUCKET_MS };
    for await (const { at } of recorded(store.db, span)) some.push(at);
    expect(some).toEqual([START + BUCKET_MS, START + 2 * BUCKET_MS]);
  });

  test('is forgotten after seven days', async () => {
    const store = await (await newPlace()).open();
    const old = Array.from({ length: 600 }, (_, i) => told(requests(1), `old-${i}`)).flat();
    await recording(store, [...old, ...told(requests(1, 'a', START + BUCKET_MS))]).volumes.look();
    expect(await forget(store, START + 7 * DAY_MS)).toBe(0);
    expect(await forget(store, START + 7 * DAY_MS + 1)).toBe(600);
    expect(await all(store)).toHaveLength(1);
  });
});

describe('a packed row', () => {
  const heavy: fc.Arbitrary<Heavy> = fc.tuple(
    fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 32, maxLength: 32 }),
    ...([0, 1, 2, 3].map(() => fc.nat({ max: Number.MAX_SAFE_INTEGER })) as [
      fc.Arbitrary<number>,
      fc.Arbitrary<number>,
      fc.Arbitrary<number>,
      fc.Arbitrary<number>,
    ]),
  );

  test('holds every count, and the first 16 digits of every hash', () => {
    fc.assert(
      fc.property(fc.array(heavy, { maxLength: 200 }), fc.nat(), (heaviest, count) => {
        const rest = {
          requests: count,
          anonymous: 1,
          sessions: 2,
          share: 0.25,
          methods: {},
          statuses: { '200': count },
        };
        const volume = { ...rest, histogram: [[1, 1, count]] as [number, number, number][] };
        const packed = pack({ ...volume, heaviest: heaviest as Told['heaviest'] });
        const short = heaviest.map(([session, ...counts]) => [session.slice(0, 16), ...counts]);
        expect(unpack(packed)).toEqual({ ...volume, heaviest: short });
      }),
    );
  });

  test('of 200 sessions takes no more than 5 KB, where none made ten thousand requests', () => {
    const some = Array.from({ length: 200 }, (_, i): Heavy => [sessionHash(String(i)), 9_999 - i, 99, 99, 999]);
    const histogram = Array.from({ length: 40 }, (_, i): [number, number, number] => [i * 100, i * 100 + 99, 5]);
    const rest = { requests: 1e6, anonymous: 0, sessions: 200, share: 1, methods: { GET: 1e6 } };
    const volume = { ...rest, histogram, statuses: { '200': 1e6 } };
    expect(pack({ ...volume, heaviest: some as Told['heaviest'] }).length).toBeLessThan(5_000);
  });

  test('that nobody here wrote is none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.base64String().map(cut)), text => {
        expect(() => unpack(text)).not.toThrow();
      }),
    );
    expect(unpack(cut('AAAA'))).toBeNull();
    expect(
      unpack(
        pack({ ...VOLUME, heaviest: [[sessionHash('a'), 300, 1, 1, 1]] }).replace('"heaviest":"', '"heaviest":"AAAA'),
      ),
    ).toBeNull();
  });
});

const VOLUME = { requests: 1, anonymous: 0, sessions: 1, share: 1, histogram: [], methods: {}, statuses: {} };

function cut(heaviest: string): string {
  return JSON.stringify({ ...VOLUME, heaviest });
}
