// /partners: to whom credentials belong, through the admin API.

import { describe, expect, test } from 'vitest';
import { MAX_PATTERNS, periodOf, secondsOf } from '../../src/manage/partners/shapes.js';
import { keep } from '../../src/manage/pki/issue.js';
import { Pki } from '../../src/manage/pki/service.js';
import type { Store } from '../../src/manage/store/open.js';
import { adminApi } from '../support/admin.js';
import type { FakeClock } from '../support/clock.js';
import { type Callers, callers, issued } from '../support/partners.js';
import { describeStores, type Place, sqlitePlace } from '../support/stores.js';

const DAY_MS = 86_400_000;
const ANY = { headers: { 'if-match': '*' } };
const ACME = { name: 'acme', owner: 'Payments', contact: 'security@acme.example' };
const PRINT = 'ab'.repeat(32);

describeStores('/partners', newPlace => {
  test('makes one with all that ties to it, and the engine is told before the answer', async () => {
    const { ask, here, store } = await fresh(await newPlace());
    const expires_at = iso(Date.now() + 30 * DAY_MS);
    const wanted = {
      ...ACME,
      expires_at,
      certificates: [{ authority: 'devices', subject: 'CN=*,O=Acme' }, { fingerprint: PRINT.toUpperCase() }],
      tokens: [{ configuration: 'customers', claim: 'azp', value: 'acme' }],
      operations: ['listOrders', 'listOrders', 'GET /orders', 'api.test GET /orders'],
      quota: { requests: 1000, period: '3600s' },
    };
    const made = await ask('POST', '/partners', wanted);
    expect(made).toMatchObject({ status: 201 });
    expect(made.headers.get('location')).toBe('/admin/v1/partners/acme');
    expect(made.body).toMatchObject({
      ...{ ...ACME, status: 'active', expires_at, suspended: null, created_by: 'a-admin', warnings: [] },
      certificates: [{ authority: 'devices', subject: 'CN=*,O=Acme' }, { fingerprint: PRINT }],
      operations: ['listOrders', 'GET /orders', 'api.test GET /orders'],
      quota: { requests: 1000, period: '1h' },
    });
    expect(here.known('acme')).toEqual({
      ...{ name: 'acme', suspended: false, expires_at: Date.parse(expires_at) },
      certificates: [{ authority: 'devices', subject: 'CN=*,O=Acme' }, { fingerprint: PRINT }],
      tokens: [{ configuration: 'customers', claim: 'azp', value: 'acme' }],
      operations: ['listOrders', 'GET /orders', 'api.test GET /orders'],
      quota: { requests: 1000, period_s: 3600 },
    });
    const { warnings: _, ...rest } = made.body;
    const nothing = { keys: { live: 0, all: 0 }, certificates: { live: 0, all: 0 }, last_used_at: null };
    const got = await ask('GET', '/partners/acme');
    expect(got.body).toEqual({ ...rest, holds: nothing });
    expect(got.headers.get('etag')).toBe(made.headers.get('etag'));
    expect(await ask('POST', '/partners', wanted)).toMatchObject({ status: 409 });
    expect(await audited(store)).toEqual(['partners.create acme']);
  });

  test('what may be a mistake is taken, and told', async () => {
    const { ask, store } = await fresh(await newPlace());
    await issued(store, { partner: 'acme' });
    const { status, body } = await ask('POST', '/partners', {
      ...ACME,
      certificates: [{ authority: 'devcies' }, { subject: 'CN=acme*' }],
      tokens: [{ configuration: 'custmers' }, { claim: 'azp', value: 'x' }],
      operations: ['listOrdres'],
    });
    expect(status).toBe(201);
    expect(body.warnings).toEqual([
      'No authority is called devcies: nothing fits until there is one.',
      expect.stringContaining('whichever authority'),
      'No token configuration is called custmers.',
      expect.stringContaining('whichever issuer'),
      'No operation listOrdres is described.',
      'Certificates that were issued with this word are its own from now on: 1.',
    ]);
  });

  test('is changed by who knows its version: lists are replaced, what is not named stays', async () => {
    const { ask, here, store } = await fresh(await newPlace());
    const made = await ask('POST', '/partners', { ...ACME, operations: ['listOrders'], quota: QUOTA });
    const etag = { headers: { 'if-match': made.headers.get('etag') ?? '' } };
    expect((await ask('PATCH', '/partners/acme', { owner: 'x' })).status).toBe(428);
    const expires_at = iso(Date.now() + DAY_MS);
    const changed = await ask('PATCH', '/partners/acme', { owner: 'Orders', expires_at }, etag);
    expect(changed.body).toMatchObject({ owner: 'Orders', contact: ACME.contact, expires_at, quota: QUOTA });
    expect((await ask('PATCH', '/partners/acme', { owner: 'late' }, etag)).status).toBe(412);
    const open = await ask('PATCH', '/partners/acme', { operations: [], expires_at: null, quota: null }, ANY);
    expect(open.body).toMatchObject({ operations: [], expires_at: null, quota: null });
    await soon(() => here.known('acme')?.operations.length === 0);
    const { before, after } = await lastEntry(store);
    expect([before.operations, after.operations]).toEqual([['listOrders'], []]);
  });

  test('is suspended without having been read, and resumed by who has read why', async () => {
    const { ask, here, store } = await fresh(await newPlace());
    await ask('POST', '/partners', ACME);
    const suspended = await ask('POST', '/partners/acme/suspend', { why: 'keys on a forum' });
    expect(suspended).toMatchObject({
      status: 200,
      body: { status: 'suspended', suspended: { why: 'keys on a forum' } },
    });
    expect(here.known('acme')?.suspended).toBe(true);
    const again = await ask('POST', '/partners/acme/suspend', { why: 'and another' });
    expect(again.body.suspended).toEqual({ at: suspended.body.suspended.at, why: 'and another' });
    const stale = { headers: { 'if-match': suspended.headers.get('etag') ?? '' } };
    expect((await ask('POST', '/partners/acme/resume', undefined, stale)).status).toBe(412);
    const known = { headers: { 'if-match': again.headers.get('etag') ?? '' } };
    expect(await ask('POST', '/partners/acme/resume', undefined, known)).toMatchObject({
      status: 200,
      body: { status: 'active', suspended: null },
    });
    expect((await ask('POST', '/partners/acme/resume', undefined, ANY)).status).toBe(409);
    await soon(() => here.known('acme')?.suspended === false);
    expect(await audited(store)).toEqual([
      ...['partners.create acme', 'partners.suspend acme', 'partners.suspend acme', 'partners.resume acme'],
    ]);
  });

  test('nothing is issued for one that is suspended or expired; a word that nobody is called by is fine', async () => {
    const { ask, store, clock } = await fresh(await newPlace());
    await ask('POST', '/partners', { ...ACME, expires_at: iso(clock.now() + DAY_MS) });
    const pki = new Pki({ store, run: async () => '', log: {} as never, now: () => clock.now() });
    const keeping = (partner: string) =>
      keep(pki, [{ ...BARE_ROW, partner, fingerprint: partner, serial: partner }], async () => {});
    await store.db.insertInto('authorities').values(AUTHORITY).execute();
    await keeping('stranger');
    await keeping('acme');
    await ask('POST', '/partners/acme/suspend', { why: 'x' });
    await expect(keeping('acme')).rejects.toMatchObject({ status: 409, title: 'The partner acme is suspended.' });
    await ask('POST', '/partners/acme/resume', undefined, ANY);
    clock.jump(2 * DAY_MS);
    await expect(keeping('acme')).rejects.toMatchObject({ status: 409, title: 'The partner acme has expired.' });
  });

  test('goes only when nothing live is left of it', async () => {
    const { ask, here, store } = await fresh(await newPlace());
    await ask('POST', '/partners', ACME);
    const key = (await ask('POST', '/keys', { name: 'k', partner: 'acme' })).body;
    const [one, two] = await issued(store, { partner: 'acme', serial: '01' }, { partner: 'acme' });
    await issued(store, { partner: 'acme', not_after: Date.now() - DAY_MS });
    expect((await ask('GET', '/partners/acme')).body.holds).toEqual({
      keys: { live: 1, all: 1 },
      certificates: { live: 2, all: 3 },
      last_used_at: null,
    });
    expect(await ask('DELETE', '/partners/acme', undefined, ANY)).toMatchObject({
      status: 409,
      body: { keys: 1, certificates: 2, title: 'acme still holds 1 keys and 2 certificates.' },
    });
    await revoke(store, { id: `${'aa'.repeat(32)}:01`, state: 'revoked' });
    await revoke(store, { id: `sha256:${two}`, state: 'held' });
    expect((await ask('GET', '/partners/acme')).body.holds.certificates).toEqual({ live: 1, all: 3 });
    await revoke(store, { id: `sha256:${two}`, state: 'revoked' });
    await ask('POST', `/keys/${key.id}/revoke`, {}, ANY);
    expect((await ask('DELETE', '/partners/acme', undefined, { headers: { 'if-match': '"0"' } })).status).toBe(412);
    expect((await ask('DELETE', '/partners/acme', undefined, ANY)).status).toBe(204);
    expect((await ask('GET', '/partners/acme')).status).toBe(404);
    await soon(() => here.known('acme') === undefined);
    expect(one).toBeDefined();
  });

  test('was last used when the last of its keys and certificates was', async () => {
    const { ask, store } = await fresh(await newPlace());
    const [mine] = await issued(store, { partner: 'acme' });
    await ask('POST', '/partners', { ...ACME, certificates: [{ fingerprint: PRINT }] });
    const key = (await ask('POST', '/keys', { name: 'k', partner: 'acme' })).body;
    const used = async () => (await ask('GET', '/partners/acme')).body.holds.last_used_at;
    await see(store, 'cd'.repeat(32), 4_000);
    expect(await used()).toBeNull();
    await see(store, mine ?? '', 1_000);
    expect(await used()).toBe(iso(1_000));
    await see(store, PRINT, 2_000);
    expect(await used()).toBe(iso(2_000));
    await store.db.updateTable('keys').set({ last_used_at: 3_000 }).where('id', '=', key.id).execute();
    expect(await used()).toBe(iso(3_000));
  });

  test('are listed by name, in pages, and by how they stand', async () => {
    const { ask, clock } = await fresh(await newPlace());
    for (const name of ['delta', 'Alpha', 'charlie', 'b_1', 'b-1']) await ask('POST', '/partners', { ...ACME, name });
    await ask('PATCH', '/partners/delta', { expires_at: iso(clock.now() + DAY_MS) }, ANY);
    await ask('POST', '/partners/charlie/suspend', { why: 'x' });
    clock.jump(2 * DAY_MS);
    const names: string[] = [];
    let cursor = '';
    do {
      const { body } = await ask('GET', `/partners?limit=2${cursor}`);
      names.push(...body.items.map(({ name }: { name: string }) => name));
      cursor = body.next === null ? '' : `&cursor=${body.next}`;
    } while (cursor !== '');
    expect(names).toEqual(['Alpha', 'b-1', 'b_1', 'charlie', 'delta']);
    for (const [status, wanted] of [
      ['active', ['Alpha', 'b-1', 'b_1']],
      ['suspended', ['charlie']],
      ['expired', ['delta']],
    ] as const) {
      const { body } = await ask('GET', `/partners?status=${status}`);
      expect(body.items.map(({ name }: { name: string }) => name)).toEqual(wanted);
    }
  });

  test('what two would claim is refused where it can be seen', async () => {
    const { ask, store } = await fresh(await newPlace());
    const [theirs] = await issued(store, { partner: 'acme' });
    const first = { authority: 'devices', subject: 'CN=acme*' };
    const azp = { configuration: 'customers', claim: 'azp', value: 'acme' };
    await ask('POST', '/partners', { ...ACME, certificates: [{ fingerprint: PRINT }, first], tokens: [azp] });
    await ask('POST', '/partners', { ...ACME, name: 'other' });
    const claims: [object, string][] = [
      [{ certificates: [{ authority: 'devices' }, { fingerprint: PRINT, authority: 'x' }] }, '/certificates/1'],
      [{ certificates: [first] }, '/certificates/0'],
      [{ tokens: [azp] }, '/tokens/0'],
      [{ certificates: [{ fingerprint: theirs }] }, '/certificates/0'],
    ];
    for (const [claim, pointer] of claims) {
      const refused = { status: 409, body: { title: "What it claims is acme's.", errors: [{ pointer }] } };
      expect(await ask('POST', '/partners', { ...ACME, name: 'third', ...claim })).toMatchObject(refused);
      expect(await ask('PATCH', '/partners/other', claim, ANY)).toMatchObject(refused);
    }
    // Its own it may name twice.
    expect((await ask('PATCH', '/partners/acme', { certificates: [first, { fingerprint: theirs }] }, ANY)).status).toBe(
      200,
    );
    const [word] = await issued(store, { partner: 'late' });
    await ask('PATCH', '/partners/other', { certificates: [{ fingerprint: word }] }, ANY);
    expect(await ask('POST', '/partners', { ...ACME, name: 'late' })).toMatchObject({
      status: 409,
      body: { title: 'other names a certificate by its fingerprint that was issued for late.' },
    });
  });

  test('rotates all live keys at once, each beside its old secret, and tells what is to be renewed', async () => {
    const { ask, store } = await fresh(await newPlace());
    await ask('POST', '/partners', ACME);
    await ask('POST', '/partners', { ...ACME, name: 'other' });
    const [a, b, dead] = await Promise.all(
      ['a', 'b', 'dead'].map(async name => (await ask('POST', '/keys', { name, partner: 'acme' })).body),
    );
    await ask('POST', '/keys', { name: 'theirs', partner: 'other' });
    await ask('POST', `/keys/${dead.id}/revoke`, {}, ANY);
    const [valid] = await issued(store, { partner: 'acme', name: 'pump-1' });
    await issued(store, { partner: 'acme', not_after: Date.now() - DAY_MS }, { partner: 'other' });
    const { status, body } = await ask('POST', '/partners/acme/rotate', { overlap: '12h' });
    expect(status).toBe(200);
    expect(new Set(body.keys.map(({ id }: { id: string }) => id))).toEqual(new Set([a.id, b.id]));
    for (const { key, secrets } of body.keys) {
      expect(key).toMatch(/^pck_/);
      expect([a.key, b.key]).not.toContain(key);
      expect(secrets).toMatchObject([{ valid_until: null }, { valid_until: expect.any(String) }]);
    }
    expect(body.certificates).toMatchObject([{ fingerprint: valid, name: 'pump-1', authority: 'devices' }]);
    expect(body.more_certificates).toBe(false);
    expect((await audited(store)).at(-1)).toBe('partners.rotate acme');
    // A third secret is no one's: all or none.
    expect(await ask('POST', '/partners/acme/rotate', {})).toMatchObject({ status: 409 });
    expect((await ask('POST', '/partners/acme/rotate', { end_oldest: true })).status).toBe(200);
    expect((await ask('POST', '/partners/nobody/rotate', {})).status).toBe(404);
    const kept = JSON.stringify(await store.db.selectFrom('audit').selectAll().execute());
    expect(kept).not.toContain('pck_');
  });
});

