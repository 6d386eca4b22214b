// How keys come into force in every process that shares a store, when they were last used, and which end soon.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { KeyMetrics } from '../../src/journal/metrics/keys.js';
import type { Audit } from '../../src/manage/admin/api.js';
import { Enforcing } from '../../src/manage/keys/enforcing.js';
import { KeyExpiry } from '../../src/manage/keys/expiry.js';
import { Keys } from '../../src/manage/keys/keys.js';
import { change, newKey, rotation } from '../../src/manage/keys/shapes.js';
import { Uses } from '../../src/manage/keys/uses.js';
import { type Clock, systemClock } from '../../src/manage/pki/clock.js';
import { audit } from '../../src/manage/store/audit.js';
import type { Store } from '../../src/manage/store/open.js';
import type { KeysTable } from '../../src/manage/store/tables.js';
import { FakeClock } from '../support/clock.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const log = pino({ level: 'silent' });

describeStores('keys', newPlace => {
  test('a process that starts knows everything before it says so, and later only what changed', async () => {
    const place = await newPlace();
    const { keys, create, revoke } = fresh(await place.open());
    const one = await create('one', { scopes: ['a'], networks: ['192.0.2.0/24'], certificates: ['AB'.repeat(32)] });
    const other = await follow(await place.open());
    expect(other.changes.map(({ reset, ready, keys }) => [reset, ready, keys?.length])).toEqual([
      [true, undefined, undefined],
      [undefined, undefined, 1],
      [undefined, true, undefined],
    ]);
    expect(other.known.get(one.row.id)).toEqual({
      id: one.row.id,
      secrets: [{ digest: one.secrets[0]?.digest, not_after: null }],
      partner: null,
      scopes: ['a'],
      expires_at: one.row.expires_at,
      certificates: ['ab'.repeat(32)],
      networks: ['192.0.2.0/24'],
      hosts: [],
    });
    other.changes.length = 0;
    const two = await create('two');
    await until(() => other.known.has(two.row.id), 1_000);
    const rotated = await keys.rotate(two.row.id, rotation.parse({ overlap: '1h' }), -1, by);
    await until(() => other.known.get(two.row.id)?.secrets.length === 2, 1_000);
    const [newest, older] = rotated.secrets;
    expect(other.known.get(two.row.id)?.secrets).toEqual(
      expect.arrayContaining([
        { digest: newest?.digest, not_after: null },
        { digest: older?.digest, not_after: older?.not_after },
      ]),
    );
    await revoke(two.row.id);
    await until(() => !other.known.has(two.row.id), 1_000);
    expect(other.known.has(one.row.id)).toBe(true);
    expect(other.changes.some(change => change.reset || change.keys?.some(({ id }) => id === one.row.id))).toBe(false);
    expect(await other.registry.metrics()).toMatch(/portcullis_keys_propagation_seconds_count 1/);
    other.flow.stop();
  });

  test('what is revoked, or expired a month ago, is never told; what expired today is', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const { create, revoke } = fresh(await place.open(), clock);
    const [gone, revoked] = [await create('gone', { lifetime: '1h' }), await create('revoked')];
    clock.jump(32 * DAY_MS);
    const today = await create('today', { lifetime: '1h' });
    await revoke(revoked.row.id);
    clock.jump(2 * HOUR_MS);
    const { known, flow } = await follow(await place.open(), clock);
    expect([...known.keys()]).toEqual([today.row.id]);
    expect(known.has(gone.row.id)).toBe(false);
    flow.stop();
  });

  test('what expired a month ago is taken away from an engine that runs, and what was extended is not', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const { keys, create } = fresh(await place.open(), clock);
    const [gone, extended, endless] = [
      await create('gone', { lifetime: '1d' }),
      await create('extended', { lifetime: '1d' }),
      await create('endless', { allow_no_expiry: true }),
    ];
    const { known, flow } = await follow(await place.open(), clock);
    clock.jump(29 * DAY_MS);
    await flow.sweep();
    expect(known.size).toBe(3);
    clock.jump(3 * DAY_MS);
    await keys.change(extended.row.id, change.parse({ lifetime: '1d' }), -1, by);
    await flow.look();
    await flow.sweep();
    expect([...known.keys()].sort()).toEqual([extended.row.id, endless.row.id].sort());
    expect(known.has(gone.row.id)).toBe(false);
    flow.stop();
  });

  test('an engine that is full takes what fits, and is told of what is taken back', async () => {
    const place = await newPlace();
    const { create, revoke } = fresh(await place.open());
    const { row } = await create('k');
    const other = await follow(await place.open(), systemClock, 2);
    await create('l');
    await create('m');
    await until(() => other.known.size === 2, 1_000);
    await revoke(row.id);
    await until(() => !other.known.has(row.id), 1_000);
    expect(await other.registry.metrics()).toMatch(/portcullis_keys_unusable_total 1/);
    expect(await other.registry.metrics()).toMatch(/portcullis_keys_read_failures_total 0/);
    other.flow.stop();
  });

  test('of a rotation whose deadline is over only the new secret is told', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const { keys, create } = fresh(await place.open(), clock);
    const { row } = await create('k');
    const rotated = await keys.rotate(row.id, rotation.parse({ overlap: '1h' }), -1, by);
    clock.jump(2 * HOUR_MS);
    const { known, flow } = await follow(await place.open(), clock);
    expect(known.get(row.id)?.secrets).toEqual([{ digest: rotated.secrets[0]?.digest, not_after: null }]);
    flow.stop();
  });

  test('five thousand of one commit arrive whole, at the start and later', async () => {
    const place = await newPlace();
    const store = await place.open();
    const other = await follow(await place.open());
    await insert(store, 5_000);
    await until(() => other.known.size === 5_000, 20_000);
    const late = await follow(await place.open());
    expect(late.known.size).toBe(5_000);
    expect(Math.max(...late.changes.map(({ keys }) => keys?.length ?? 0))).toBeLessThanOrEqual(2_000);
    late.flow.stop();
    other.flow.stop();
  });

  test('while the store is away what is known stays in force, and what was missed follows', async () => {
    const place = await newPlace();
    const { store, create, revoke } = fresh(await place.open());
    const { row } = await create('k');
    const other = await follow(await place.open());
    await store.db.schema.alterTable('keys').renameTo('gone').execute();
    await store.write(['keys'], async () => {});
    await other.flow.look();
    expect(other.known.has(row.id)).toBe(true);
    expect(await other.registry.metrics()).toMatch(/portcullis_keys_read_failures_total [1-9]/);
    await store.db.schema.alterTable('gone').renameTo('keys').execute();
    await revoke(row.id);
    await until(() => other.known.size === 0, 2_000);
    other.flow.stop();
  });

  test('a store that was put back to an older state gives nothing back that was revoked', async () => {
    const place = await newPlace();
    const { store, create, revoke } = fresh(await place.open());
    const { row } = await create('k');
    await revoke(row.id);
    const other = await follow(await place.open());
    const before = { revoked_at: null, revoked_by: null, revision: 1 };
    await store.db.updateTable('keys').set(before).where('id', '=', row.id).execute();
    await store.db.updateTable('revisions').set({ value: 1 }).where('topic', '=', 'keys').execute();
    await other.flow.look();
    expect(other.known.size).toBe(0);
    const later = await create('later');
    await until(() => other.known.has(later.row.id), 2_000);
    expect(other.known.has(row.id)).toBe(false);
    other.flow.stop();
  });

  test('a row that the engine does not take keeps no other one away, and no revocation', async () => {
    const place = await newPlace();
    const store = await place.open();
    const { create, revoke } = fresh(store);
    const { row } = await create('good');
    const other = await follow(await place.open());
    await insert(store, 100, { networks: '["nowhere"]' }, 3);
    await insert(store, 10, { scopes: 'orders:read' }, 2);
    await until(() => other.known.size === 106, 5_000);
    expect(await other.registry.metrics()).toMatch(/portcullis_keys_unusable_total 5/);
    await revoke(row.id);
    await until(() => !other.known.has(row.id), 1_000);
    other.flow.stop();
  });

  test('their last use is written to the minute, newest wins, and wakes nobody', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    const { create } = fresh(store, clock);
    const [one, two] = [await create('one'), await create('two')];
    const lastUsed = async () =>
      (await store.db.selectFrom('keys').select('last_used_at').orderBy('name').execute()).map(
        it => it.last_used_at && Math.round((clock.now() - it.last_used_at) / MINUTE_MS),
      );
    const before = await store.revisions();
    const here = uses(store, clock);
    here.use(one.row.id, clock.now() - 5 * MINUTE_MS);
    await here.look();
    expect(await lastUsed()).toEqual([5, null]);
    const there = uses(await place.open(), clock);
    there.use(one.row.id, clock.now() - 10 * MINUTE_MS);
    there.use(two.row.id, clock.now());
    there.use('000000000000', clock.now());
    await there.look();
    expect(await lastUsed()).toEqual([5, 0]);
    expect(await store.revisions()).toEqual(before);
    clock.jump(10 * MINUTE_MS);
    here.use(one.row.id, clock.now());
    await here.stop();
    expect(await lastUsed()).toEqual([0, 10]);
  });

  test('their last use waits while the store is away', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    const { create } = fresh(store, clock);
    const { row } = await create('k');
    const here = uses(store, clock);
    await store.db.schema.alterTable('keys').renameTo('gone').execute();
    here.use(row.id, clock.now());
    await here.look();
    await store.db.schema.alterTable('gone').renameTo('keys').execute();
    await here.look();
    expect((await store.db.selectFrom('keys').select('last_used_at').executeTakeFirstOrThrow()).last_used_at).not.toBe(
      null,
    );
  });

  test('each that ends soon is told of once at 30, 7 and 1 days, by one process of two', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    const { create, revoke } = fresh(store, clock);
    const { row } = await create('billing', { lifetime: '31d' });
    await create('endless', { allow_no_expiry: true });
    const revoked = await create('revoked', { lifetime: '31d' });
    await revoke(revoked.row.id);
    const [one, two] = [watch(store, clock), watch(await place.open(), clock)];
    await one.look();
    expect(one.told).toEqual([]);
    for (const ahead of [2, 22, 6]) {
      clock.jump(ahead * DAY_MS);
      await Promise.all([one.look(), two.look()]);
      await one.look();
    }
    const told = [...one.told, ...two.told].sort((a, b) => Number(b.Days) - Number(a.Days));
    expect(told.map(({ KeyID, Name, Days }) => [KeyID, Name, Days])).toEqual(
      [30, 7, 1].map(days => [row.id, 'billing', days]),
    );
    expect(await one.registry.metrics()).toMatch(/portcullis_keys_expiring\{within="7d"\} 1/);
  });
});

