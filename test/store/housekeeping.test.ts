import { expect, test } from 'vitest';
import { forget } from '../../src/manage/store/housekeeping.js';
import { describeStores } from '../support/stores.js';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 22);

describeStores('records of traffic', newPlace => {
  test('are kept for 90 days and then deleted, however many they are', async () => {
    const store = await (await newPlace()).open();
    const seen = (fingerprint: string, daysAgo: number) => ({
      fingerprint,
      serial: '01',
      subject: '',
      issuer: '',
      not_before: 0,
      not_after: 0,
      first_seen: 0,
      last_seen: NOW - daysAgo * DAY_MS,
      requests: 1,
      hosts: '[]',
    });
    const hour = (host: string, daysAgo: number, node: string) => ({
      host,
      operation: '-',
      hour: Math.floor((NOW - daysAgo * DAY_MS) / 3_600_000),
      node,
      valid: 1,
      absent: 0,
      invalid: 0,
    });
    await store.write([], async tx => {
      for (let i = 0; i < 12; i++) {
        const hundred = Array.from({ length: 100 }, (_, k) => `${i}-${k}`);
        await tx
          .insertInto('seen')
          .values(hundred.map(name => seen(name, 91)))
          .execute();
        await tx
          .insertInto('mtls_hours')
          .values(hundred.map(name => hour('old', 91, name)))
          .execute();
      }
      await tx
        .insertInto('seen')
        .values([seen('young', 1), seen('just', 89)])
        .execute();
      await tx
        .insertInto('mtls_hours')
        .values([hour('young', 1, 'a'), hour('just', 89, 'a')])
        .execute();
    });
    expect(await forget(store, NOW)).toBe(2400);
    const left = await store.db.selectFrom('seen').select('fingerprint').orderBy('fingerprint').execute();
    expect(left.map(({ fingerprint }) => fingerprint)).toEqual(['just', 'young']);
    const hours = await store.db.selectFrom('mtls_hours').select('host').orderBy('host').execute();
    expect(hours.map(({ host }) => host)).toEqual(['just', 'young']);
    expect(await forget(store, NOW)).toBe(0);
  });
});

describeStores('revocations of tokens', newPlace => {
  test('are deleted once no such token can be good any more, and restored ones after a while', async () => {
    const store = await (await newPlace()).open();
    const row = (id: string, daysLeft: number | null, state: 'revoked' | 'restored' = 'revoked', daysAgo = 0) => ({
      ...{ id, configuration: 'customers', kind: 'jti' as const, value: id, state, by: 'test', why: null, revision: 1 },
      at: NOW - daysAgo * DAY_MS,
      until: daysLeft === null ? null : NOW + daysLeft * DAY_MS,
    });
    const many = Array.from({ length: 600 }, (_, i) => row(`lapsed-${i}`, -2));
    const kept = [
      row('live', 1),
      row('just', -0.5),
      row('for-ever', null, 'revoked', 400),
      row('back', null, 'restored', 1),
    ];
    await store.db
      .insertInto('token_revocations')
      .values([...many, ...kept, row('long-back', null, 'restored', 91)])
      .execute();
    expect(await forget(store, NOW)).toBe(601);
    const left = await store.db.selectFrom('token_revocations').select('id').orderBy('id').execute();
    expect(left.map(({ id }) => id)).toEqual(['back', 'for-ever', 'just', 'live']);
  });
});
