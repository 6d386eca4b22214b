// Which certificates an operator's word means, and how it comes into force in every process that shares a store.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { RevocationMetrics } from '../../src/journal/metrics/revocation.js';
import type { Audit } from '../../src/manage/admin/api.js';
import { Enforcing } from '../../src/manage/pki/enforcing.js';
import { MAX_HITS, Revocations, type Revoking } from '../../src/manage/pki/revocation.js';
import { audit } from '../../src/manage/store/audit.js';
import type { Store } from '../../src/manage/store/open.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const DAY_MS = 86_400_000;
const KEY = 'aa'.repeat(32);
const OLD_KEY = 'bb'.repeat(32);
const keysOf = async (authority: string) => (authority === 'devices' ? [KEY, OLD_KEY] : []);

describeStores('revocations', newPlace => {
  test('a serial of a named authority hits the certificate that was issued, however the serial is spelled', async () => {
    const { store, apply } = await fresh();
    const [one] = await issue(store, { serial: '0AB1' });
    const { hits, changed } = await apply({ authority: 'devices', serial: '00:0a:b1' });
    expect(hits).toMatchObject([
      { id: `${KEY}:0AB1`, authority: 'devices', fingerprint: one, known: 'issued', before: null, after: 'revoked' },
    ]);
    expect(changed).toBe(1);
  });

  test('an unknown serial is refused under every key of its authority, and under no authority at all', async () => {
    const { apply } = await fresh();
    const { hits } = await apply({ authority: 'devices', serial: 'ff' });
    expect(hits.map(({ id, known }) => [id, known])).toEqual([
      [`${KEY}:FF`, 'unknown'],
      [`${OLD_KEY}:FF`, 'unknown'],
    ]);
    await expect(apply({ authority: 'nobody', serial: 'ff' })).rejects.toMatchObject({ status: 404 });
  });

  test('a fingerprint hits what was issued, what was seen, and what nobody knows', async () => {
    const { store, apply } = await fresh();
    const [issued] = await issue(store, {});
    const verified = await see(store, { authority: 'partners', key_id: OLD_KEY, serial: '07' });
    const stranger = await see(store, { authority: null, key_id: null });
    const unseen = 'cd'.repeat(32);
    expect((await apply({ fingerprint: issued })).hits).toMatchObject([{ known: 'issued', keyId: KEY }]);
    expect((await apply({ fingerprint: verified.toUpperCase() })).hits).toMatchObject([
      { id: `${OLD_KEY}:07`, known: 'seen', authority: 'partners' },
    ]);
    for (const fingerprint of [stranger, unseen]) {
      expect((await apply({ fingerprint })).hits).toMatchObject([
        { id: `sha256:${fingerprint}`, known: 'unknown', keyId: null },
      ]);
    }
  });

  test('a subject hits all that has it to the letter, and nothing that only claims it', async () => {
    const { store, apply } = await fresh();
    const subject = 'CN=pump\\, north,O=Works';
    await issue(store, { subject }, { subject, not_after: Date.now() - DAY_MS }, { subject: 'CN=pump' });
    await see(store, { subject, authority: 'partners', key_id: OLD_KEY });
    await see(store, { subject, authority: null, key_id: null });
    const { hits } = await apply({ subject });
    expect(hits.map(({ known }) => known).sort()).toEqual(['issued', 'seen']);
    expect((await apply({ subject, authority: 'devices', dryRun: true })).hits).toHaveLength(1);
    await expect(apply({ subject: 'CN=PUMP' })).rejects.toMatchObject({ status: 404 });
  });

  test('a partner hits all its certificates, and what is said beforehand is what happens', async () => {
    const { store, apply, states } = await fresh();
    await issue(store, { partner: 'acme' }, { partner: 'acme' }, { partner: 'other' });
    const told = await apply({ partner: 'acme', dryRun: true });
    expect(await states()).toEqual([]);
    expect(await audited(store)).toBe(0);
    const done = await apply({ partner: 'acme', reason: 'cessationOfOperation' });
    expect(done.hits).toEqual(told.hits);
    expect(await states()).toEqual(['revoked', 'revoked']);
    expect(await audited(store)).toBe(1);
  });

  test(`more than ${MAX_HITS} certificates are a mistake`, async () => {
    const { store, apply } = await fresh();
    for (let at = 0; at <= MAX_HITS; at += 1_000) {
      await issue(store, ...Array.from({ length: 1_000 }, () => ({ partner: 'all' })));
    }
    await expect(apply({ partner: 'all' })).rejects.toMatchObject({ status: 422 });
  });

  test('a hold is lifted, a revocation is not', async () => {
    const { store, apply, states } = await fresh();
    const [held, revoked] = await issue(store, { partner: 'p' }, { partner: 'p' });
    await expect(apply({ fingerprint: held, action: 'restore' })).rejects.toMatchObject({ status: 404 });
    await apply({ partner: 'p', action: 'hold' });
    expect(await states()).toEqual(['held', 'held']);
    await apply({ fingerprint: revoked, reason: 'keyCompromise' });
    expect((await apply({ partner: 'p', action: 'restore' })).changed).toBe(1);
    expect(await states()).toEqual(['restored', 'revoked']);
    for (const action of ['restore', 'hold'] as const) {
      await expect(apply({ fingerprint: revoked, action })).rejects.toMatchObject({ status: 409 });
    }
    expect((await apply({ fingerprint: revoked, reason: 'superseded' })).changed).toBe(0);
    const row = await store.db.selectFrom('revocations').selectAll().where('state', '=', 'revoked').executeTakeFirst();
    expect(row).toMatchObject({ reason: 'keyCompromise', by: 'tester' });
  });

  test('what was revoked by a bare fingerprint is found again once more is known of it', async () => {
    const { store, apply, states } = await fresh();
    const fingerprint = 'ef'.repeat(32);
    await apply({ fingerprint, action: 'hold' });
    await issue(store, { fingerprint });
    await apply({ fingerprint, action: 'restore' });
    expect(await states()).toEqual(['restored']);
  });

  test('the list has its newest change first, in pages that neither lose nor repeat', async () => {
    const { store, apply, revocations } = await fresh();
    const all = await issue(store, ...Array.from({ length: 7 }, () => ({ partner: 'p' })));
    await apply({ partner: 'p', action: 'hold' });
    await apply({ fingerprint: all[3] as string });
    const got: string[] = [];
    let cursor: string | undefined;
    do {
      const { items, next } = await revocations.page(cursor, 3, {});
      got.push(...items.map(({ fingerprint }) => fingerprint ?? ''));
      cursor = next ?? undefined;
    } while (cursor);
    expect(got[0]).toBe(all[3]);
    expect(new Set(got)).toEqual(new Set(all));
    expect(got).toHaveLength(7);
    await expect(revocations.page('bm9uc2Vuc2U', 3, {})).rejects.toMatchObject({ status: 422 });
    expect((await revocations.page(undefined, 9, { state: 'held', authority: 'devices' })).items).toHaveLength(6);
  });

  test('a process that starts knows everything, and later only what changed', async () => {
    const place = await newPlace();
    const { store, apply } = await fresh(place);
    const [one, two] = await issue(store, { serial: '01' }, { serial: '02' });
    await apply({ fingerprint: one });
    const other = await follow(await place.open());
    expect(other.refused).toEqual(new Set([`${KEY}:01`]));
    other.changes.length = 0;
    await apply({ fingerprint: two, action: 'hold' });
    await apply({ fingerprint: '12'.repeat(32), action: 'hold' });
    await until(() => other.refused.size === 3, 1_000);
    await apply({ fingerprint: two, action: 'restore' });
    await apply({ fingerprint: '12'.repeat(32), action: 'restore' });
    await until(() => other.refused.size === 1, 1_000);
    expect(other.changes.some(change => change.reset || change.revoked.some(({ serial }) => serial === '01'))).toBe(
      false,
    );
    other.flow.stop();
  });

  test('ten thousand and some revocations in one go arrive whole', async () => {
    const place = await newPlace();
    const { store, apply } = await fresh(place);
    const other = await follow(await place.open());
    for (const partner of ['a', 'b']) {
      for (let turn = 0; turn < 6; turn++) await issue(store, ...Array.from({ length: 1_000 }, () => ({ partner })));
      await apply({ partner });
    }
    await until(() => other.refused.size === 12_000, 5_000);
    const late = await follow(await place.open());
    expect(late.refused.size).toBe(12_000);
    late.flow.stop();
    other.flow.stop();
  });

  test('while the store is away what is known stays in force, and what was missed follows', async () => {
    const place = await newPlace();
    const { store, apply } = await fresh(place);
    const [one, two] = await issue(store, { serial: '01' }, { serial: '02' });
    await apply({ fingerprint: one });
    const theirs = await place.open();
    const other = await follow(theirs);
    await store.db.schema.alterTable('revocations').renameTo('gone').execute();
    await other.flow.look();
    await store.write(['revocations'], async () => {});
    await other.flow.look();
    expect(other.refused).toEqual(new Set([`${KEY}:01`]));
    expect(await other.registry.metrics()).toMatch(/portcullis_revocation_read_failures_total [1-9]/);
    await store.db.schema.alterTable('gone').renameTo('revocations').execute();
    await apply({ fingerprint: two });
    await until(() => other.refused.size === 2, 2_000);
    other.flow.stop();
  });

  test('a store that was put back to an older state takes nothing back', async () => {
    const place = await newPlace();
    const { store, apply } = await fresh(place);
    const [one] = await issue(store, { serial: '01' });
    await apply({ fingerprint: one });
    const other = await follow(await place.open());
    await store.db.deleteFrom('revocations').execute();
    await store.db.updateTable('revisions').set({ value: 0 }).where('topic', '=', 'revocations').execute();
    await other.flow.look();
    expect(other.refused.size).toBe(1);
    await apply({ fingerprint: '34'.repeat(32) });
    await until(() => other.refused.size === 2, 2_000);
    other.flow.stop();
  });

  async function fresh(place?: Awaited<ReturnType<typeof newPlace>>) {
    const store = await (place ?? (await newPlace())).open();
    const revocations = new Revocations(store, keysOf);
    const apply = ({ action = 'revoke', reason = 'unspecified', dryRun = false, ...selection }: Asked) =>
      revocations.apply({ selection, action, reason, dryRun, by: 'tester', audit: written });
    const states = async () =>
      (await store.db.selectFrom('revocations').select('state').execute()).map(it => it.state).sort();
    return { store, revocations, apply, states };
  }
});

