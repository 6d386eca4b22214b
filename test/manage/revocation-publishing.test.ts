// What those who check our certificates find: lists, OCSP and certificates of authorities, as openssl reads them.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { RevocationMetrics } from '../../src/journal/metrics/revocation.js';
import { Api } from '../../src/manage/admin/api.js';
import { OwnLists } from '../../src/manage/pki/own-lists.js';
import { publish, publishing, requestIn } from '../../src/manage/pki/publish.js';
import { Responder } from '../../src/manage/pki/responder.js';
import { Revocations } from '../../src/manage/pki/revocation.js';
import { revocationRoutes } from '../../src/manage/pki/revocation-routes.js';
import { pki as run } from '../../src/native.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { needs } from '../support/needs.js';
import { type Stand, stand } from '../support/pki-stand.js';
import { anySocket } from '../support/ports.js';
import { describeStores } from '../support/stores.js';
import { until } from '../support/waiting.js';

const HOUR_MS = 3_600_000;

describeStores('published', newPlace => {
  needs('openssl')('a list that openssl verifies, which a revocation is on without anybody asking', async () => {
    const { url, issue, revoke, lists, clock } = await published();
    const [good, stolen, held] = [await issue('good'), await issue('stolen'), await issue('held')];
    await lists.pass();
    const first = await crl(url);
    expect(first.text).toContain('CRL Number:');
    expect(await verified(good.certificate, good.chain, first.pem)).toContain('leaf.pem: OK');
    expect(await verified(stolen.certificate, good.chain, first.pem)).toContain('leaf.pem: OK');

    await revoke({ fingerprint: stolen.fingerprint, reason: 'keyCompromise' });
    await revoke({ fingerprint: held.fingerprint, action: 'hold' });
    await until(async () => (await crl(url)).text.includes(held.serial), 5_000);
    const second = await crl(url);
    expect(second.text).toMatch(/Key Compromise/);
    expect(second.text).toMatch(/Certificate Hold/);
    expect(numberOf(second.text)).toBeGreaterThan(numberOf(first.text));
    expect(await verified(good.certificate, good.chain, second.pem)).toContain('leaf.pem: OK');
    expect(await verified(stolen.certificate, good.chain, second.pem)).toContain('certificate revoked');

    await revoke({ fingerprint: held.fingerprint, action: 'restore' });
    await until(async () => !(await crl(url)).text.includes(held.serial), 5_000);
    // Signed anew long before its end, also when nothing changes, and whatever the wall's clock does.
    const before = numberOf((await crl(url)).text);
    await lists.pass();
    expect(numberOf((await crl(url)).text)).toBe(before);
    clock.jump(13 * HOUR_MS);
    await lists.pass();
    expect(numberOf((await crl(url)).text)).toBe(before + 1);
    clock.jump(-20 * HOUR_MS);
    await lists.pass();
    expect(numberOf((await crl(url)).text)).toBe(before + 2);
  });

  test('of two processes one signs, and both publish it', async () => {
    const place = await newPlace();
    const one = await published(place);
    const stolen = await one.issue('stolen');
    const store = await place.open();
    const other = new OwnLists({ store, run, log: pino({ level: 'silent' }), clock: one.clock });
    other.start();
    atTheEnd(() => other.stop());
    await Promise.all([one.lists.pass(), other.pass()]);
    await one.revoke({ fingerprint: stolen.fingerprint });
    await Promise.all([one.lists.pass(), other.pass()]);
    await until(async () => (await crl(one.url)).text.includes(stolen.serial), 5_000);
    const { key_id } = await store.db.selectFrom('generations').select('key_id').executeTakeFirstOrThrow();
    await until(
      async () => Number((await other.latest(key_id))?.number) === numberOf((await crl(one.url)).text),
      2_000,
    );
    expect(numberOf((await crl(one.url)).text)).toBeLessThanOrEqual(3);
  });

  needs('openssl')(
    'OCSP that openssl trusts: good, revoked with its reason, on hold, restored, and unknown',
    async () => {
      const { url, issue, revoke, ask } = await published();
      const one = await issue('one');
      expect(await ask(one)).toMatch(/leaf.pem: good/);
      expect(await ask(one)).toContain('Response verify OK');
      await revoke({ fingerprint: one.fingerprint, action: 'hold' });
      await until(async () => /leaf.pem: revoked[\s\S]*certificateHold/.test(await ask(one)), 5_000);
      await revoke({ fingerprint: one.fingerprint, action: 'restore' });
      await until(async () => /leaf.pem: good/.test(await ask(one)), 5_000);
      await revoke({ fingerprint: one.fingerprint, reason: 'keyCompromise' });
      await until(async () => /leaf.pem: revoked[\s\S]*keyCompromise/.test(await ask(one)), 5_000);
      expect(await ask(one, ['-serial', '0x1234'])).toMatch(/0x1234: unknown/);
      expect(await ask(one, ['-no_nonce'])).toMatch(/leaf.pem: revoked/);
      expect(await ask(one, ['-url', `${url}/ocsp/devices`])).toMatch(/leaf.pem: revoked/);
      expect(await ask(one, ['-url', `${url}/ocsp/others`])).toMatch(/unauthorized/);
    },
  );

  needs('openssl')('OCSP by GET, kept by caches for a while; what is no request is answered as such', async () => {
    const { url, issue, ask, clock } = await published();
    const one = await issue('one');
    const request = await ask(one, ['-no_nonce', '-reqout', 'request'], true);
    for (const path of [encodeURIComponent(request), `devices/${encodeURIComponent(request)}`]) {
      const answer = await fetch(`${url}/ocsp/${path}`);
      expect(answer.headers.get('content-type')).toBe('application/ocsp-response');
      expect(answer.headers.get('cache-control')).toMatch(/^public, max-age=300/);
      // OCSPResponse { responseStatus successful(0)
      expect(Buffer.from(await answer.arrayBuffer()).includes(Buffer.from([0x0a, 1, 0]))).toBe(true);
    }
    const get = async () =>
      Buffer.from(await (await fetch(`${url}/ocsp/${encodeURIComponent(request)}`)).arrayBuffer());
    const kept = await get();
    expect(await get()).toEqual(kept);
    clock.jump(0.6 * HOUR_MS);
    expect(await get()).not.toEqual(kept);
    const post = (body: Buffer, type = 'application/ocsp-request') =>
      fetch(`${url}/ocsp`, { method: 'POST', headers: { 'content-type': type }, body: new Uint8Array(body) });
    const malformed = Buffer.from(await (await post(Buffer.from('nonsense'))).arrayBuffer());
    expect(malformed).toEqual(Buffer.from([0x30, 3, 0x0a, 1, 1]));
    expect((await post(Buffer.alloc(17 * 1024))).status).toBe(400);
    expect((await post(Buffer.from(request, 'base64'), 'text/plain')).status).toBe(400);
  });

  test('with types, validators and names as others expect them', async () => {
    const { url, lists, stand } = await published();
    await lists.pass();
    const answer = await fetch(`${url}/crl/devices.crl`);
    expect(answer.headers.get('content-type')).toBe('application/pkix-crl');
    expect(answer.headers.get('cache-control')).toMatch(/^public, max-age=\d+$/);
    const etag = answer.headers.get('etag') ?? '';
    expect((await fetch(`${url}/crl/devices.crl`, { headers: { 'if-none-match': etag } })).status).toBe(304);
    const { key_id } = await stand.store.db.selectFrom('generations').select('key_id').executeTakeFirstOrThrow();
    expect((await fetch(`${url}/crl/${key_id}.crl`)).headers.get('etag')).toBe(etag);
    const pem = await fetch(`${url}/ca/devices.pem`);
    expect([pem.headers.get('content-type'), await pem.text()]).toEqual([
      'application/pem-certificate-chain',
      expect.stringMatching(/^-----BEGIN CERTIFICATE-----/),
    ]);
    const cer = await fetch(`${url}/ca/devices.cer`);
    expect(cer.headers.get('content-type')).toBe('application/pkix-cert');
    expect(new Uint8Array(await cer.arrayBuffer())[0]).toBe(0x30);
    for (const path of [
      '/crl/nobody.crl',
      '/ca/nobody.pem',
      '/crl/..%2f..%2fetc',
      '/ocsp/nonsense',
      '/',
      '/admin/v1/me',
    ]) {
      expect([path, (await fetch(url + path)).status]).toEqual([path, 404]);
    }
  });

  async function published(place?: Awaited<ReturnType<typeof newPlace>>) {
    return await publishedOn(await stand(place ?? (await newPlace())));
  }
});

