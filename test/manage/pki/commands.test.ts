// The commands through the door, and what Node.js makes of their answers.

import { X509Certificate } from 'node:crypto';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Created,
  createAuthority,
  inspect,
  issue,
  issueMany,
  makeList,
  PkiError,
  pkcs7,
  pkcs12,
  readAuthority,
  readCsr,
  readOcsp,
  requestOcsp,
  signOcsp,
  verifyOcsp,
} from '../../../src/manage/pki/commands.js';
import { pki } from '../../../src/native.js';

const DAY_MS = 86_400_000;
const life = { not_before: Date.now() - 60_000, not_after: Date.now() + 30 * DAY_MS };

let devices: Created;

beforeAll(async () => {
  devices = await createAuthority(pki, {
    subject: { common_name: 'Devices' },
    key_type: 'P-256',
    path_length: 0,
    ...life,
  });
});

const client = (name: string) =>
  issue(pki, {
    issuer: devices,
    key_type: 'P-256',
    subject: { common_name: name },
    uri: [`spiffe://example.com/${name}`],
    eku: ['clientAuth'],
    ...life,
  });

test('what is issued is what Node.js reads', async () => {
  const { certificate, key, facts } = await client('sensor-1');
  const read = new X509Certificate(certificate);
  expect(read.subject).toBe('CN=sensor-1');
  expect(read.subjectAltName).toBe('URI:spiffe://example.com/sensor-1');
  expect(read.serialNumber).toBe(facts.serial);
  expect(read.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(facts.fingerprint);
  expect(read.verify(new X509Certificate(devices.certificate).publicKey)).toBe(true);
  expect(Date.parse(read.validTo)).toBe(facts.not_after);
  expect(key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
});

test('what is refused is thrown with a hint', async () => {
  const refused = readCsr(pki, { csr: 'no request' });
  await expect(refused).rejects.toBeInstanceOf(PkiError);
  await expect(refused).rejects.toMatchObject({ message: 'the request is not base64', hint: /base64/ });
  const many = await issueMany(pki, {
    issuer: devices,
    items: [{ key_type: 'P-256', subject: { common_name: 'a\nb' }, eku: [], ...life }],
  });
  expect(many.items).toMatchObject([{ error: { message: /U\+000A/ } }]);
});

test('the door never rejects, whatever it is told', async () => {
  for (const nonsense of ['', '{', '[]', '{"command":"issue"}', '{"command":1}', '\u0000']) {
    expect(JSON.parse(await pki(nonsense)).error.message).toBeTypeOf('string');
  }
});

test('a long command leaves the event loop alone', async () => {
  let done = false;
  const made = createAuthority(pki, {
    subject: { common_name: 'Slow' },
    key_type: 'RSA 3072',
    path_length: null,
    ...life,
  }).finally(() => {
    done = true;
  });
  let turns = 0;
  while (!done) {
    await new Promise(resolve => setImmediate(resolve));
    turns++;
  }
  expect(turns).toBeGreaterThan(10);
  expect((await made).facts.key_type).toBe('RSA 3072');
});

test('question, answer and proof of OCSP fit together', async () => {
  const { facts } = await client('asked');
  const asked = await requestOcsp(pki, { issuer: devices.certificate, serial: facts.serial, nonce: true });
  expect(await readOcsp(pki, { request: asked.der })).toMatchObject({ items: [{ serial: facts.serial }], nonce: true });
  const now = Date.now();
  const { der } = await signOcsp(pki, {
    issuer: devices,
    request: asked.der,
    answers: [{ serial: facts.serial, status: 'revoked', revoked_at: now - 5000, reason: 'superseded' }],
    this_update: now,
    next_update: now + DAY_MS,
  });
  const proof = { response: der, issuer: devices.certificate, serial: facts.serial, nonce: asked.nonce, now };
  expect(await verifyOcsp(pki, proof)).toMatchObject({ status: 'revoked', reason: 'superseded' });
  await expect(verifyOcsp(pki, { ...proof, serial: '1234' })).rejects.toThrow(/nothing about this certificate/);
});

test('lists, bundles and authorities are explained', async () => {
  const { certificate } = await client('shown');
  const list = await makeList(pki, {
    issuer: devices,
    number: 1,
    this_update: Date.now(),
    next_update: Date.now() + DAY_MS,
    revoked: [],
  });
  expect((await inspect(pki, { bytes: list.der })).kind).toBe('crl');
  const { der } = await pkcs7(pki, { certificates: [certificate, devices.certificate] });
  expect((await inspect(pki, { bytes: der })).items[2]?.facts?.subject).toBe('CN=Devices');
  const read = await readAuthority(pki, { certificates: devices.certificate, key: devices.key });
  expect(read.key_matches).toBe(0);
  await expect(readAuthority(pki, { certificates: certificate })).rejects.toThrow(/none of an authority/);
});

describe('a bundle opens a TLS connection', () => {
  const server = createServer({ requestCert: true, rejectUnauthorized: true }, (incoming, outgoing) => {
    outgoing.end((incoming.socket as TLSSocket).getPeerCertificate().subject.CN);
  });

  beforeAll(async () => {
    const { certificate, key } = await issue(pki, {
      issuer: devices,
      key_type: 'P-256',
      subject: null,
      ip: ['127.0.0.1'],
      eku: ['serverAuth'],
      ...life,
    });
    server.setSecureContext({ cert: certificate, key: key ?? '', ca: devices.certificate });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  });

  afterAll(() => new Promise(resolve => server.close(resolve)));

  for (const encryption of ['modern', 'legacy'] as const) {
    test(`of the ${encryption} encryption`, async () => {
      const { certificate, key } = await client('phone');
      const { der } = await pkcs12(pki, {
        certificate,
        chain: [devices.certificate],
        key: key ?? '',
        password: 'correct horse',
        name: 'phone',
        encryption,
      });
      const answer = new Promise<string>((resolve, reject) => {
        request(
          {
            host: '127.0.0.1',
            port: (server.address() as AddressInfo).port,
            pfx: Buffer.from(der, 'base64'),
            passphrase: 'correct horse',
            ca: devices.certificate,
            agent: false,
          },
          async response => resolve((await response.toArray()).join('')),
        )
          .on('error', reject)
          .end();
      });
      expect(await answer).toBe('phone');
    });
  }
});
