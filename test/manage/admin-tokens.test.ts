import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { firstToken } from '../../src/manage/admin/first-token.js';
import { addToken, makeToken, Tokens, tokenId } from '../../src/manage/admin/tokens.js';
import { adminApi } from '../support/admin.js';
import { describeStores } from '../support/stores.js';

describe('a token', () => {
  test('is recognised, tells its row and holds 256 random bits', () => {
    const { id, token } = makeToken();
    expect(token).toMatch(/^pct_[0-9a-f]{12}_[0-9A-Za-z]{43}_[0-9a-f]{8}$/);
    expect(tokenId(token)).toBe(id);
    expect(makeToken().token).not.toBe(token);
  });

  test('with a typing error is no token', () => {
    const { token } = makeToken();
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...'0aZ_-'), (at, digit) => {
        const typed = token.slice(0, at) + digit + token.slice(at + 1);
        expect(tokenId(typed) === null).toBe(typed !== token);
      }),
    );
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => tokenId(text) === null));
  });
});

describeStores('tokens', newPlace => {
  const open = async () => (await newPlace()).open();
  const add = (store: Awaited<ReturnType<typeof open>>, expiresAt: number | null = null) =>
    store.write(['tokens'], tx => addToken(tx, { name: 'ci', role: 'operator', expiresAt, createdBy: 'test' }));

  test('speaks for its holder until it is revoked, in every process', async () => {
    const place = await newPlace();
    const [here, there] = [await place.open(), await place.open()];
    const [tokens, others] = [new Tokens(here), new Tokens(there)];
    const { token, row } = await add(here);
    expect(await tokens.verify(token)).toEqual({ id: row.id, name: 'ci', role: 'operator' });
    expect(await others.verify(token)).toMatchObject({ name: 'ci' });
    expect(others.remembered(token)).toMatchObject({ name: 'ci' });
    await here.write(['tokens'], tx =>
      tx.updateTable('tokens').set({ revoked_at: Date.now() }).where('id', '=', row.id).execute(),
    );
    await expect.poll(() => others.remembered(token), { timeout: 1_000 }).toBeNull();
    expect(await others.verify(token)).toBe('revoked');
    await tokens.close();
    await others.close();
  });

  test('is refused when it is unknown, mistyped or too old', async () => {
    const store = await open();
    const tokens = new Tokens(store);
    const { token } = await add(store, Date.now() - 1);
    expect(await tokens.verify(token)).toBe('expired');
    expect(await tokens.verify(makeToken().token)).toBe('unknown');
    expect(await tokens.verify(`${token.slice(0, -1)}g`)).toBe('malformed');
    expect(tokens.remembered(token)).toBeNull();
    await tokens.close();
  });

  test('of another secret in a known row is refused', async () => {
    const store = await open();
    const tokens = new Tokens(store);
    const { row } = await add(store);
    const other = makeToken();
    await store.db.updateTable('tokens').set({ id: other.id }).where('id', '=', row.id).execute();
    expect(await tokens.verify(other.token)).toBe('unknown');
    await tokens.close();
  });

  test('is kept as its hash only, and its last use is written in batches', async () => {
    const store = await open();
    const tokens = new Tokens(store);
    const { token, row } = await add(store);
    await tokens.verify(token);
    const kept = await store.db.selectFrom('tokens').selectAll().executeTakeFirstOrThrow();
    expect(JSON.stringify(kept)).not.toContain(token.slice(17, 40));
    expect(kept.last_used_at).toBeNull();
    await tokens.writeUses();
    const used = await store.db.selectFrom('tokens').select('last_used_at').where('id', '=', row.id).executeTakeFirst();
    expect(used?.last_used_at).toBeGreaterThan(Date.now() - 10_000);
    await tokens.close();
  });

  test('of an empty store is made once, however many start on it', async () => {
    const place = await newPlace();
    const stores = [await place.open(), await place.open(), await place.open()];
    const made = (await Promise.all(stores.map(firstToken))).filter(token => token !== null);
    expect(made).toHaveLength(1);
    const [store] = stores;
    if (!store) throw new Error('no store');
    const tokens = new Tokens(store);
    expect(await tokens.verify(made[0] as string)).toMatchObject({ name: 'first', role: 'admin' });
    expect(await store.db.selectFrom('audit').select(['actor', 'action']).execute()).toEqual([
      { actor: 'system', action: 'tokens.create' },
    ]);
    await store.db.updateTable('tokens').set({ revoked_at: 1 }).execute();
    expect(await firstToken(store)).toBeNull();
    await tokens.close();
  });
});