describe('what is no partner', () => {
  const refused: [string, number, object][] = [
    ['without an owner', 400, { owner: undefined }],
    ['with an empty contact', 400, { contact: '' }],
    ['with a contact of two lines', 422, { contact: 'a\nb' }],
    ['with an owner beyond bounds', 422, { owner: 'x'.repeat(257) }],
    ['called by a path', 400, { name: '../x' }],
    ['called too long', 400, { name: 'x'.repeat(65) }],
    ['with an end in the past', 422, { expires_at: '2020-01-01T00:00:00Z' }],
    ['with a pattern that says nothing', 422, { certificates: [{}] }],
    ['with an empty subject', 400, { certificates: [{ subject: '' }] }],
    ['with any subject', 422, { certificates: [{ subject: '*' }] }],
    ['with any common name', 422, { certificates: [{ subject: 'CN=*' }] }],
    [
      'with any subject of any organisation',
      422,
      { certificates: [{ authority: 'devices', subject: '*,O=*,2.5.4.5=*' }] },
    ],
    ['with a subject of no attribute', 422, { certificates: [{ subject: 'pump' }] }],
    ['with a star of more than a value', 422, { certificates: [{ subject: '*O=Acme' }] }],
    ['with any name', 422, { certificates: [{ san: '*.*' }] }],
    ['with half a fingerprint', 400, { certificates: [{ fingerprint: 'abcd' }] }],
    ['with more patterns than anybody reads', 400, { certificates: Array(MAX_PATTERNS + 1).fill({ authority: 'x' }) }],
    ['with an unknown member', 400, { certificates: [{ issuer: 'x' }] }],
    ['with a claim of any value', 422, { tokens: [{ claim: 'azp' }] }],
    ['with a value of no claim', 422, { tokens: [{ configuration: 'customers', value: 'x' }] }],
    ['with a token that says nothing', 422, { tokens: [{}] }],
    ['with a quota of nothing', 400, { quota: { requests: 0, period: '1h' } }],
    ['with a quota for ever', 400, { quota: { requests: 1, period: '1y' } }],
    ['with a quota of more than a year', 422, { quota: { requests: 1, period: '367d' } }],
  ];
  test.each(refused)('%s', async (_, status, change) => {
    const { ask, here } = await fresh(await sqlitePlace());
    expect((await ask('POST', '/partners', { ...ACME, ...change })).status).toBe(status);
    expect(here.told.at(-1)).toEqual([]);
  });

  test('is made by a viewer', async () => {
    const { ask } = await fresh(await sqlitePlace());
    expect((await ask('POST', '/partners', ACME, { role: 'viewer' })).status).toBe(403);
    expect((await ask('GET', '/partners', undefined, { role: 'viewer' })).status).toBe(200);
  });
});

