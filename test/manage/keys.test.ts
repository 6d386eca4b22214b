// /keys: API keys and service tokens through the admin API.

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { keyId } from '../../src/manage/keys/form.js';
import { Keys } from '../../src/manage/keys/keys.js';
import { readNetwork } from '../../src/manage/keys/networks.js';
import { keyRoutes } from '../../src/manage/keys/routes.js';
import { adminApi } from '../support/admin.js';
import { FakeClock } from '../support/clock.js';
import { describeStores, type Place, sqlitePlace } from '../support/stores.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describeStores('/keys', newPlace => {
  test('makes one, shows it once, and neither store nor audit log have it', async () => {
    const { ask, store } = await fresh(await newPlace());
    const made = await ask('POST', '/keys', { name: 'billing', scopes: ['orders:read', 'orders:write'] });
    expect(made.status).toBe(201);
    const { key, ...rest } = made.body;
    expect(keyId(key)).toBe(rest.id);
    expect(rest).toMatchObject({
      ...{ name: 'billing', kind: 'key', partner: null, state: 'active', scopes: ['orders:read', 'orders:write'] },
      ...{ created_by: 'a-admin', last_used_at: null, secrets: [{ valid_until: null }] },
    });
    expect(made.headers.get('location')).toBe(`/admin/v1/keys/${rest.id}`);
    const got = await ask('GET', `/keys/${rest.id}`);
    expect(got.body).toEqual(rest);
    expect(got.headers.get('etag')).toBe('"1"');
    const kept = JSON.stringify([
      await store.db.selectFrom('keys').selectAll().execute(),
      await store.db.selectFrom('key_secrets').selectAll().execute(),
      await store.db.selectFrom('audit').selectAll().execute(),
    ]);
    expect(kept).not.toContain(key.slice(17, 60));
    expect(await store.db.selectFrom('key_secrets').selectAll().execute()).toMatchObject([
      { digest: createHash('sha256').update(key).digest('hex'), key_id: rest.id, not_after: null },
    ]);
    expect(await store.db.selectFrom('audit').select(['actor', 'action', 'target']).execute()).toEqual([
      { actor: 'a-admin', action: 'keys.create', target: rest.id },
    ]);
  });

  test('of kind service is a client id and a client secret', async () => {
    const { ask } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'robot', kind: 'service' });
    expect(body.client_id).toBe(body.id);
    expect(keyId(body.client_secret)).toBe(body.id);
    expect(body).not.toHaveProperty('key');
    const rotated = await ask('POST', `/keys/${body.id}/rotate`, {}, ANY);
    expect(keyId(rotated.body.client_secret)).toBe(body.id);
  });

  test('ends after 365 days unless it is said when, and never only when that is said', async () => {
    const { ask, clock } = await fresh(await newPlace());
    const end = async (more: object) => {
      const { body } = await ask('POST', '/keys', { name: 'k', ...more });
      return body.expires_at === null ? null : Date.parse(body.expires_at) - clock.now();
    };
    expect(await end({})).toBe(365 * DAY_MS);
    expect(await end({ lifetime: '12h' })).toBe(12 * HOUR_MS);
    expect(await end({ expires_at: new Date(clock.now() + 5 * DAY_MS).toISOString() })).toBe(5 * DAY_MS);
    expect(await end({ allow_no_expiry: true })).toBeNull();
  });

  test('belongs to a partner that there is, and to no other', async () => {
    const { ask, store } = await fresh(await newPlace());
    const stranger = await ask('POST', '/keys', { name: 'k', partner: 'acme' });
    expect(stranger).toMatchObject({ status: 422, body: { errors: [{ pointer: '/partner' }] } });
    await addPartner(store, 'acme');
    expect((await ask('POST', '/keys', { name: 'k', partner: 'acme' })).body.partner).toBe('acme');
    await ask('POST', '/keys', { name: 'other' });
    const { body } = await ask('GET', '/keys?partner=acme');
    expect(body.items).toMatchObject([{ name: 'k' }]);
  });

  test('is changed with the version that was read, and keeps what is not named', async () => {
    const { ask, store } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'k', scopes: ['a'], networks: ['192.0.2.0/24'] });
    const path = `/keys/${body.id}`;
    expect((await ask('PATCH', path, { scopes: [] })).status).toBe(428);
    const changed = await ask('PATCH', path, { scopes: ['b', 'b'], hosts: ['api.example.com'] }, match('"1"'));
    expect(changed).toMatchObject({
      status: 200,
      body: { name: 'k', scopes: ['b'], networks: ['192.0.2.0/24'], hosts: ['api.example.com'] },
    });
    expect(changed.body.expires_at).toBe(body.expires_at);
    expect((await ask('PATCH', path, { scopes: [] }, match('"1"'))).status).toBe(412);
    const { before, after } = await store.db
      .selectFrom('audit')
      .select(['before', 'after'])
      .where('action', '=', 'keys.change')
      .executeTakeFirstOrThrow();
    expect([JSON.parse(before ?? '').scopes, JSON.parse(after ?? '').scopes]).toEqual([['a'], ['b']]);
  });

  test('rotates: two secrets count until the deadline, then the new one alone', async () => {
    const { ask, clock } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'k' });
    const rotated = await ask('POST', `/keys/${body.id}/rotate`, { overlap: '12h' }, match('"1"'));
    expect(keyId(rotated.body.key)).toBe(body.id);
    expect(rotated.body.key).not.toBe(body.key);
    expect(rotated.body.secrets).toMatchObject([
      { valid_until: null },
      { valid_until: iso(clock.now() + 12 * HOUR_MS) },
    ]);
    const which = async (key: string) =>
      (await ask('POST', '/keys/identify', { id: body.id, digest: sha256(key) })).body.secret;
    expect(await which(rotated.body.key)).toBe('current');
    expect(await which(body.key)).toBe('previous');
    clock.jump(13 * HOUR_MS);
    expect(await which(body.key)).toBe('none');
    expect((await ask('GET', `/keys/${body.id}`)).body.secrets).toHaveLength(1);
  });

  test('a third rotation before the deadline is refused, unless it ends the oldest or all before it', async () => {
    const { ask, clock, store } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'k' });
    const rotate = (wanted: object) => ask('POST', `/keys/${body.id}/rotate`, wanted, ANY);
    await rotate({ overlap: '12h' });
    const refused = await rotate({ overlap: '1h' });
    expect(refused.status).toBe(409);
    expect(refused.body.title).toContain(iso(clock.now() + 12 * HOUR_MS));
    const pushed = await rotate({ overlap: '1h', end_oldest: true });
    expect(pushed.body.secrets).toMatchObject([{ valid_until: null }, { valid_until: iso(clock.now() + HOUR_MS) }]);
    expect((await rotate({ overlap: '0h' })).body.secrets).toMatchObject([{ valid_until: null }]);
    expect((await rotate({ deadline: iso(clock.now() + DAY_MS) })).body.secrets).toHaveLength(2);
    // What ended at once counts by nobody's clock any more.
    expect(await store.db.selectFrom('key_secrets').selectAll().execute()).toHaveLength(2);
    const ended = await ask('PATCH', `/keys/${body.id}`, { end_previous: true }, ANY);
    expect(ended.body.secrets).toMatchObject([{ valid_until: null }]);
  });

  test('a deadline that was set is never moved further away', async () => {
    const { ask, clock, store } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'k' });
    await ask('POST', `/keys/${body.id}/rotate`, { overlap: '1h' }, ANY);
    clock.jump(2 * HOUR_MS);
    await ask('POST', `/keys/${body.id}/rotate`, { overlap: '0h' }, ANY);
    await ask('PATCH', `/keys/${body.id}`, { end_previous: true }, ANY);
    const ends = await store.db.selectFrom('key_secrets').select('not_after').execute();
    expect(ends.every(({ not_after }) => not_after === null || not_after <= clock.now())).toBe(true);
  });

  test('an expired one is rotated only with a new end, a revoked one not at all', async () => {
    const { ask, clock } = await fresh(await newPlace());
    const { body } = await ask('POST', '/keys', { name: 'k', lifetime: '1h' });
    clock.jump(2 * HOUR_MS);
    expect((await ask('GET', `/keys/${body.id}`)).body.state).toBe('expired');
    expect((await ask('POST', `/keys/${body.id}/rotate`, {}, ANY)).status).toBe(409);
    const again = await ask('POST', `/keys/${body.id}/rotate`, { lifetime: '90d' }, ANY);
    expect(again.body.state).toBe('active');
    const revoked = await ask('POST', `/keys/${body.id}/revoke`, { why: 'left the company' }, ANY);
    expect(revoked.body).toMatchObject({ state: 'revoked', revoked_by: 'a-admin', revoked_why: 'left the company' });
    for (const [method, path] of [
      ['POST', `/keys/${body.id}/rotate`],
      ['PATCH', `/keys/${body.id}`],
    ] as const) {
      expect((await ask(method, path, {}, ANY)).status).toBe(409);
    }
    clock.jump(HOUR_MS);
    const twice = await ask('POST', `/keys/${body.id}/revoke`, {}, ANY);
    expect(twice.body).toMatchObject({ revoked_at: revoked.body.revoked_at, revoked_why: 'left the company' });
  });

  test('lists the newest first, in pages that neither skip nor repeat, by state, name and use', async () => {
    const { ask, clock, store } = await fresh(await newPlace());
    const ids: string[] = [];
    for (const name of ['a-1', 'a-2', 'b-1', 'b-2', 'b-3']) {
      // Two of one moment.
      if (name !== 'a-2') clock.jump(1_000);
      ids.push((await ask('POST', '/keys', { name, lifetime: name === 'b-3' ? '1h' : '90d' })).body.id);
    }
    await ask('POST', `/keys/${ids[2]}/revoke`, {}, ANY);
    clock.jump(2 * HOUR_MS);
    const names: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await ask('GET', `/keys?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`);
      names.push(...body.items.map((one: { name: string }) => one.name));
      cursor = body.next;
    } while (cursor !== null);
    expect(names.slice(0, 3)).toEqual(['b-3', 'b-2', 'b-1']);
    expect(names.slice(3).sort()).toEqual(['a-1', 'a-2']);
    const found = async (query: string) =>
      (await ask('GET', `/keys?${query}`)).body.items.map((one: { name: string }) => one.name).sort();
    expect(await found('state=active')).toEqual(['a-1', 'a-2', 'b-2']);
    expect(await found('state=expired')).toEqual(['b-3']);
    expect(await found('state=revoked')).toEqual(['b-1']);
    expect(await found('name=a-')).toEqual(['a-1', 'a-2']);
    expect(await found('kind=service')).toEqual([]);
    await store.db.updateTable('keys').set({ last_used_at: clock.now() }).where('name', '=', 'a-1').execute();
    expect(await found(`state=active&unused_since=${iso(clock.now() - HOUR_MS)}`)).toEqual(['a-2', 'b-2']);
    expect((await ask('GET', '/keys?nam=a')).status).toBe(400);
  });
});