const written: Audit = async (tx, revisions, change) => {
  await audit(tx, revisions, { ...change, actor: 'tester' });
};

type Asked = Partial<Omit<Revoking, 'selection' | 'by' | 'audit'>> & Revoking['selection'];

interface Change {
  reset?: true;
  revoked: { key_id: string; serial: string }[];
  restored: { key_id: string; serial: string }[];
  revoked_fingerprints: string[];
  restored_fingerprints: string[];
}

/** A process that enforces what a store says. */
async function follow(store: Store) {
  const refused = new Set<string>();
  const changes: Change[] = [];
  const revoke = (text: string) => {
    const change: Change = JSON.parse(text);
    changes.push(change);
    if (change.reset) refused.clear();
    for (const { key_id, serial } of change.revoked) refused.add(`${key_id}:${serial}`);
    for (const { key_id, serial } of change.restored) refused.delete(`${key_id}:${serial}`);
    for (const fingerprint of change.revoked_fingerprints) refused.add(fingerprint);
    for (const fingerprint of change.restored_fingerprints) refused.delete(fingerprint);
  };
  const registry = new Registry();
  const metrics = new RevocationMetrics(registry);
  const flow = new Enforcing({ store, native: { revoke }, log: pino({ level: 'silent' }), metrics });
  await flow.start();
  return { flow, refused, changes, registry };
}

