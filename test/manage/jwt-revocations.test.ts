// Tokens that were taken back: rows of the store, in force in every process that shares it.

import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import type { PolicyJwt } from '../../src/config/policy.js';
import { JwtMetrics } from '../../src/journal/metrics/jwt.js';
import type { Audit } from '../../src/manage/admin/api.js';
import { Enforcing } from '../../src/manage/jwt/enforcing.js';
import { type Revoking, TokenRevocations } from '../../src/manage/jwt/revocations.js';
import { audit } from '../../src/manage/store/audit.js';
import type { Store } from '../../src/manage/store/open.js';
import { atTheEnd } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const HOUR_MS = 3_600_000;
const configurations = [
  { name: 'customers', max_lifetime_s: 3_600, skew_s: 60, allow_no_expiry: false },
  { name: 'machines', max_lifetime_s: 3_600, skew_s: 60, allow_no_expiry: true },
] as PolicyJwt[];

describeStores('tokens that were taken back', newPlace => {
  test('lapse when none of them can be good any more, and never where tokens never end', async () => {
    const { revoke, now } = await fresh();
    expect((await revoke({})).until).toBe(now + HOUR_MS + 120_000);
    expect((await revoke({ configuration: 'machines' })).until).toBeNull();
    expect((await revoke({ value: 'short', until: now + 1_000 })).until).toBe(now + 1_000);
    expect((await revoke({ value: 'long', until: null })).until).toBeNull();
    await expect(revoke({ value: 'past', until: now - 1 })).rejects.toMatchObject({ status: 422 });
    await expect(revoke({ configuration: 'nobody' })).rejects.toMatchObject({ status: 404 });
  });

  test('are in force in every process within a second, and no longer once they are restored', async () => {
    const place = await newPlace();
    const { store, revoke, revocations } = await fresh(place);
    const [here, there] = [await enforced(store), await enforced(await place.open())];
    const row = await revoke({ kind: 'subject', value: 'alice' });
    await here.enforcing.look();
    expect([...here.refused]).toEqual(['customers subject alice']);
    await until(() => there.refused.size === 1, 1_000);
    await revocations.restore('customers', row.id, 'tester', written);
    await until(() => there.refused.size === 0, 1_000);
    await expect(revocations.restore('customers', row.id, 'tester', written)).rejects.toMatchObject({ status: 409 });
    await expect(revocations.restore('machines', row.id, 'tester', written)).rejects.toMatchObject({ status: 404 });
  });

  test('are handed over before the first request, without those that have lapsed or were restored', async () => {
    const { store, revoke, revocations, now } = await fresh();
    await revoke({ value: 'good' });
    await revoke({ value: 'lapsed', until: now + 1 });
    const back = await revoke({ value: 'back' });
    await revocations.restore('customers', back.id, 'tester', written);
    const { refused, changes } = await enforced(store, HOUR_MS / 2);
    expect([...refused]).toEqual(['customers jti good']);
    expect(changes[0]).toEqual({ reset: true, revoked: [], restored: [] });
  });

  test('of a subject, revoking again reaches what was issued since; it never ends sooner by that', async () => {
    const { revoke, clock } = await fresh();
    const first = await revoke({ kind: 'subject', value: 'alice' });
    clock.jump(1_000);
    const again = await revoke({ kind: 'subject', value: 'alice', until: first.at + 10_000 });
    expect(again).toMatchObject({ id: first.id, at: first.at + 1_000, until: first.until });
    expect((await revoke({ kind: 'subject', value: 'alice', until: null })).until).toBeNull();
    expect((await revoke({ kind: 'subject', value: 'alice', until: first.at + 10_000 })).until).toBeNull();
  });

  test('are told apart by configuration, kind and value, to the letter', async () => {
    const { store, revoke } = await fresh();
    for (const value of ['a', 'A', 'a ', 'ａ']) await revoke({ value });
    await revoke({ kind: 'subject', value: 'a' });
    await revoke({ configuration: 'machines', value: 'a' });
    const { refused } = await enforced(store);
    expect(refused.size).toBe(6);
  });

  test('are listed with the newest change first, in pages, without what has lapsed', async () => {
    const { revoke, revocations, now } = await fresh();
    for (const value of ['one', 'two', 'three']) await revoke({ value });
    await revoke({ value: 'lapsed', until: now + 1 });
    await revoke({ configuration: 'machines', value: 'other' });
    const later = new TokenRevocations(
      revocations.store,
      () => configurations,
      () => now + 2,
    );
    const first = await later.page('customers', undefined, 2, {});
    expect(first.items.map(({ value }) => value)).toEqual(['three', 'two']);
    const second = await later.page('customers', first.next ?? '', 2, {});
    expect(second).toMatchObject({ items: [{ value: 'one' }], next: null });
    expect((await later.page('customers', undefined, 9, { value: 'two', state: 'revoked' })).items).toHaveLength(1);
    expect((await later.page('customers', undefined, 9, { kind: 'subject' })).items).toEqual([]);
  });

  test('each change is one entry of the audit log', async () => {
    const { store, revoke, revocations } = await fresh();
    const { id } = await revoke({ value: 'one', why: 'stolen' });
    await revocations.restore('customers', id, 'tester', written);
    const entries = await store.db.selectFrom('audit').select(['action', 'target', 'after']).orderBy('seq').execute();
    expect(entries.map(({ action, target }) => `${action} ${target}`)).toEqual([
      'jwt.revoke customers jti one',
      'jwt.restore customers jti one',
    ]);
    expect(entries[0]?.after).toContain('stolen');
  });

  test('a store that was put back to an older state gives nothing back', async () => {
    const { store, revoke } = await fresh();
    await revoke({ value: 'one' });
    const { enforcing, refused } = await enforced(store);
    await store.db.deleteFrom('token_revocations').execute();
    await store.db.updateTable('revisions').set({ value: 0 }).where('topic', '=', 'token_revocations').execute();
    await enforcing.look();
    expect(refused.size).toBe(1);
    await revoke({ value: 'two' });
    await until(() => refused.size === 2, 2_000);
  });

  test('more than the engine holds is handed over anew, in one step, once it fits', async () => {
    const { store, revoke } = await fresh();
    const engine = await enforced(store);
    engine.most = 2;
    for (const value of ['one', 'two', 'three']) await revoke({ value });
    await engine.enforcing.look();
    expect(engine.full).toBe(true);
    await store.db.deleteFrom('token_revocations').where('value', '=', 'one').execute();
    await engine.enforcing.look();
    // Not at every look: that reads all rows.
    expect(engine.full).toBe(true);
    await engine.clock.advance(10_000, []);
    await engine.enforcing.look();
    expect(engine.full).toBe(false);
    expect([...engine.refused].sort()).toEqual(['customers jti three', 'customers jti two']);
    expect(engine.changes.at(-1)).toMatchObject({ reset: true });
  });

  async function fresh(place?: Awaited<ReturnType<typeof newPlace>>) {
    const store = await (place ?? (await newPlace())).open();
    const clock = new FakeClock();
    const revocations = Object.assign(
      new TokenRevocations(
        store,
        () => configurations,
        () => clock.now(),
      ),
      { store },
    );
    const revoke = (changes: Partial<Revoking>) =>
      revocations.revoke({
        ...{ configuration: 'customers', kind: 'jti', value: 'one', until: undefined, why: null, by: 'tester' },
        audit: written,
        ...changes,
      });
    return { store, revocations, revoke, clock, now: clock.now() };
  }
});