describe('/keys refuses', () => {
  const long = (count: number, one: string) => Array.from({ length: count }, (_, at) => `${one}${at}`);
  const cases: [what: string, wanted: object, pointer: string][] = [
    ['a scope with a space', { scopes: ['orders read'] }, '/scopes/0'],
    ['a scope with a quote', { scopes: ['a', '"'] }, '/scopes/1'],
    ['an empty scope', { scopes: [''] }, '/scopes/0'],
    ['more scopes than 64', { scopes: long(65, 's') }, '/scopes'],
    ['a name with a line break', { name: 'a\nb' }, '/name'],
    ['a name with `=`', { name: 'CN=admin' }, '/name'],
    ['what is no fingerprint', { certificates: ['ab'] }, '/certificates/0'],
    ['what is no network', { networks: ['example.com'] }, '/networks/0'],
    ['a network with bits behind its prefix', { networks: ['192.0.2.7/24'] }, '/networks/0'],
    ['every address', { networks: ['0.0.0.0/0'] }, '/networks/0'],
    ['a host that is not served', { hosts: ['api.example.com', 'www.example.com'] }, '/hosts/1'],
    ['an end in the past', { expires_at: '2020-01-01T00:00:00Z' }, '/expires_at'],
    ['an end in a hundred years', { expires_at: '2126-01-01T00:00:00Z' }, '/expires_at'],
    ['a lifetime of ten years', { lifetime: '10y' }, '/lifetime'],
    ['two ends', { lifetime: '1d', allow_no_expiry: true }, '/lifetime'],
    ['`allow_no_expiry: false`', { allow_no_expiry: false }, '/allow_no_expiry'],
    ['another kind', { kind: 'admin' }, '/kind'],
  ];
  test.each(cases)('%s', async (_, wanted, pointer) => {
    const { ask } = await fresh(await sqlitePlace());
    const answer = await ask('POST', '/keys', { name: 'k', ...wanted });
    expect([400, 422]).toContain(answer.status);
    expect(answer.body.errors[0].pointer).toBe(pointer);
  });

  test('whoever may only look, and an id that is none', async () => {
    const { ask } = await fresh(await sqlitePlace());
    const { body } = await ask('POST', '/keys', { name: 'k' });
    const viewer = { role: 'viewer' as const, ...ANY };
    expect((await ask('GET', '/keys', undefined, viewer)).status).toBe(200);
    expect((await ask('POST', '/keys', { name: 'k' }, viewer)).status).toBe(403);
    for (const what of ['rotate', 'revoke']) {
      expect((await ask('POST', `/keys/${body.id}/${what}`, {}, viewer)).status).toBe(403);
    }
    expect((await ask('GET', '/keys/000000000000')).status).toBe(404);
    expect((await ask('GET', '/keys/first')).status).toBe(400);
  });

  test('a deadline beside an overlap, one in the past, and one too far ahead', async () => {
    const { ask, clock } = await fresh(await sqlitePlace());
    const { body } = await ask('POST', '/keys', { name: 'k' });
    for (const wanted of [
      { overlap: '1h', deadline: iso(clock.now() + HOUR_MS) },
      { deadline: iso(clock.now() - HOUR_MS) },
      { deadline: iso(clock.now() + 91 * DAY_MS) },
      { overlap: '91d' },
    ]) {
      expect([400, 422]).toContain((await ask('POST', `/keys/${body.id}/rotate`, wanted, ANY)).status);
    }
  });
});