test.each([
  ['90s', 90, '90s'],
  ['60s', 60, '1m'],
  ['24h', 86_400, '1d'],
  ['36h', 129_600, '36h'],
])('the period %s is %d seconds, and %s', (written, seconds, shown) => {
  expect(secondsOf(written)).toBe(seconds);
  expect(periodOf(seconds)).toBe(shown);
});

const QUOTA = { requests: 10, period: '1m' };
const BARE_ROW = {
  ...{ key_id: 'aa'.repeat(32), serial: '01', authority: 'devices', generation: 1, name: 'x', subject: 'CN=x' },
  ...{ names: '{}', profile: 'client', not_before: 0, not_after: 9e12, issued_at: 0, issued_by: 'x', renews: null },
  ...{ certificate: '', revision: 0 },
};
const AUTHORITY = {
  ...{ name: 'devices', kind: 'hosted' as const, state: 'active' as const, created_at: 0 },
  ...{ settings: '{}', revocation: '{}', version: 1 },
};

async function fresh(place: Place) {
  let here: Callers | undefined;
  const admin = await adminApi({
    place,
    capabilities: [
      (api, store) => {
        here = callers(store);
        here.routes(api);
      },
    ],
  });
  if (!here) throw new Error('no capability was added');
  await here.partners.start();
  const clock = here.clock as FakeClock;
  // What is gathered since the start is over.
  await clock.advance(1_000, []);
  return { ...admin, here, clock };
}

