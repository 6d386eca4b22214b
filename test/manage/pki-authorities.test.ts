import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { nextTrustEnd, storedAuthorities } from '../../src/manage/pki/authorities.js';
import { ensureHosted } from '../../src/manage/pki/hosted.js';
import { Pki } from '../../src/manage/pki/service.js';
import { pki as run } from '../../src/native.js';
import { authority as brought, hours } from '../support/pki.js';
import { judged, openssl, stand } from '../support/pki-stand.js';
import { describeStores } from '../support/stores.js';

const DAY = 86_400_000;

describeStores('authorities', newPlace => {
  const start = async (settings = {}, parts = {}) => stand(await newPlace(), settings, parts);

  test('is made with its key sealed, and never shows it', async () => {
    const { ask, store } = await start();
    const made = await ask('POST', '/pki/authorities', { name: 'devices' });
    expect(made).toMatchObject({
      status: 201,
      body: { name: 'devices', kind: 'hosted', issues: true, key_type: 'P-256' },
    });
    expect(made.headers.get('location')).toBe('/admin/v1/pki/authorities/devices');
    const [generation] = made.body.generations;
    expect(generation).toMatchObject({ number: 1, state: 'issuing', subject: 'CN=devices', has_key: true });
    expect(Date.parse(generation.not_after)).toBeGreaterThan(Date.now() + 3649 * DAY);
    const row = await store.db.selectFrom('generations').selectAll().executeTakeFirstOrThrow();
    expect(row.sealed_key).toMatch(/^v1\./);
    expect(store.unseal(row.sealed_key ?? '', 'generations/devices/1')).toContain('PRIVATE KEY');
    const everything = JSON.stringify([
      made.body,
      (await ask('GET', '/pki/authorities')).body,
      (await ask('GET', '/pki/authorities/devices')).body,
      await store.db.selectFrom('audit').selectAll().execute(),
    ]);
    expect(everything).not.toMatch(/PRIVATE|v1\./);
  });

  test.each(['P-384', 'Ed25519', 'RSA 3072'])('of the kind %s is good for openssl', async key_type => {
    const { ask } = await start();
    const subject = { common_name: 'Örtliche, Geräte', organization: 'Example', country: 'DE' };
    await ask('POST', '/pki/authorities', { name: 'devices', key_type, validity: '2y', subject });
    const issued = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'sensor-1' });
    expect(issued.status).toBe(201);
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates');
    expect(judged(issued.body.certificate, pem)).toBe('');
    expect(openssl(['x509', '-noout', '-subject', '-nameopt', 'RFC2253,-esc_msb,utf8'], {}, pem).toString()).toContain(
      'CN=Örtliche\\, Geräte,O=Example,C=DE',
    );
  });

  test('of a taken name is refused, whoever has it', async () => {
    const { ask } = await start({}, { fileAuthorities: () => ['partners'] });
    await ask('POST', '/pki/authorities', { name: 'devices' });
    for (const name of ['devices', 'partners']) {
      const again = await ask('POST', '/pki/authorities', { name });
      expect(again).toMatchObject({ status: 409, body: { title: `There is an authority ${name} already.` } });
    }
    expect((await ask('GET', '/pki/authorities')).body.items).toHaveLength(1);
  });

  test('refuses names that the configuration could not have', async () => {
    const { ask } = await start();
    for (const name of ['', 'a b', '../x', `a${'b'.repeat(64)}`, 'a\nb', 'a,b', 'a\0b', '-x']) {
      const answer = await ask('POST', '/pki/authorities', { name });
      expect(answer).toMatchObject({ status: 400, body: { errors: [{ pointer: '/name' }] } });
    }
  });

  test('may have one subject and different keys: keys tell them apart', async () => {
    const { ask } = await start();
    const subject = { common_name: 'Same' };
    const both = await Promise.all(['one', 'two'].map(name => ask('POST', '/pki/authorities', { name, subject })));
    const [one, two] = both.map(({ body }) => body.generations[0]);
    expect(one.subject).toBe(two.subject);
    expect(one.key_id).not.toBe(two.key_id);
    const issued = await ask('POST', '/pki/certificates', { authority: 'one', name: 'x' });
    const { body: pem } = await ask('GET', '/pki/authorities/two/certificates');
    expect(issued.body.key_id).toBe(one.key_id);
    expect(judged(issued.body.certificate, pem)).not.toBe('');
  });

  test('with a root issues by an intermediate, and keeps both keys sealed', async () => {
    const { ask, store, pki } = await start();
    await ask('POST', '/pki/authorities', { name: 'devices', intermediate: true });
    const issued = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'sensor-1' });
    const pems: string[] = issued.body.chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/g);
    const [between = '', root = ''] = pems;
    expect(pems).toHaveLength(2);
    expect(judged(issued.body.certificate, root, between)).toBe('');
    expect(new X509Certificate(root).subject).toBe('CN=devices Root');
    const { settings } = await store.db.selectFrom('authorities').select('settings').executeTakeFirstOrThrow();
    expect(settings).not.toContain('PRIVATE');
    expect(JSON.stringify((await ask('GET', '/pki/authorities/devices')).body)).not.toContain('sealed_key');
    const [stored] = await storedAuthorities(store);
    expect(stored).toMatchObject({ certificates: between, intermediates: root });
    // The next one hangs below the same root.
    const rotated = await ask('POST', '/pki/authorities/devices/rotate', {});
    expect(rotated).toMatchObject({ status: 200, body: { generations: [{ subject: 'CN=devices G2' }, {}] } });
    const next = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'sensor-2' });
    expect(next.body.chain.endsWith(root)).toBe(true);
    // And a new one below a new root.
    await ask('POST', '/pki/authorities/devices/rotate', { new_root: true });
    const last = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'sensor-3' });
    expect(last.body.chain.endsWith(root)).toBe(false);
    expect(pki.settings.url).toBeUndefined();
  });

  test('rotates with an overlap: the new one issues, the old one is trusted until the date', async () => {
    const { ask, store, clock } = await start();
    await ask('POST', '/pki/authorities', { name: 'devices' });
    const before = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'old' });
    const rotated = await ask('POST', '/pki/authorities/devices/rotate', { overlap: '90d', key_type: 'P-384' });
    expect(rotated.body.generations).toMatchObject([
      { number: 2, state: 'issuing', trusted_until: null },
      { number: 1, state: 'trusted' },
    ]);
    expect(Date.parse(rotated.body.generations[1].trusted_until)).toBeCloseTo(Date.now() + 90 * DAY, -5);
    const after = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'new' });
    expect(after.body.key_id).not.toBe(before.body.key_id);
    const [now] = await storedAuthorities(store);
    for (const { body } of [before, after]) expect(judged(body.certificate, now?.certificates ?? '')).toBe('');
    expect(await nextTrustEnd(store)).toBe(Date.parse(rotated.body.generations[1].trusted_until));
    const [later] = await storedAuthorities(store, Date.now() + 91 * DAY);
    expect(judged(before.body.certificate, later?.certificates ?? '')).not.toBe('');
    expect(judged(after.body.certificate, later?.certificates ?? '')).toBe('');
    expect(await nextTrustEnd(store, Date.now() + 91 * DAY)).toBeNull();
    clock.ahead = 91 * DAY;
    expect((await ask('GET', '/pki/authorities/devices')).body.generations[1].state).toBe('ended');
  });

  test('is trusted in four generations at most, and an end that was set stays', async () => {
    const { ask } = await start();
    await ask('POST', '/pki/authorities', { name: 'devices' });
    await ask('POST', '/pki/authorities/devices/rotate', { overlap: '1d' });
    const ends = (await ask('GET', '/pki/authorities/devices')).body.generations[1].trusted_until;
    for (const status of [200, 200, 409]) {
      expect((await ask('POST', '/pki/authorities/devices/rotate', { overlap: '30d' })).status).toBe(status);
    }
    const { generations } = (await ask('GET', '/pki/authorities/devices')).body;
    expect(generations).toHaveLength(4);
    expect(generations[3].trusted_until).toBe(ends);
  });

  test('rotated by two at once gets one generation a rotation', async () => {
    const { ask } = await start();
    await ask('POST', '/pki/authorities', { name: 'devices' });
    const both = await Promise.all([1, 2].map(() => ask('POST', '/pki/authorities/devices/rotate', {})));
    const numbers = (await ask('GET', '/pki/authorities/devices')).body.generations.map(
      (it: { number: number }) => it.number,
    );
    expect(both.map(({ status }) => status).filter(status => status === 200)).toHaveLength(numbers.length - 1);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  test('is brought with certificates only, then trusts and does not issue', async () => {
    const { ask, store } = await start();
    const [partner, other] = [await brought('partner'), await brought('other')];
    const made = await ask('POST', '/pki/authorities/import', {
      name: 'partner',
      certificates: partner.pem + other.pem,
      revocation: { stale: 'grace', grace_s: 3600, fetch: true },
    });
    expect(made).toMatchObject({ status: 201, body: { kind: 'imported', issues: false, generations: [{}, {}] } });
    const refused = await ask('POST', '/pki/certificates', { authority: 'partner', name: 'x' });
    expect(refused).toMatchObject({
      status: 409,
      body: { title: 'The authority partner has no key here: it cannot issue.' },
    });
    const [stored] = await storedAuthorities(store);
    expect(stored).toMatchObject({
      revocation: { stale: 'grace', grace_s: 3600, fetch: true, ocsp: false },
    });
    expect(judged((await partner.client('c')).cert, stored?.certificates ?? '')).toBe('');
  });

  test('is brought with its key, then issues; what stands above is its chain', async () => {
    const { ask } = await start();
    const root = await brought('root');
    const between = await root.intermediate('between');
    const { subtle } = crypto;
    const der = Buffer.from(await subtle.exportKey('pkcs8', between.keys.privateKey)).toString('base64');
    const key = `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
    const certificates = root.pem + between.pem;
    const made = await ask('POST', '/pki/authorities/import', { name: 'brought', certificates, key });
    expect(made).toMatchObject({ status: 201, body: { issues: true, generations: [{ subject: 'CN=between' }] } });
    const issued = await ask('POST', '/pki/certificates', { authority: 'brought', name: 'x' });
    expect(judged(issued.body.certificate, root.pem, between.pem)).toBe('');
    const stranger = (await brought('stranger')).pem;
    const refused = await ask('POST', '/pki/authorities/import', {
      name: 'b',
      certificates: stranger + between.pem,
      key,
    });
    expect(refused).toMatchObject({ status: 422, body: { title: expect.stringContaining('CN=stranger') } });
    const mismatched = await ask('POST', '/pki/authorities/import', { name: 'b', certificates: stranger, key });
    expect(mismatched).toMatchObject({ status: 422, body: { title: expect.stringContaining('belongs to none') } });
  });

  test('that can be no authority is refused with its reason', async () => {
    const { ask } = await start();
    const client = (await (await brought('a')).client('b')).cert;
    for (const [certificates, why] of [
      [client, /authority/i],
      ['nonsense', /no certificate/i],
    ] as const) {
      const refused = await ask('POST', '/pki/authorities/import', { name: 'x', certificates });
      expect(refused.status).toBe(422);
      expect(refused.body.title).toMatch(why);
    }
    expect((await ask('GET', '/pki/authorities')).body.items).toEqual([]);
  });

  test('brought is rotated by bringing the next', async () => {
    const { ask } = await start();
    const [first, next] = [await brought('first'), await brought('next', { notAfter: hours(24) })];
    await ask('POST', '/pki/authorities/import', { name: 'partner', certificates: first.pem });
    expect((await ask('POST', '/pki/authorities/partner/rotate', {})).status).toBe(422);
    const rotated = await ask('POST', '/pki/authorities/partner/rotate', { certificates: next.pem, overlap: '7d' });
    expect(rotated.body.generations).toMatchObject([
      { subject: 'CN=next', trusted_until: null },
      { subject: 'CN=first', state: 'trusted' },
    ]);
    await ask('POST', '/pki/authorities', { name: 'devices' });
    const wrong = await ask('POST', '/pki/authorities/devices/rotate', { certificates: next.pem });
    expect(wrong.status).toBe(422);
  });

  test('is retired only by its name, after a look at who would be locked out', async () => {
    const hosts = () => [{ name: 'api.test', url: 'https://api.test', trust: ['devices'] }];
    const { ask, store } = await start({}, { hosts });
    await ask('POST', '/pki/authorities', { name: 'devices' });
    const { body: issued } = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'sensor-1' });
    const seen = { key_id: issued.key_id, serial: issued.serial, subject: issued.subject, issuer: 'CN=devices' };
    const when = {
      not_before: 0,
      not_after: 9e12,
      first_seen: 0,
      requests: 3,
      hosts: '["api.test"]',
      authority: 'devices',
    };
    await store.db
      .insertInto('seen')
      .values([
        { ...seen, ...when, fingerprint: issued.fingerprint, last_seen: Date.now() - DAY },
        { ...seen, ...when, fingerprint: 'long ago', last_seen: Date.now() - 31 * DAY },
      ])
      .execute();
    const preview = await ask('GET', '/pki/authorities/devices/retirement');
    expect(preview.body).toMatchObject({
      certificates_in_use: 1,
      certificates_valid: 1,
      hosts: ['api.test'],
      in_use: [{ fingerprint: issued.fingerprint, requests: 3, hosts: ['api.test'] }],
    });
    expect((await ask('POST', '/pki/authorities/devices/retire', { confirm: 'device' })).status).toBe(422);
    expect((await storedAuthorities(store))[0]?.certificates).not.toBe('');
    const retired = await ask('POST', '/pki/authorities/devices/retire', { confirm: 'devices' });
    expect(retired.body).toMatchObject({ state: 'retired', issues: false, generations: [{ state: 'withdrawn' }] });
    expect(await storedAuthorities(store)).toMatchObject([{ name: 'devices', certificates: '' }]);
    const refused = await ask('POST', '/pki/certificates', { authority: 'devices', name: 'x' });
    expect(refused).toMatchObject({ status: 409, body: { title: 'The authority devices is retired.' } });
    expect((await ask('POST', '/pki/authorities/devices/rotate', {})).status).toBe(409);
  });

  test('changes its profiles with the version that was read only', async () => {
    const { ask } = await start();
    const made = await ask('POST', '/pki/authorities', { name: 'devices' });
    const etag = made.headers.get('etag') ?? '';
    const change = (match: string, profiles: object) =>
      ask('PATCH', '/pki/authorities/devices', { profiles }, { headers: { 'if-match': match } });
    const changed = await change(etag, { meter: { validity: '1y', max_validity: '5y' } });
    expect(changed.body.profiles).toMatchObject({ client: {}, device: {}, meter: { validity: '1y' } });
    expect((await change(etag, { meter: null })).status).toBe(412);
    const gone = await change(changed.headers.get('etag') ?? '', { meter: null });
    expect(Object.keys(gone.body.profiles)).toEqual(['client', 'device']);
    expect(await change('*', { 'Bad name': {} })).toMatchObject({ status: 422 });
    expect(await change('*', { long: { validity: '2y' } })).toMatchObject({ status: 422 });
  });

  test('that the configuration names as hosted is made once, however many processes start', async () => {
    const place = await newPlace();
    const log = { info() {}, warn() {}, error() {} } as never;
    const stores = await Promise.all([1, 2, 3, 4].map(() => place.open()));
    const made = await Promise.all(
      stores.map(store => ensureHosted(new Pki({ store, run, log }), ['devices', 'phones'])),
    );
    expect(made.flat().sort()).toEqual(['devices', 'phones']);
    const generations = await stores[0]?.db.selectFrom('generations').select('id').orderBy('id').execute();
    expect(generations).toEqual([{ id: 'devices/1' }, { id: 'phones/1' }]);
    const audit = await stores[0]?.db.selectFrom('audit').select(['actor', 'action']).execute();
    expect(audit).toEqual([1, 2].map(() => ({ actor: 'system', action: 'pki.authority.create' })));
  });
});