describe('a network', () => {
  const good: [written: string, network: string][] = [
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['192.0.2.7', '192.0.2.7/32'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['172.16.0.0/12', '172.16.0.0/12'],
    ['255.255.255.255/32', '255.255.255.255/32'],
    ['128.0.0.0/1', '128.0.0.0/1'],
    ['2001:DB8::/32', '2001:db8::/32'],
    ['2001:db8:0:0::1', '2001:db8::1/128'],
    ['fe80::/10', 'fe80::/10'],
    ['2001:db8::8000:0:0:0/65', '2001:db8:0:0:8000::/65'],
  ];
  test.each(good)('%s is %s', (written, network) => {
    expect(readNetwork(written)).toEqual({ network });
    expect(readNetwork(network)).toEqual({ network });
  });

  const bad = ['', '192.0.2.0/33', '192.0.2.0/-1', '192.0.2.0/', '192.0.2.0/24/8', '192.0.2.1/24', '192.0.2/24'];
  bad.push('::/0', '2001:db8::1/32', '::ffff:192.0.2.1', 'fe80::1%eth0', '2001:db8::/129', '0x7f.1', '192.0.2.0/1e1');
  test.each(bad)('%s is none', written => {
    expect(readNetwork(written)).toHaveProperty('fault');
  });
});

const ANY = match('*');

function match(etag: string) {
  return { headers: { 'if-match': etag } };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

async function fresh(place: Place) {
  const clock = new FakeClock();
  const hosts = () => ['api.example.com', '*.example.org'];
  const admin = await adminApi({
    place,
    capabilities: [(api, store) => keyRoutes(api, new Keys({ store, hosts, now: () => clock.now() }))],
  });
  return { ...admin, clock };
}

async function addPartner(store: Awaited<ReturnType<typeof adminApi>>['store'], name: string): Promise<void> {
  await store.db
    .insertInto('partners')
    .values({
      ...{ name, owner: 'x', contact: 'x', expires_at: null, suspended_at: null, suspended_why: null },
      ...{ certificates: '[]', tokens: '[]', operations: '[]', quota: null },
      ...{ created_at: 0, created_by: 'x', version: 1, revision: 1 },
    })
    .execute();
}