/** Rows as issuing leaves them; answers the fingerprints. */
async function issue(store: Store, ...some: Record<string, unknown>[]): Promise<string[]> {
  const rows = some.map(one => ({
    key_id: KEY,
    serial: randomBytes(16).toString('hex').toUpperCase(),
    fingerprint: randomBytes(32).toString('hex'),
    authority: 'devices',
    generation: 1,
    name: 'device',
    subject: 'CN=device',
    names: '{}',
    profile: 'device',
    partner: null,
    not_before: 0,
    not_after: Date.now() + 90 * DAY_MS,
    issued_at: 0,
    issued_by: 'tester',
    renews: null,
    certificate: '',
    revision: 0,
    ...one,
  }));
  await store.db.insertInto('certificates').values(rows).execute();
  return rows.map(({ fingerprint }) => fingerprint);
}

async function see(store: Store, one: Record<string, unknown>): Promise<string> {
  const fingerprint = randomBytes(32).toString('hex');
  await store.db
    .insertInto('seen')
    .values({
      fingerprint,
      authority: null,
      key_id: null,
      serial: '01',
      subject: 'CN=device',
      issuer: 'CN=issuer',
      not_before: 0,
      not_after: Date.now() + DAY_MS,
      first_seen: 0,
      last_seen: 0,
      requests: 1,
      hosts: '[]',
      ...one,
    })
    .execute();
  return fingerprint;
}

async function audited(store: Store): Promise<number> {
  return (await store.db.selectFrom('audit').select('seq').execute()).length;
}