/** The engine's clock stands still: what is gathered comes a quarter of a second later. */
async function soon(fits: () => boolean): Promise<void> {
  await expect.poll(fits, { timeout: 2_000 }).toBe(true);
}

async function audited(store: Store): Promise<string[]> {
  const rows = await store.db
    .selectFrom('audit')
    .select(['action', 'target'])
    .where('action', 'like', 'partners.%')
    .orderBy('seq')
    .execute();
  return rows.map(({ action, target }) => `${action} ${target}`);
}

async function lastEntry(store: Store) {
  const { before, after } = await store.db
    .selectFrom('audit')
    .select(['before', 'after'])
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirstOrThrow();
  return { before: JSON.parse(before ?? ''), after: JSON.parse(after ?? '') };
}

async function revoke(store: Store, row: { id: string; state: 'revoked' | 'held' }): Promise<void> {
  await store.db.deleteFrom('revocations').where('id', '=', row.id).execute();
  const none = { key_id: null, serial: null, fingerprint: null, authority: null };
  await store.db
    .insertInto('revocations')
    .values({ ...row, ...none, reason: 'unspecified', at: 0, by: 'tester', revision: 1 })
    .execute();
}

async function see(store: Store, fingerprint: string, at: number): Promise<void> {
  const row = { fingerprint, authority: 'devices', key_id: 'aa', serial: '01', subject: 'CN=x', issuer: 'CN=y' };
  await store.db
    .insertInto('seen')
    .values({ ...row, not_before: 0, not_after: 1, first_seen: 0, last_seen: at, requests: 1, hosts: '[]' })
    .execute();
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