const written: Audit = async (tx, revisions, change) => {
  await audit(tx, revisions, { ...change, actor: 'tester' });
};
const by = { name: 'tester', audit: written };

function fresh(store: Store, clock: Clock = systemClock) {
  const keys = new Keys({ store, hosts: () => [], now: () => clock.now() });
  const create = (name: string, wanted: object = {}) => keys.create(newKey.parse({ name, ...wanted }), by);
  const revoke = (id: string) => keys.revoke(id, undefined, -1, by);
  return { store, keys, create, revoke };
}

interface Told {
  id: string;
  secrets: { digest: string; not_after: number | null }[];
  networks: string[];
}

interface Change {
  reset?: true;
  ready?: true;
  keys?: Told[];
  removed?: string[];
}

/** A process whose engine knows what a store says; it takes no network that is none. */
async function follow(store: Store, clock: Clock = systemClock, most = Number.POSITIVE_INFINITY) {
  let full = false;
  const known = new Map<string, Told>();
  const changes: Change[] = [];
  const changeKeys = (text: string) => {
    const told: Change = JSON.parse(text);
    if (told.keys?.some(({ networks }) => networks.includes('nowhere'))) throw new Error('no network');
    changes.push(told);
    if (told.reset) known.clear();
    for (const key of told.keys ?? []) {
      if (known.has(key.id) || known.size < most) known.set(key.id, key);
      else full = true;
    }
    for (const id of told.removed ?? []) known.delete(id);
    // As the engine says it, which has taken the rest.
    if (full) throw new Error(`More than ${most} keys: those that did not fit are refused until a reset that fits.`);
  };
  const registry = new Registry();
  const metrics = new KeyMetrics(registry);
  const flow = new Enforcing({ store, native: { changeKeys }, log, metrics, clock });
  await flow.start();
  return { flow, known, changes, registry };
}

