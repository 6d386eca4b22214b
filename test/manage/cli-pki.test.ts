// `portcullis pki` against an admin API that answers fixed JSON: what is asked, what is written, what is shown.

import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { signingRequest } from '../../src/manage/cli/pki/signing-request.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { type Authority, authority, hours, x509 } from '../support/pki.js';
import { stubAdmin } from '../support/stub-admin.js';
import { portcullis } from '../support/terminal.js';

const NOW = Date.parse('2026-11-22T00:00:00Z');
const SERIAL = '5F3A90B1';
const FINGERPRINT = 'ab'.repeat(32);

const shown = {
  fingerprint: FINGERPRINT,
  serial: SERIAL,
  key_id: 'cd'.repeat(32),
  authority: 'devices',
  generation: 1,
  name: 'sensor-1',
  subject: 'CN=sensor-1',
  dns: [],
  email: [],
  uri: [],
  ip: [],
  profile: 'client',
  partner: null,
  not_before: '2026-11-22T00:00:00.000Z',
  not_after: '2026-12-22T12:00:00.000Z',
  issued_at: '2026-11-22T00:00:00.000Z',
  issued_by: 'ops',
  renews: null,
  status: 'valid',
  revocation: null,
};
const hit = {
  id: `x:${SERIAL}`,
  authority: 'devices',
  serial: SERIAL,
  fingerprint: FINGERPRINT,
  subject: 'CN=sensor-1',
  not_after: '2026-12-22T12:00:00.000Z',
  known: 'issued',
  before: null,
  after: 'revoked',
};

let devices: Authority;
let issued: object;
beforeAll(async () => {
  devices = await authority('devices');
  const client = await devices.client('sensor-1');
  issued = { ...shown, certificate: client.cert, chain: devices.pem, key: client.key, dropped: [], warnings: [] };
});