describe('/tokens', () => {
  test('makes one, shows it once, and the audit log never', async () => {
    const { ask, store } = await adminApi();
    const made = await ask('POST', '/tokens', { name: 'ci', role: 'viewer' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: 'ci', role: 'viewer', created_by: 'a-admin', expires_at: null });
    expect(tokenId(made.body.token)).toBe(made.body.id);
    expect(made.headers.get('location')).toBe(`/admin/v1/tokens/${made.body.id}`);
    const got = await ask('GET', `/tokens/${made.body.id}`);
    const { token, ...rest } = made.body;
    expect(got.body).toEqual(rest);
    const entries = await store.db.selectFrom('audit').selectAll().execute();
    expect(entries).toMatchObject([{ actor: 'a-admin', action: 'tokens.create', target: made.body.id }]);
    expect(JSON.stringify(entries)).not.toContain(token.slice(17, 40));
    expect((await ask('GET', '/tokens', undefined, { token })).status).toBe(403);
  });

  test('revokes one from the next request on, with the version that was read', async () => {
    const { ask } = await adminApi();
    const { body } = await ask('POST', '/tokens', { name: 'ci', role: 'admin' });
    const path = `/tokens/${body.id}`;
    expect((await ask('GET', '/tokens', undefined, { token: body.token })).status).toBe(200);
    expect((await ask('POST', `${path}/revoke`)).status).toBe(428);
    expect((await ask('POST', `${path}/revoke`, undefined, { headers: { 'if-match': '"7"' } })).status).toBe(412);
    expect((await ask('POST', `${path}/revoke`, undefined, { headers: { 'if-match': 'W/"1"' } })).status).toBe(400);
    const etag = (await ask('GET', path)).headers.get('etag') as string;
    expect((await ask('POST', `${path}/revoke`, undefined, { headers: { 'if-match': etag } })).status).toBe(200);
    expect((await ask('GET', '/tokens', undefined, { token: body.token })).status).toBe(401);
    expect((await ask('GET', path)).body.revoked_at).not.toBeNull();
    const again = await ask('POST', '/tokens', { name: 'ci', role: 'admin' });
    const itself = { token: again.body.token, headers: { 'if-match': '*' } };
    expect((await ask('POST', `/tokens/${again.body.id}/revoke`, undefined, itself)).status).toBe(409);
    expect((await ask('POST', '/tokens/000000000000/revoke', undefined, { headers: { 'if-match': '*' } })).status).toBe(
      404,
    );
  });

  test('has no two live tokens of one name, and none that is expired from the start', async () => {
    const { ask } = await adminApi();
    expect((await ask('POST', '/tokens', { name: 'ci', role: 'admin' })).status).toBe(201);
    expect((await ask('POST', '/tokens', { name: 'ci', role: 'viewer' })).status).toBe(409);
    expect((await ask('POST', '/tokens', { name: 'system', role: 'viewer' })).status).toBe(422);
    const old = { name: 'old', role: 'viewer', expires_at: '2020-01-01T00:00:00Z' };
    expect((await ask('POST', '/tokens', old)).body.errors).toMatchObject([{ pointer: '/expires_at' }]);
  });

  test('pages neither skip nor repeat', async () => {
    const { ask } = await adminApi();
    for (let i = 0; i < 5; i++) await ask('POST', '/tokens', { name: `t${i}`, role: 'viewer' });
    const names: string[] = [];
    let cursor: string | null = null;
    do {
      const { body } = await ask('GET', `/tokens?limit=3${cursor === null ? '' : `&cursor=${cursor}`}`);
      names.push(...body.items.map(({ name }: { name: string }) => name));
      cursor = body.next;
    } while (cursor !== null);
    expect(names.sort()).toEqual(['a-admin', 'a-operator', 'a-viewer', 't0', 't1', 't2', 't3', 't4']);
  });
});
