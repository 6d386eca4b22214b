import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { readCursor, writeCursor } from '../../src/manage/admin/cursor.js';
import { Refusal } from '../../src/manage/admin/refusal.js';
import { makeToken } from '../../src/manage/admin/tokens.js';
import { audit } from '../../src/manage/store/audit.js';
import { REMOVED, withoutSecrets } from '../../src/manage/store/unsecret.js';
import { type Admin, adminApi } from '../support/admin.js';
import { describeStores } from '../support/stores.js';

async function write(admin: Admin, actor: string, action: string, target: string): Promise<void> {
  await admin.store.write([], (tx, revisions) => audit(tx, revisions, { actor, action, target, after: { target } }));
}

describeStores('/audit', newPlace => {
  test('tells changes, newest first, in pages and by who, what, to what and when', async () => {
    const admin = await adminApi({ place: await newPlace() });
    for (let i = 1; i <= 7; i++)
      await write(admin, i % 2 ? 'alice' : 'bob', `pki.${i < 4 ? 'issue' : 'revoke'}`, `t${i}`);
    await write(admin, 'alice', 'pkinit', 't8');
    const targets = async (query: string) => {
      const { body } = await admin.ask('GET', `/audit?${query}`);
      return [body.items.map(({ target }: { target: string }) => target).join(' '), body.next];
    };
    const [first, next] = await targets('limit=5');
    expect(first).toBe('t8 t7 t6 t5 t4');
    expect(await targets(`limit=5&cursor=${next}`)).toEqual(['t3 t2 t1', null]);
    expect(await targets('actor=bob')).toEqual(['t6 t4 t2', null]);
    expect(await targets('action=pki.issue')).toEqual(['t3 t2 t1', null]);
    expect((await targets('action=pki'))[0]).toBe('t7 t6 t5 t4 t3 t2 t1');
    expect(await targets('action=pki_issue')).toEqual(['', null]);
    expect(await targets('target=t2&actor=bob')).toEqual(['t2', null]);
    expect(await targets('since=2099-01-01T00:00:00Z')).toEqual(['', null]);
    expect((await targets('until=2099-01-01T00:00:00Z&limit=1'))[0]).toBe('t8');
    const { body } = await admin.ask('GET', '/audit?limit=1');
    expect(body.items[0]).toMatchObject({ seq: 8, actor: 'alice', before: null, after: { target: 't8' } });
    expect((await admin.ask('GET', '/audit', undefined, { role: 'operator' })).status).toBe(403);
  });

  test('can be verified, and then tells the first entry that was changed', async () => {
    const admin = await adminApi({ place: await newPlace() });
    for (let i = 1; i <= 5; i++) await write(admin, 'alice', 'a', `t${i}`);
    const whole = await admin.ask('GET', '/audit/verify');
    expect(whole.body).toMatchObject({ entries: 5, head: { seq: 5 }, broken: null });
    await admin.store.db.updateTable('audit').set({ actor: 'mallory' }).where('seq', '=', 3).execute();
    expect((await admin.ask('GET', '/audit/verify')).body).toMatchObject({ broken: { seq: 3, why: 'was changed' } });
    expect((await admin.ask('GET', '/audit/verify?from=4')).body).toMatchObject({ entries: 2, broken: null });
    expect((await admin.ask('GET', '/audit/verify?from=0')).status).toBe(400);
  });
});

describe('a cursor', () => {
  const key = z.tuple([z.number(), z.string()]);

  test('comes back as the key it was', () => {
    fc.assert(
      fc.property(fc.integer(), fc.string({ maxLength: 50 }), (at, id) => {
        expect(readCursor(key, writeCursor([at, id]))).toEqual([at, id]);
      }),
    );
    expect(readCursor(key, undefined)).toBeNull();
  });

  test('that is none of ours is refused', () => {
    const strange = ['', 'x', writeCursor({}), writeCursor([1]), writeCursor(['1', 'a']), `${writeCursor([1, 'a'])}=`];
    for (const cursor of [...strange, 'A'.repeat(2_000)])
      expect(() => readCursor(key, cursor), cursor).toThrow(Refusal);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), cursor => {
        expect(() => readCursor(z.tuple([z.literal('never written')]), cursor)).toThrow(Refusal);
      }),
    );
  });
});

describe('what is audited', () => {
  test('never holds a secret, wherever it hides', async () => {
    const { token } = makeToken();
    const pem = '-----BEGIN PRIVATE KEY-----\nMIG\n-----END PRIVATE KEY-----';
    const secrets = {
      password: 'hunter2',
      p12: { Passphrase: 'hunter2' },
      list: [{ client_secret: 'hunter2', key: 'hunter2' }],
      bytes: Buffer.from('hunter2'),
      sealed_key: 'hunter2',
      privateKey: Buffer.from('hunter2'),
      note: `see ${token}`,
      file: `x\n${pem}`,
      rsa: pem.replaceAll('PRIVATE', 'RSA PRIVATE'),
    };
    const admin = await adminApi();
    await admin.store.write([], (tx, revisions) =>
      audit(tx, revisions, { actor: 'a', action: 'b', target: 'c', before: secrets, after: [secrets] }),
    );
    const text = JSON.stringify((await admin.ask('GET', '/audit')).body);
    expect(text).not.toMatch(/hunter2|MIG|aHVudGVyMg/);
    expect(text).not.toContain(token);
    expect(text).toContain(REMOVED);
  });

  test('keeps everything else as it is', () => {
    const plain = {
      name: 'devices',
      key_type: 'P-256',
      key_id: 'ab12',
      serial: '01',
      has_key: true,
      password: null,
      n: 1,
    };
    expect(withoutSecrets(plain)).toEqual(plain);
    expect(withoutSecrets([plain, 'text', 3, null])).toEqual([plain, 'text', 3, null]);
  });
});