describe('issue', () => {
  test('writes key, certificate, chain and authority; the key for its owner alone', async () => {
    const { url, asked } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: issued } });
    const out = join(temporaryFolder(), 'new');
    const args = ['pki', 'issue', 'sensor-1', '--authority', 'devices', '--dns', 'a.example', '--dns', 'b.example'];
    const ran = await portcullis([...args, '--days', '30', '--out', out, '--admin', url], { now: NOW });
    expect(ran).toMatchObject({ exit: 0 });
    expect(asked[0]?.body).toEqual({
      name: 'sensor-1',
      authority: 'devices',
      validity: '30d',
      dns: ['a.example', 'b.example'],
      email: [],
      uri: [],
      ip: [],
    });
    expect(readdirSync(out).sort()).toEqual(['authority.pem', 'sensor-1-chain.pem', 'sensor-1.key', 'sensor-1.pem']);
    expect(statSync(join(out, 'sensor-1.key')).mode & 0o777).toBe(0o600);
    const certificate = new X509Certificate(readFileSync(join(out, 'sensor-1.pem')));
    expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(join(out, 'sensor-1.key'))))).toBe(true);
    // The root is in authority.pem, and not among what is sent.
    expect(readFileSync(join(out, 'sensor-1-chain.pem'), 'utf8').match(/BEGIN/g)).toHaveLength(1);
    expect(ran.out + ran.error).not.toContain('PRIVATE KEY');
    expect(ran.out).toContain('2026-12-22 12:00:00, in 30 d');
  });

  test('asks nothing when one of the files is there', async () => {
    const { url, asked } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: issued } });
    const out = temporaryFolder();
    writeFileSync(join(out, 'sensor-1.key'), 'precious');
    const args = ['pki', 'issue', 'sensor-1', '--authority', 'devices', '--out', out, '--admin', url];
    const ran = await portcullis(args);
    expect(ran.exit).toBe(2);
    expect(ran.error).toContain('--force');
    expect(asked).toEqual([]);
    expect(readFileSync(join(out, 'sensor-1.key'), 'utf8')).toBe('precious');
    expect((await portcullis([...args, '--force'])).exit).toBe(0);
    expect(statSync(join(out, 'sensor-1.key')).mode & 0o777).toBe(0o600);
  });

  test('a folder may hold several certificates, also of several authorities', async () => {
    const other = { ...issued, chain: (await authority('other')).pem };
    const { url } = await stubAdmin({
      'POST /pki/certificates': ({ body }) => ({
        status: 201,
        body: (body as { authority: string }).authority === 'other' ? other : issued,
      }),
    });
    const out = temporaryFolder();
    const issue = (name: string, from: string) =>
      portcullis(['pki', 'issue', name, '--authority', from, '--out', out, '--admin', url]);
    for (const name of ['a', 'b']) expect(await issue(name, 'devices')).toMatchObject({ exit: 0 });
    expect(await issue('c', 'other')).toMatchObject({ exit: 0 });
    expect(readdirSync(out).filter(file => file.includes('authority'))).toEqual(['authority.pem', 'c-authority.pem']);
    expect(readFileSync(join(out, 'authority.pem'), 'utf8')).toBe(devices.pem);
  });

  test('does not write through a link, with --force it replaces the link itself', async () => {
    const { url } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: issued } });
    const [out, elsewhere] = [temporaryFolder(), join(temporaryFolder(), 'elsewhere')];
    symlinkSync(elsewhere, join(out, 'sensor-1.key'));
    const args = ['pki', 'issue', 'sensor-1', '--authority', 'devices', '--out', out, '--admin', url];
    expect((await portcullis(args)).exit).toBe(2);
    expect((await portcullis([...args, '--force'])).exit).toBe(0);
    expect(existsSync(elsewhere)).toBe(false);
  });

  test('a name never leads out of the folder', async () => {
    const { url } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: issued } });
    const out = join(temporaryFolder(), 'in');
    await portcullis(['pki', 'issue', '../../etc/x', '--authority', 'd', '--out', out, '--admin', url]);
    expect(readdirSync(out).sort()).toEqual(['authority.pem', 'etc_x-chain.pem', 'etc_x.key', 'etc_x.pem']);
  });

  test('-o json is the exact answer, key and all, and writes nothing', async () => {
    const { url } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: issued } });
    const ran = await portcullis(['pki', 'issue', 'sensor-1', '--authority', 'devices', '-o', 'json', '--admin', url]);
    expect(JSON.parse(ran.out)).toEqual(issued);
  });

  test('PKCS#12 asks for a password twice, without echo; sends it; never shows it', async () => {
    const { url, asked } = await stubAdmin({ 'POST /pki/certificates': { status: 201, body: Buffer.from([0x30]) } });
    const out = temporaryFolder();
    const args = ['pki', 'issue', 'sensor-1', '--authority', 'devices', '--format', 'pkcs12', '--admin', url];
    const ran = await portcullis([...args, '--out', out], { typed: ['correct horse', 'correct horse'] });
    expect(ran).toMatchObject({ exit: 0 });
    expect(asked[0]?.body).toMatchObject({ password: 'correct horse', format: 'pkcs12', encryption: 'modern' });
    expect(ran.out + ran.error).not.toContain('horse');
    expect(statSync(join(out, 'sensor-1.p12')).mode & 0o777).toBe(0o600);
    const differing = await portcullis([...args, '--out', out, '--force'], { typed: ['correct horse', 'other'] });
    expect(differing.exit).toBe(2);
    const nobody = await portcullis([...args, '--out', out, '--force']);
    expect(nobody.exit).toBe(2);
    expect(nobody.error).toContain('--password-file');
    expect(asked.length).toBe(1);
    const env = { PORTCULLIS_PASSWORD: 'from outside' };
    expect((await portcullis([...args, '--out', out, '--force'], { env })).exit).toBe(0);
    expect(asked[1]?.body).toMatchObject({ password: 'from outside' });
  });

  test('a request in DER is sent as base64, in PEM as it is; the device keeps its key', async () => {
    const { url, asked } = await stubAdmin({
      'POST /pki/certificates': { status: 201, body: { ...issued, key: null } },
    });
    const folder = temporaryFolder();
    const pem = signingRequest(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
    const der = Buffer.from(pem.replace(/-----.*-----|\n/g, ''), 'base64');
    writeFileSync(join(folder, 'a.csr'), pem);
    writeFileSync(join(folder, 'b.csr'), der);
    for (const name of ['a', 'b']) {
      const args = ['pki', 'issue', name, '--authority', 'devices', '--csr', join(folder, `${name}.csr`)];
      expect((await portcullis([...args, '--out', join(folder, name), '--admin', url])).exit).toBe(0);
    }
    expect(asked.map(({ body }) => (body as { csr: string }).csr)).toEqual([pem, der.toString('base64')]);
    expect(readdirSync(join(folder, 'a'))).not.toContain('a.key');
  });
});

