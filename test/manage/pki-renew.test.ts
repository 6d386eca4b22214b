import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { answerOwn, RENEW } from '../../src/manage/pki/own.js';
import { device, judged, openssl, stand } from '../support/pki-stand.js';
import { describeStores } from '../support/stores.js';

const DAY = 86_400_000;

describeStores('renewal', newPlace => {
  const start = async (settings = {}) => {
    const made = await stand(await newPlace(), settings);
    await made.ask('POST', '/pki/authorities', { name: 'devices' });
    const old = device('/CN=sensor-1');
    const names = { dns: ['sensor-1.test'], uri: ['spiffe://example.org/sensor-1'] };
    const wanted = { authority: 'devices', name: 'sensor-1', ...names, csr: old.csr, partner: 'Example' };
    const { body: first } = await made.ask('POST', '/pki/certificates', wanted);
    const answer = answerOwn(made.pki);
    const renew = async (body: string | Buffer, more: object = {}) => {
      const request = { method: 'POST', path: RENEW, host: 'api.test', contentType: null, authorization: null };
      const client = { verified: true, certificate: first.certificate as string, address: '192.0.2.1' };
      const told = await answer({ ...request, ...client, ...more }, Buffer.from(body));
      return { ...told, text: Buffer.from(told.body).toString() };
    };
    return { ...made, old, first, renew };
  };

  test('gives the same names for a new key, within the last third', async () => {
    const { ask, renew, first, clock, store } = await start();
    clock.ahead = 61 * DAY;
    const next = device('/CN=somebody else/O=Else', ['subjectAltName=DNS:admin.test']);
    const answer = await renew(next.csr);
    expect(answer.status).toBe(200);
    expect(answer.headers).toContainEqual(['Content-Type', 'application/pem-certificate-chain']);
    const certificate = new X509Certificate(answer.text);
    expect(certificate.subject).toBe('CN=sensor-1');
    expect(certificate.subjectAltName).toBe('DNS:sensor-1.test, URI:spiffe://example.org/sensor-1');
    expect(certificate.publicKey.export({ type: 'spki', format: 'pem' })).toBe(
      openssl(['pkey', '-pubout'], {}, next.key).toString(),
    );
    expect(Date.parse(certificate.validTo)).toBeCloseTo(Date.now() + 151 * DAY, -5);
    const { body } = await ask('GET', '/pki/certificates?partner=Example');
    expect(body.items).toMatchObject([
      { renews: first.fingerprint, issued_by: 'CN=sensor-1', profile: 'client' },
      { renews: null },
    ]);
    const audit = await store.db.selectFrom('audit').selectAll().orderBy('seq', 'desc').executeTakeFirstOrThrow();
    expect(audit).toMatchObject({ actor: 'CN=sensor-1', action: 'pki.certificate.renew' });
  });

  test("goes over to the authority's next generation", async () => {
    const { ask, renew, old, clock } = await start();
    await ask('POST', '/pki/authorities/devices/rotate', {});
    clock.ahead = 80 * DAY;
    const answer = await renew(openssl(['req', '-outform', 'DER'], {}, old.csr));
    expect(answer.status).toBe(200);
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates?which=issuing');
    expect(judged(answer.text, pem)).not.toMatch(/issuer|signature/);
    expect((await ask('GET', '/pki/certificates?name=sensor')).body.items[0].generation).toBe(2);
  });

  test('refuses who may not, each with its reason', async () => {
    const { ask, renew, old, first, clock, store } = await start();
    const early = await renew(old.csr);
    expect(early).toMatchObject({ status: 403, text: expect.stringContaining('It is too early') });
    clock.ahead = 61 * DAY;
    const stranger = (await (await stand(await newPlace())).ask('POST', '/pki/authorities', { name: 'x' })).status;
    expect(stranger).toBe(201);
    const ca = (await ask('GET', '/pki/authorities/devices/certificates')).body;
    const refusals: [string | Buffer, object, number, string][] = [
      ['', {}, 400, 'no certification request'],
      [old.csr, { certificate: null, verified: false }, 403, 'No client certificate'],
      [old.csr, { verified: false }, 403, 'not accepted here'],
      [old.csr, { certificate: ca }, 403, 'was not issued here'],
      [old.csr, { method: 'GET' }, 405, 'by POST'],
      ['nonsense', {}, 422, 'request'],
      [device('/CN=a', [], 'rsa:1024').csr, {}, 422, '1024'],
    ];
    for (const [body, more, status, why] of refusals) {
      const refused = await renew(body, more);
      expect([refused.status, refused.text]).toEqual([status, expect.stringContaining(why)]);
    }
    await store.write(['revocations'], (tx, { revocations: revision }) => {
      const id = `${first.key_id}:${first.serial}`;
      const row = { id, key_id: null, serial: null, fingerprint: null, authority: null, at: 0, by: 'test', revision };
      return tx
        .insertInto('revocations')
        .values({ ...row, state: 'held', reason: 'certificateHold' })
        .execute();
    });
    expect((await renew(old.csr)).status).toBe(403);
    await store.db.updateTable('revocations').set({ state: 'restored' }).execute();
    expect((await renew(old.csr)).status).toBe(200);
    clock.ahead = 91 * DAY;
    expect((await renew(old.csr)).status).toBe(403);
  });

  test('has a window and a number a day that the configuration says', async () => {
    const { renew, old, clock } = await start({ renewal: { window: '10d', perDay: 3 } });
    clock.ahead = 79 * DAY;
    expect((await renew(old.csr)).status).toBe(403);
    clock.ahead = 81 * DAY;
    const answers = await Promise.all(Array.from({ length: 6 }, () => renew(old.csr)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 429, 429, 429]);
    clock.ahead += DAY + 60_000;
    expect((await renew(old.csr)).status).toBe(200);
  });

  test('of a retired authority is refused', async () => {
    const { ask, renew, old, clock } = await start();
    clock.ahead = 61 * DAY;
    await ask('POST', '/pki/authorities/devices/retire', { confirm: 'devices' });
    expect((await renew(old.csr)).status).toBe(409);
  });
});
