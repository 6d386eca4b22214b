// How partners come into force in every process that shares a store, and which end soon.

import { expect, test } from 'vitest';
import { systemClock } from '../../src/manage/pki/clock.js';
import type { Store } from '../../src/manage/store/open.js';
import { FakeClock } from '../support/clock.js';
import { callers, issued } from '../support/partners.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const DAY_MS = 86_400_000;
/** It bites in every process within one second. */
const WITHIN_MS = 1_000;

describeStores('following partners', newPlace => {
  test('a process that starts knows all of them, and what was issued for each', async () => {
    const store = await (await newPlace()).open();
    await add(store, 'acme', { certificates: [{ authority: 'devices', san: '*.acme.test' }] });
    await add(store, 'other', { suspended_at: 7 });
    const [one, two] = await issued(store, { partner: 'acme' }, { partner: 'acme' });
    await issued(store, { partner: null }, { partner: 'a word' }, { partner: 'acme', not_after: Date.now() - 1 });
    const here = callers(store);
    await here.partners.start();
    expect(here.told).toHaveLength(1);
    expect(here.told[0]?.map(({ name, suspended }) => [name, suspended])).toEqual([
      ['other', true],
      ['acme', false],
    ]);
    const [pattern, ...prints] = here.known('acme')?.certificates ?? [];
    expect(pattern).toEqual({ authority: 'devices', san: '*.acme.test' });
    expect(prints.map(({ fingerprint }) => fingerprint).sort()).toEqual([one, two].sort());
    expect(here.known('a word')).toBeUndefined();
  });

  test('a suspension elsewhere is told at once, other changes together', async () => {
    const place = await newPlace();
    const store = await place.open();
    for (const name of ['a', 'b', 'c', 'd']) await add(store, name);
    const there = callers(await place.open(), { clock: systemClock });
    await there.partners.start();
    const since = Date.now();
    await change(store, 'a', { suspended_at: since });
    await until(() => there.known('a')?.suspended === true, WITHIN_MS);
    const before = there.told.length;
    for (let turn = 0; turn < 20; turn++) await change(store, 'b', { expires_at: since + turn + DAY_MS });
    await until(() => there.known('b')?.expires_at === since + 19 + DAY_MS, 2 * WITHIN_MS);
    expect(there.told.length - before).toBeLessThanOrEqual(Math.ceil((Date.now() - since) / 250) + 1);
    expect(await there.metrics()).toContain('portcullis_partners_suspension_seconds_count 1');
  });

  test('a quota is told, also when it changes, and none where there is none or the partner is refused', async () => {
    const place = await newPlace();
    const store = await place.open();
    await add(store, 'acme', { quota: '{"requests":1000,"period_s":3600}' });
    await add(store, 'other');
    await add(store, 'ages', { quota: '{"requests":5,"period_s":86399913600}' });
    await add(store, 'broken', { quota: '{"requests":0,"period_s":3600}' });
    const refuse = (told: { name: string; quota?: { requests: number } }[]) => {
      const at = told.findIndex(({ quota }) => quota?.requests === 0);
      if (at >= 0) throw new Error(`[${at}] "${told[at]?.name}" quota is none`);
    };
    const there = callers(await place.open(), { clock: systemClock, refuse });
    await there.partners.start();
    expect(there.known('acme')?.quota).toEqual({ requests: 1000, period_s: 3600 });
    expect(there.known('other')).not.toHaveProperty('quota');
    expect(there.known('ages')?.quota).toEqual({ requests: 5, period_s: 366 * 86_400 });
    expect(there.known('broken')).toMatchObject({ suspended: true });
    await change(store, 'acme', { quota: '{"requests":5,"period_s":60}' });
    await until(() => there.known('acme')?.quota?.requests === 5, WITHIN_MS);
  });

  test('what is issued for a partner elsewhere is its own, and a word becomes one', async () => {
    const place = await newPlace();
    const store = await place.open();
    await add(store, 'acme');
    const [early] = await issued(store, { partner: 'late' });
    const there = callers(await place.open(), { clock: systemClock });
    await there.partners.start();
    const prints = (name: string) =>
      there
        .known(name)
        ?.certificates.map(({ fingerprint }) => fingerprint)
        .sort();
    const [mine] = await issued(store, { partner: 'acme' }, { partner: 'late' });
    await until(() => prints('acme')?.[0] === mine, WITHIN_MS);
    await add(store, 'late');
    await until(() => prints('late')?.length === 2, WITHIN_MS);
    expect(prints('late')).toContain(early);
    await store.write(['partners'], async tx => {
      await tx.deleteFrom('partners').where('name', '=', 'acme').execute();
    });
    await until(() => there.known('acme') === undefined, WITHIN_MS);
  });

  test('while the store is away what is known stays in force, and what was missed follows', async () => {
    const place = await newPlace();
    const store = await place.open();
    await add(store, 'acme', { suspended_at: 1 });
    await add(store, 'other');
    const there = callers(await place.open(), { clock: systemClock });
    await there.partners.start();
    await store.db.schema.alterTable('partners').renameTo('gone').execute();
    await store.write(['partners'], async () => {});
    await until(async () => /portcullis_partners_read_failures_total [1-9]/.test(await there.metrics()), WITHIN_MS);
    expect(there.known('acme')?.suspended).toBe(true);
    await store.db.schema.alterTable('gone').renameTo('partners').execute();
    await change(store, 'other', { suspended_at: Date.now() });
    await until(() => there.known('other')?.suspended === true, 2 * WITHIN_MS);
  });

  test('what the engine does not take leaves what was before, and is tried again', async () => {
    const store = await (await newPlace()).open();
    let full = false;
    const refuse = () => {
      if (full) throw new Error('more than the engine holds');
    };
    const here = callers(store, { clock: systemClock, refuse });
    await here.partners.start();
    full = true;
    await add(store, 'acme', { suspended_at: 1 });
    await until(async () => /portcullis_partners_read_failures_total [1-9]/.test(await here.metrics()), WITHIN_MS);
    full = false;
    await until(() => here.known('acme')?.suspended === true, 5_000);
  });

  test('a row that the engine does not take keeps no other from coming into force, and is refused itself', async () => {
    const store = await (await newPlace()).open();
    await add(store, 'acme');
    await add(store, 'broken', { certificates: [{ authority: 'devices', subject: 'CN=odd' }] });
    const [print] = await issued(store, { partner: 'broken' });
    const refuse = (told: { name: string; certificates: { subject?: string }[] }[]) => {
      const at = told.findIndex(({ certificates }) => certificates.some(({ subject }) => subject === 'CN=odd'));
      if (at >= 0) throw new Error(`[${at}] "${told[at]?.name}" certificates[0] is odd`);
    };
    const here = callers(store, { clock: systemClock, refuse });
    await here.partners.start();
    expect(here.known('broken')).toMatchObject({ suspended: true, certificates: [{ fingerprint: print }] });
    await change(store, 'acme', { suspended_at: Date.now() });
    await until(() => here.known('acme')?.suspended === true, WITHIN_MS);
  });

  test('a store that was put back to an older state gives nothing back, until an operator says so', async () => {
    const store = await (await newPlace()).open();
    await add(store, 'acme');
    await add(store, 'other');
    const here = callers(store, { clock: systemClock });
    await change(store, 'acme', { suspended_at: 1 });
    await add(store, 'newest', { suspended_at: 1 });
    const [print] = await issued(store, { partner: 'newest' });
    await here.partners.start();
    // As a backup has it.
    await store.db.deleteFrom('partners').where('name', '=', 'newest').execute();
    await store.db.deleteFrom('certificates').execute();
    await store.db.updateTable('partners').set({ suspended_at: null, revision: 1 }).execute();
    await store.db
      .updateTable('revisions')
      .set({ value: 1 })
      .where('topic', 'in', ['partners', 'certificates'])
      .execute();
    await until(() => here.told.length > 1, 2 * WITHIN_MS);
    expect([here.known('acme'), here.known('other'), here.known('newest')]).toMatchObject([
      { suspended: true },
      { suspended: false },
      { suspended: true, certificates: [{ fingerprint: print }] },
    ]);
    await change(store, 'acme', { suspended_at: null });
    await until(() => here.known('acme')?.suspended === false, 2 * WITHIN_MS);
    expect(here.known('newest')?.suspended).toBe(true);
  });

  test('a partner that ends is told of once at each distance, by one process of two, unless it is suspended', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    await add(store, 'acme', { expires_at: clock.now() + 31 * DAY_MS });
    await add(store, 'halted', { expires_at: clock.now() + 31 * DAY_MS, suspended_at: 1 });
    await add(store, 'lasting');
    const all = [callers(store, { clock }), callers(await place.open(), { clock })];
    const days = () => all.flatMap(({ events }) => events.map(([event, { Partner, Days }]) => [event, Partner, Days]));
    const look = async () => {
      for (const { expiry } of all) await expiry();
    };
    await look();
    expect(days()).toEqual([]);
    for (const [jump, left] of [
      [2, 30],
      [23, 7],
      [5.5, 1],
    ] as const) {
      clock.jump(jump * DAY_MS);
      await look();
      expect(days().at(-1)).toEqual(['partners.expiring', 'acme', left]);
    }
    expect(days()).toHaveLength(3);
    const text = await all[0]?.metrics();
    expect(text).toContain('portcullis_partners_expiring{within="1d"} 1');
    expect(text).toContain('portcullis_partners{status="suspended"} 1');
    clock.jump(DAY_MS);
    await look();
    expect(await all[0]?.metrics()).toContain('portcullis_partners{status="expired"} 1');
  });
});

type Row = {
  expires_at: number | null;
  suspended_at: number | null;
  certificates: object[];
  quota: string | null;
};

async function add(store: Store, name: string, some: Partial<Row> = {}): Promise<void> {
  const { certificates = [], ...given } = some;
  await store.write(['partners'], async (tx, { partners }) => {
    await tx
      .insertInto('partners')
      .values({
        ...{ name, owner: 'o', contact: 'c', expires_at: null, suspended_at: null, suspended_why: null },
        ...{ tokens: '[]', operations: '[]', quota: null, created_at: 0, created_by: 'tester' },
        ...{ version: partners, revision: partners, certificates: JSON.stringify(certificates), ...given },
      })
      .execute();
  });
}

async function change(store: Store, name: string, some: Partial<Omit<Row, 'certificates'>>): Promise<void> {
  await store.write(['partners'], async (tx, { partners }) => {
    await tx
      .updateTable('partners')
      .set({ ...some, revision: partners })
      .where('name', '=', name)
      .execute();
  });
}