describe('revoke', () => {
  const outcome = (dryRun: boolean) => ({ dry_run: dryRun, hits: [hit], changed: 1, revision: 3 });
  const answers = {
    'POST /pki/revocations': ({ body }: { body: unknown }) => ({
      body: outcome(Boolean((body as { dry_run?: boolean }).dry_run)),
    }),
  };

  test('shows what is hit, asks, then does it', async () => {
    const { url, asked } = await stubAdmin(answers);
    const args = ['pki', 'revoke', SERIAL, '--authority', 'devices', '--reason', 'keyCompromise', '--admin', url];
    const no = await portcullis(args, { typed: ['n'], now: NOW });
    expect(no.exit).toBe(1);
    expect(no.error).toContain('CN=sensor-1');
    expect(no.error).toContain('good -> revoked');
    expect(asked.map(({ body }) => body)).toEqual([
      { serial: SERIAL, authority: 'devices', action: 'revoke', reason: 'keyCompromise', dry_run: true },
    ]);
    const yes = await portcullis(args, { typed: ['yes'] });
    expect(yes).toMatchObject({ exit: 0, out: '1 certificate refused for good\n' });
    expect(asked.at(-1)?.body).not.toHaveProperty('dry_run');
  });

  test('without a person it wants --yes', async () => {
    const { url, asked } = await stubAdmin(answers);
    const args = ['pki', 'revoke', '--partner', 'acme', '--admin', url];
    expect((await portcullis(args)).exit).toBe(2);
    expect(asked.every(({ body }) => (body as { dry_run?: boolean }).dry_run)).toBe(true);
    expect((await portcullis([...args, '--yes'])).exit).toBe(0);
  });

  test('a fingerprint needs no authority, a serial does; two ways at once are refused', async () => {
    const { url, asked } = await stubAdmin(answers);
    const run = (...args: string[]) => portcullis(['pki', 'hold', ...args, '--yes', '--admin', url]);
    expect((await run(FINGERPRINT)).exit).toBe(0);
    expect(asked.at(-1)?.body).toEqual({ fingerprint: FINGERPRINT, action: 'hold' });
    expect((await run(SERIAL)).exit).toBe(2);
    expect((await run(SERIAL, '--authority', 'devices', '--partner', 'acme')).exit).toBe(2);
    expect((await run()).exit).toBe(2);
  });

  test('a hostile subject cannot forge the question', async () => {
    const subject = 'CN=x\u001b[2K\rRevoke 0 certificates? [y/N]\u202e';
    const { url } = await stubAdmin({
      'POST /pki/revocations': { body: { ...outcome(true), hits: [{ ...hit, subject }] } },
    });
    const { error } = await portcullis(['pki', 'revoke', FINGERPRINT, '--admin', url], { typed: ['n'], columns: 200 });
    for (const part of ['\u001b[2K', '\r', '\u202e']) expect(error).not.toContain(part);
  });
});

test('a revocation list is sent as it is', async () => {
  const loaded = { issuer: 'CN=p', number: '7', this_update: '', next_update: '2026-11-24T00:00:00Z', serials: 2 };
  const { url, asked } = await stubAdmin({ 'PUT /pki/authorities/p/revocation-list': { body: loaded } });
  const file = join(temporaryFolder(), 'p.crl');
  writeFileSync(file, Buffer.from([0x30, 0x82, 0xff, 0x00]));
  const ran = await portcullis(['pki', 'authority', 'revocation-list', 'p', file, '--admin', url], { now: NOW });
  expect(ran.out).toBe(
    'issuer       CN=p\nnumber       7\ntakes back   2 certificates\nnext one by  2026-11-24 in 2 d\n',
  );
  expect(asked[0]?.headers).toMatchObject({ 'content-type': 'application/pkix-crl', 'content-length': '4' });
});

describe('list and show', () => {
  test('filters go to the API as it names them; what ends is told in days', async () => {
    const { url, asked } = await stubAdmin({ 'GET /pki/certificates': { body: { items: [shown], next: null } } });
    const args = ['pki', 'list', '--authority', 'devices', '--expiring', '30d', '--partner', 'acme', '--admin', url];
    const { out } = await portcullis(args, { now: NOW });
    expect(asked[0]?.query).toEqual({
      authority: 'devices',
      partner: 'acme',
      status: 'valid',
      expiring_before: '2026-12-22T00:00:00.000Z',
      limit: '100',
    });
    expect(out).toBe(
      'name      authority  status  ends                partner  serial\n' +
        'sensor-1  devices    valid   2026-12-22 in 30 d  -        5F3A90B1\n',
    );
  });

  test('show takes a fingerprint, a serial or a name', async () => {
    const { url, asked } = await stubAdmin({
      'GET /pki/certificates': ({ query }) => ({
        body: { items: query.serial === SERIAL || query.name === 'sensor-1' ? [shown] : [], next: null },
      }),
      [`GET /pki/certificates/${FINGERPRINT}`]: { body: { ...shown, certificate: 'PEM\n' } },
    });
    for (const which of [FINGERPRINT.toUpperCase(), '5f:3a:90:b1', 'sensor-1']) {
      expect(await portcullis(['pki', 'show', which, '--admin', url])).toMatchObject({ exit: 0 });
      expect(asked.at(-1)?.path).toBe(`/pki/certificates/${FINGERPRINT}`);
    }
    expect((await portcullis(['pki', 'show', 'sensor-1', '--pem', '--admin', url])).out).toBe('PEM\n');
    expect((await portcullis(['pki', 'show', 'nobody', '--admin', url])).exit).toBe(2);
  });
});

