// What ends soon: gauges, and one line each at 30, 7 and 1 days, over restarts, fleets and clocks that jump.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { RevocationMetrics } from '../../src/journal/metrics/revocation.js';
import { type Ending, ExpiryWatch, endingOf } from '../../src/manage/pki/expiry.js';
import type { Store } from '../../src/manage/store/open.js';
import { FakeClock } from '../support/clock.js';
import { authority } from '../support/pki.js';
import { describeStores } from '../support/stores.js';

const DAY_MS = 86_400_000;

describeStores('expiry', newPlace => {
  test('an issued certificate is told of once at each distance, over a restart and by one process of two', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    const one = watch(store, clock);
    await issue(store, clock, { name: 'pump', days: 31 });
    await one.look();
    expect(one.told).toEqual([]);
    clock.jump(2 * DAY_MS);
    await one.look();
    await one.look();
    expect(one.told).toEqual([['certificate', 'pump', 30]]);
    const again = watch(await place.open(), clock);
    await again.look();
    expect(again.told).toEqual([]);
    clock.jump(23 * DAY_MS);
    await Promise.all([one.look(), again.look()]);
    clock.jump(5.5 * DAY_MS);
    await Promise.all([one.look(), again.look()]);
    await again.look();
    const all = [...one.told, ...again.told].map(([, , days]) => days).sort((a, b) => b - a);
    expect(all).toEqual([30, 7, 1]);
  });

  test('at the first look what is already close is told once, at its smallest distance', async () => {
    const clock = new FakeClock();
    const store = await (await newPlace()).open();
    await issue(store, clock, { name: 'far', days: 20 }, { name: 'near', days: 5 }, { name: 'last', days: 0.5 });
    await issue(store, clock, { name: 'over', days: -1 }, { name: 'long', days: 90 });
    const { look, told } = watch(store, clock);
    await look();
    expect(told.sort()).toEqual([
      ['certificate', 'far', 30],
      ['certificate', 'last', 1],
      ['certificate', 'near', 7],
    ]);
  });

  test('a revoked certificate is nobody’s concern any more', async () => {
    const clock = new FakeClock();
    const store = await (await newPlace()).open();
    const [fingerprint] = await issue(store, clock, { name: 'gone', days: 5 });
    const { key_id, serial } = await store.db
      .selectFrom('certificates')
      .select(['key_id', 'serial'])
      .where('fingerprint', '=', fingerprint ?? '')
      .executeTakeFirstOrThrow();
    const row = {
      id: `${key_id}:${serial}`,
      key_id,
      serial,
      fingerprint: null,
      authority: 'devices',
      state: 'revoked' as const,
    };
    await store.db
      .insertInto('revocations')
      .values({ ...row, reason: 'superseded', at: 0, by: 'x', revision: 1 })
      .execute();
    const { look, told, text } = watch(store, clock);
    await look();
    expect(told).toEqual([]);
    expect(await text()).not.toContain('portcullis_issued_certificates_expiring{');
  });

  test('a thousand that end at one moment are told of in parts, each once', async () => {
    const clock = new FakeClock();
    const store = await (await newPlace()).open();
    await issue(store, clock, ...Array.from({ length: 1_200 }, (_, index) => ({ name: `d${index}`, days: 5 })));
    const { look, told } = watch(store, clock);
    await look();
    expect(told).toHaveLength(500);
    for (let turn = 0; turn < 4; turn++) await look();
    expect(told).toHaveLength(1_200);
    expect(new Set(told.map(([, name]) => name)).size).toBe(1_200);
  });

  test('certificates of servers and authorities are told of once each, and a successor anew', async () => {
    const place = await newPlace();
    const clock = new FakeClock();
    const store = await place.open();
    const one = watch(store, clock);
    const server: Ending = { kind: 'server', name: 'api.test', at: clock.now() + 29 * DAY_MS, print: 'a' };
    one.expiry.adopt([], [server]);
    await one.look();
    await one.look();
    const again = watch(await place.open(), clock);
    again.expiry.adopt([], [server]);
    await again.look();
    expect([one.told, again.told]).toEqual([[['server', 'api.test', 30]], []]);
    clock.jump(23 * DAY_MS);
    await again.look();
    expect(again.told).toEqual([['server', 'api.test', 7]]);
    again.expiry.adopt([], [{ ...server, print: 'b', at: clock.now() + 90 * DAY_MS }]);
    await again.look();
    expect(again.told).toHaveLength(1);
    expect(await again.text()).toContain(
      'portcullis_certificate_expiry_timestamp_seconds{kind="server",name="api.test"}',
    );
  });

  test('gauges count by authority, and never name a certificate', async () => {
    const clock = new FakeClock();
    const store = await (await newPlace()).open();
    await issue(store, clock, { name: 'secret-name', days: 20 }, { name: 'secret-name', days: 5 });
    const { look, text } = watch(store, clock);
    await look();
    expect(await text()).toContain('portcullis_issued_certificates_expiring{authority="devices",within="30d"} 2');
    expect(await text()).toContain('portcullis_issued_certificates_expiring{authority="devices",within="7d"} 1');
    expect(await text()).not.toContain('secret-name');
  });

  test('a clock that jumps ahead and back tells nothing twice, and goes on', async () => {
    const clock = new FakeClock();
    const store = await (await newPlace()).open();
    await issue(store, clock, { name: 'pump', days: 29 });
    const { look, told } = watch(store, clock);
    await look();
    clock.jump(400 * DAY_MS);
    await look();
    clock.jump(-400 * DAY_MS);
    await look();
    expect(told).toEqual([['certificate', 'pump', 30]]);
    clock.jump(24 * DAY_MS);
    await look();
    expect(told.at(-1)).toEqual(['certificate', 'pump', 7]);
  });
});

test('what cannot be read has no end', async () => {
  const { pem } = await authority('devices');
  expect(endingOf('server', 'api.test', pem)).toMatchObject({
    kind: 'server',
    name: 'api.test',
    at: expect.any(Number),
  });
  expect(endingOf('server', 'api.test', 'nonsense')).toBeNull();
});

function watch(store: Store, clock: FakeClock) {
  const told: [kind: string, name: string, days: number][] = [];
  const tell = (event: string, { Kind, Name, Days }: Readonly<Record<string, unknown>>) => {
    expect(event).toBe('pki.expiring');
    told.push([Kind as string, Name as string, Days as number]);
  };
  const registry = new Registry();
  const expiry = new ExpiryWatch({
    store,
    tell,
    log: pino({ level: 'silent' }),
    metrics: new RevocationMetrics(registry),
    clock,
  });
  return { expiry, look: () => expiry.look(), told, text: () => registry.metrics() };
}

async function issue(store: Store, clock: FakeClock, ...some: { name: string; days: number }[]): Promise<string[]> {
  const not_after = clock.now();
  const rows = some.map(({ name, days }) => ({
    key_id: 'aa'.repeat(32),
    serial: randomBytes(16).toString('hex').toUpperCase(),
    fingerprint: randomBytes(32).toString('hex'),
    authority: 'devices',
    generation: 1,
    name,
    subject: `CN=${name}`,
    names: '{}',
    profile: 'device',
    partner: null,
    not_before: 0,
    not_after: not_after + days * DAY_MS,
    issued_at: 0,
    issued_by: 'tester',
    renews: null,
    certificate: '',
    revision: 0,
  }));
  await store.db.insertInto('certificates').values(rows).execute();
  return rows.map(({ fingerprint }) => fingerprint);
}