test('a request in a URL is found with and without an authority, encoded or not, and nothing else is one', () => {
  const request = Buffer.from([0x30, 4, 4, 2, 0xfb, 0xff]);
  const base64 = request.toString('base64');
  expect(base64).toContain('/');
  for (const written of [base64, encodeURIComponent(base64)]) {
    expect(requestIn(written)).toEqual({ request, authority: null });
    expect(requestIn(`devices/${written}`)).toEqual({ request, authority: 'devices' });
  }
  for (const other of ['', 'devices', '%', `${base64}AAAA`, 'MA==', 'A'.repeat(40_000), 'MIQ=']) {
    expect(requestIn(other)).toBeNull();
  }
});

async function publishedOn(made: Stand) {
  const { store } = made;
  const clock = new FakeClock();
  const log = pino({ level: 'silent' });
  const lists = new OwnLists({ store, run, log, clock });
  const responder = new Responder({ store, run, clock, revision: () => revision });
  let revision = 0;
  store.follow('revocations', value => {
    revision = value;
  });
  lists.start();
  responder.start();
  const metrics = new RevocationMetrics(new Registry());
  const listening = await publish(publishing({ store, lists, responder, metrics, clock }), await anySocket());
  atTheEnd(async () => {
    lists.stop();
    responder.stop();
    await listening.close();
  });
  await made.ask('POST', '/pki/authorities', { name: 'devices' });
  const api = new Api(async () => ({ name: 'tester', role: 'admin', kind: 'token' }));
  revocationRoutes(api, new Revocations(store, async () => []));
  const revoke = async (body: object) => {
    const answer = await api.app.request('http://127.0.0.1/admin/v1/pki/revocations', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
  };
  const chain = await (await fetch(`http://127.0.0.1:${listening.port}/ca/devices.pem`)).text();
  const issue = async (name: string) => {
    const { status, body } = await made.ask('POST', '/pki/certificates', { authority: 'devices', name });
    expect(status).toBe(201);
    const row = await store.db
      .selectFrom('certificates')
      .select(['serial', 'fingerprint', 'certificate'])
      .where('name', '=', name)
      .executeTakeFirstOrThrow();
    return { ...row, chain, body };
  };
  const url = `http://127.0.0.1:${listening.port}`;
  /** What openssl's client makes of it; the request itself, base64, when it only writes that. */
  const ask = async ({ certificate }: { certificate: string }, more: string[] = [], bare = false) => {
    const files = { 'ca.pem': chain, 'leaf.pem': certificate };
    const where = bare || more.includes('-url') ? [] : ['-url', `${url}/ocsp`];
    const which = more.includes('-serial') ? [] : ['-cert', 'leaf.pem'];
    const args = ['ocsp', '-issuer', 'ca.pem', '-CAfile', 'ca.pem', ...which, ...where, ...more];
    if (!bare) return openssl(args, files);
    const folder = mkdtempSync(join(temporaryFolder(), 'openssl-'));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    await promisify(execFile)('openssl', args, { cwd: folder });
    return readFileSync(join(folder, 'request')).toString('base64');
  };
  return { url, ask, lists, clock, revoke, issue, chain, stand: made };
}

/** As openssl reads it. */
async function crl(url: string): Promise<{ text: string; pem: string }> {
  const der = Buffer.from(await (await fetch(`${url}/crl/devices.crl`)).arrayBuffer());
  const pem = `-----BEGIN X509 CRL-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END X509 CRL-----\n`;
  return { text: await openssl(['crl', '-noout', '-text', '-in', 'list.pem'], { 'list.pem': pem }), pem };
}

function verified(certificate: string, chain: string, list: string): Promise<string> {
  const args = ['verify', '-crl_check', '-CAfile', 'ca.pem', '-CRLfile', 'list.pem', 'leaf.pem'];
  return openssl(args, { 'ca.pem': chain, 'list.pem': list, 'leaf.pem': certificate });
}

function numberOf(text: string): number {
  return Number(/CRL Number:\s+(\d+)/.exec(text)?.[1]);
}

/** Both outputs, also when it fails. Not synchronous: this process answers what openssl asks. */
async function openssl(args: string[], files: Record<string, string | Buffer>): Promise<string> {
  const folder = mkdtempSync(join(temporaryFolder(), 'openssl-'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const { stdout, stderr } = await promisify(execFile)('openssl', args, { cwd: folder }).catch(error => error);
  return `${stdout}${stderr}`;
}