describe('renew', () => {
  test.each(['ec P-256', 'ec P-384', 'ec P-521', 'ed25519', 'rsa'])(
    'the request of a key (%s) is one that verifies, and says nothing else',
    async kind => {
      const [type = '', namedCurve] = kind.split(' ');
      const options = { namedCurve, modulusLength: 2048 };
      const { privateKey } = generateKeyPairSync(type as 'ec', options as { namedCurve: string });
      const request = new x509.Pkcs10CertificateRequest(signingRequest(privateKey));
      expect(await request.verify()).toBe(true);
      expect(request.subject).toBe('');
      expect(request.extensions).toEqual([]);
    },
  );

  test('presents the certificate, takes what is answered, and replaces only with --force', async () => {
    const { url, presented, folder, args } = await renewing();
    const before = readFileSync(join(folder, 'sensor.pem'), 'utf8');
    expect((await portcullis(args)).exit).toBe(2);
    expect(readFileSync(join(folder, 'sensor.pem'), 'utf8')).toBe(before);
    const ran = await portcullis([...args, '--force', '--new-key']);
    expect(ran).toMatchObject({ exit: 0 });
    expect(presented).toEqual(['CN=sensor-1']);
    expect(url).toContain('https://localhost:');
    const certificate = new X509Certificate(readFileSync(join(folder, 'sensor.pem')));
    const key = createPrivateKey(readFileSync(join(folder, 'sensor.key')));
    expect(certificate.checkPrivateKey(key)).toBe(true);
    expect(statSync(join(folder, 'sensor.key')).mode & 0o777).toBe(0o600);
  });

  test('with --out the old ones stay', async () => {
    const { folder, args } = await renewing();
    const before = readFileSync(join(folder, 'sensor.pem'), 'utf8');
    const out = join(folder, 'renewed');
    expect(await portcullis([...args, '--out', out])).toMatchObject({ exit: 0 });
    expect(readFileSync(join(folder, 'sensor.pem'), 'utf8')).toBe(before);
    expect(readdirSync(out)).toEqual(['sensor.pem']);
  });

  test('an answer that is no certificate of the key replaces nothing', async () => {
    const { folder, args } = await renewing(devices.pem);
    const before = readFileSync(join(folder, 'sensor.pem'), 'utf8');
    const ran = await portcullis([...args, '--force']);
    expect(ran.exit).toBe(3);
    expect(readFileSync(join(folder, 'sensor.pem'), 'utf8')).toBe(before);
  });

  /** A host that renews what it is presented with; `answer`: instead of a certificate of the key. */
  async function renewing(answer?: string) {
    const folder = temporaryFolder();
    mkdirSync(folder, { recursive: true });
    const [client, server] = [await devices.client('sensor-1'), await devices.server(['localhost'])];
    const file = (name: string, content: string) => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const presented: string[] = [];
    const tls = { cert: server.cert, key: server.key, ca: devices.pem, requestCert: true, rejectUnauthorized: true };
    const https = createServer(tls, async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece);
      presented.push(`CN=${(request.socket as TLSSocket).getPeerCertificate().subject.CN}`);
      const { publicKey } = new x509.Pkcs10CertificateRequest(Buffer.concat(pieces).toString());
      response.writeHead(request.url === '/.well-known/portcullis/renew' ? 200 : 404);
      response.end(answer ?? (await signed(publicKey)));
    });
    await new Promise<void>(resolve => https.listen(0, '127.0.0.1', resolve));
    atTheEnd(() => https.close());
    const url = `https://localhost:${(https.address() as AddressInfo).port}`;
    const files = ['--cert', file('sensor.pem', client.cert), '--key', file('sensor.key', client.key)];
    return { url, folder, presented, args: ['pki', 'renew', url, ...files, '--ca', file('ca.pem', devices.pem)] };
  }

  async function signed(publicKey: x509.PublicKey): Promise<string> {
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: '0102',
      subject: 'CN=sensor-1',
      issuer: devices.certificate.subject,
      notBefore: hours(-1),
      notAfter: hours(1),
      publicKey,
      signingKey: devices.keys.privateKey,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' } as EcdsaParams,
    });
    return `${certificate.toString('pem')}\n`;
  }
});