function uses(store: Store, clock: Clock) {
  let used: { id: string; at: number }[] = [];
  const usedKeys = () => JSON.stringify(used.splice(0));
  const flow = new Uses({ store, native: { usedKeys }, log, clock });
  return {
    look: () => flow.look(),
    stop: () => flow.stop(),
    use: (id: string, at: number) => {
      used = [...used, { id, at }];
    },
  };
}

function watch(store: Store, clock: Clock) {
  const told: Record<string, unknown>[] = [];
  const registry = new Registry();
  const tell = (event: string, fields: object) => {
    expect(event).toBe('keys.expiring');
    told.push({ ...fields });
  };
  const flow = new KeyExpiry({ store, log, metrics: new KeyMetrics(registry), tell, clock });
  return { look: () => flow.look(), told, registry };
}

/** Rows as creation leaves them, in one commit; `different` of them are `changed`. */
async function insert(store: Store, count: number, changed: Partial<KeysTable> = {}, different = count): Promise<void> {
  await store.write(['keys'], async (tx, revisions) => {
    for (let from = 0; from < count; from += 1_000) {
      const rows = Array.from({ length: Math.min(1_000, count - from) }, (_, at) => ({
        ...{ id: randomBytes(6).toString('hex'), name: 'k', kind: 'key' as const, partner: null },
        ...{ scopes: '[]', certificates: '[]', networks: '[]', hosts: '[]', expires_at: null },
        ...{ created_at: 0, created_by: 'x', revoked_at: null, revoked_by: null, revoked_why: null },
        ...{ last_used_at: null, version: 1, revision: revisions.keys },
        ...(from + at < different && changed),
      }));
      await tx.insertInto('keys').values(rows).execute();
      const secrets = rows.map(({ id }) => ({
        ...{ digest: randomBytes(32).toString('hex'), key_id: id, created_at: 0, not_after: null },
      }));
      await tx.insertInto('key_secrets').values(secrets).execute();
    }
  });
}