const written: Audit = async (tx, revisions, change) => {
  await audit(tx, revisions, { ...change, actor: 'tester' });
};

interface Change {
  reset?: true;
  revoked: { configuration: string; kind: string; value: string }[];
  restored: { configuration: string; kind: string; value: string }[];
}

/** A process that enforces what a store says, `lateMs` after now. */
async function enforced(store: Store, lateMs = 0) {
  const nameOf = ({ configuration, kind, value }: Change['revoked'][number]) => `${configuration} ${kind} ${value}`;
  const clock = new FakeClock();
  clock.jump(lateMs);
  const engine = { refused: new Set<string>(), changes: [] as Change[], most: Number.POSITIVE_INFINITY, full: false };
  const revokeTokens = (text: string) => {
    const change: Change = JSON.parse(text);
    engine.changes.push(change);
    if (change.reset) {
      engine.refused.clear();
      engine.full = false;
    }
    for (const one of change.restored) engine.refused.delete(nameOf(one));
    for (const one of change.revoked) {
      engine.full ||= engine.refused.size >= engine.most;
      if (!engine.full) engine.refused.add(nameOf(one));
    }
    if (engine.full) throw new Error('more than are held');
  };
  const metrics = new JwtMetrics(new Registry());
  const enforcing = new Enforcing({ store, native: { revokeTokens }, log: pino({ level: 'silent' }), metrics, clock });
  await enforcing.start();
  atTheEnd(() => enforcing.stop());
  return Object.assign(engine, { enforcing, clock });
}
