// What the store says of keys is what the engine takes: the real one of this process, told as a gateway tells it.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { KeyMetrics } from '../../src/journal/metrics/keys.js';
import { Enforcing } from '../../src/manage/keys/enforcing.js';
import { Keys } from '../../src/manage/keys/keys.js';
import { newKey, rotation } from '../../src/manage/keys/shapes.js';
import { Uses } from '../../src/manage/keys/uses.js';
import { systemClock } from '../../src/manage/pki/clock.js';
import { audit } from '../../src/manage/store/audit.js';
import { changeKeys, usedKeys } from '../../src/native.js';
import { sqlitePlace } from '../support/stores.js';

const by = {
  name: 'tester',
  audit: async (tx: never, revisions: never, change: never) =>
    void (await audit(tx, revisions, { ...(change as object), actor: 'tester' } as never)),
} as never;

test('the engine takes every key that the admin API makes, at its bounds too', async () => {
  const store = await (await sqlitePlace()).open();
  const keys = new Keys({ store, hosts: () => ['api.example.com', '*.example.com'], now: Date.now });
  const many = <T>(count: number, one: (at: number) => T) => Array.from({ length: count }, (_, at) => one(at));
  const wanted = [
    {},
    { kind: 'service' as const },
    { allow_no_expiry: true as const },
    { scopes: many(64, at => `${at}${'~'.repeat(126)}`.slice(0, 128)) },
    { certificates: many(16, () => randomBytes(32).toString('hex').toUpperCase()) },
    { networks: [...many(30, at => `10.${at}.0.0/16`), '2001:DB8::/32', '192.0.2.1'] },
    { hosts: ['api.example.com', '*.example.com'] },
  ];
  const errors: object[] = [];
  const log = pino({ level: 'silent' });
  log.error = ((fields: object) => void errors.push(fields)) as never;
  const registry = new Registry();
  const flow = new Enforcing({
    ...{ store, log, clock: systemClock },
    native: { changeKeys },
    metrics: new KeyMetrics(registry),
  });
  await keys.create(newKey.parse({ name: 'before' }), by);
  await flow.start();
  for (const [at, one] of wanted.entries()) {
    const { row } = await keys.create(newKey.parse({ name: `k${at}`, ...one }), by);
    await keys.rotate(row.id, rotation.parse({}), -1, by);
    await flow.look();
    await keys.revoke(row.id, undefined, -1, by);
    await flow.look();
  }
  expect(errors).toEqual([]);
  const text = await registry.metrics();
  expect(text).toMatch(/portcullis_keys_unusable_total 0/);
  expect(text).toMatch(/portcullis_keys_read_failures_total 0/);
  flow.stop();
});

test('the engine refuses a row that cannot be meant, and takes the others', async () => {
  const store = await (await sqlitePlace()).open();
  const keys = new Keys({ store, hosts: () => [], now: Date.now });
  const { row } = await keys.create(newKey.parse({ name: 'odd' }), by);
  await keys.create(newKey.parse({ name: 'good' }), by);
  await store.db.updateTable('keys').set({ networks: '["nowhere"]' }).where('id', '=', row.id).execute();
  const errors: object[] = [];
  const log = pino({ level: 'silent' });
  log.error = ((fields: object) => void errors.push(fields)) as never;
  const metrics = new KeyMetrics(new Registry());
  const flow = new Enforcing({ store, log, metrics, native: { changeKeys }, clock: systemClock });
  await flow.start();
  expect(errors).toMatchObject([{ count: 1, keys: [{ id: row.id, error: expect.stringContaining('network') }] }]);
  flow.stop();
});

test('what the engine tells of uses can be read', async () => {
  const store = await (await sqlitePlace()).open();
  const warnings: object[] = [];
  const log = pino({ level: 'silent' });
  log.warn = ((fields: object) => void warnings.push(fields)) as never;
  const uses = new Uses({ store, log, native: { usedKeys }, clock: systemClock });
  await uses.look();
  expect(warnings).toEqual([]);
});
