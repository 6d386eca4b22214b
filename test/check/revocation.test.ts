// What the door takes about revocation while it runs. No request is made: `judge` says what one would get.

import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { compile, judge, loadRevocationList, ocspAnswer, revoke } from '../../src/native.js';
import { type Authority, authority, hours, type Identity } from '../support/pki.js';

let devices: Authority;
let namesake: Authority;
let device: Identity;
let lost: Identity;

beforeAll(async () => {
  devices = await authority('devices');
  namesake = await authority('devices');
  [device, lost] = [await devices.client('sensor-1'), await devices.client('sensor-2')];
  inForce({});
});

function inForce(revocation: object): void {
  const compiled = compile(
    JSON.stringify({
      authorities: [
        { name: 'devices', at: '/authorities/devices', certificates: devices.pem, revocation },
        { name: 'empty', at: '/authorities/empty', hosted: true },
      ],
      origins: [
        {
          addresses: ['127.0.0.1:1'],
          connections: 1,
          connect_timeout_ms: 1,
          first_byte_timeout_ms: 1,
          idle_timeout_ms: 1,
        },
      ],
      hosts: [
        {
          name: 'api.example.com',
          at: '/hosts/api.example.com',
          origin: 0,
          max_body_bytes: 1,
          mtls: { mode: 'require', trust: ['devices'], paths: [{ prefix: '/health', mode: 'off' }] },
        },
      ],
    }),
    true,
  );
  expect(JSON.parse(compiled)).toMatchObject({ problems: [] });
}

interface Judgement {
  steps: { step: string; ok: boolean; detail: string }[];
  reason: string | null;
}

function judged(identity: Identity, asked: object = { host: 'api.example.com' }): Judgement {
  return JSON.parse(judge(identity.cert, JSON.stringify(asked)));
}

function named(identity: Identity, issuer = devices): { key_id: string; serial: string } {
  const key_id = createHash('sha256').update(Buffer.from(issuer.certificate.publicKey.rawData)).digest('hex');
  return { key_id, serial: identity.certificate.serialNumber };
}

const loaded = async (list: string | Buffer, name = 'devices') =>
  JSON.parse(await loadRevocationList(name, Buffer.from(list)));

describe('judge', () => {
  test('explains an acceptance step by step', () => {
    const { steps, reason } = judged(device);
    expect(reason).toBeNull();
    expect(steps.map(({ step }) => step)).toEqual([
      'parse',
      'version',
      'key',
      'validity',
      'usage',
      'path',
      'constraints',
      'revocation',
      'verdict',
    ]);
    expect(steps.every(({ ok }) => ok)).toBe(true);
    expect(steps.find(({ step }) => step === 'path')?.detail).toContain('CN=sensor-1 <- CN=devices');
  });

  test('explains a denial, by host or by authorities', async () => {
    const stranger = await namesake.client('sensor-3');
    for (const asked of [{ host: 'api.example.com', path: '/' }, { authorities: ['devices'] }]) {
      const { steps, reason } = judged(stranger, asked);
      expect(reason).toBe('mtls.signature');
      expect(steps.filter(({ ok }) => !ok).map(({ step }) => step)).toEqual(['path', 'verdict']);
    }
    expect(judged(device, { authorities: ['empty'] }).reason).toBe('mtls.untrusted');
    expect(judged(await devices.client('old', { notAfter: hours(-1) })).reason).toBe('mtls.expired');
    expect(judged({ ...device, cert: 'nonsense' }).reason).toBe('mtls.malformed');
  });

  test('says where nobody looks at certificates, and what it does not know', () => {
    expect(judged(device, { host: 'api.example.com', path: '/health' }).steps[0]).toMatchObject({ step: 'host' });
    expect(() => judged(device, { host: 'other.example.com' })).toThrow('is not served here');
    expect(() => judged(device, { authorities: ['nobody'] })).toThrow('no authority is called');
    expect(() => judged(device, { hosts: [] })).toThrow();
  });
});

describe('revoke', () => {
  test('refuses at once, and passes again when restored', () => {
    revoke(JSON.stringify({ revoked: [named(lost)] }));
    expect(judged(lost).reason).toBe('mtls.revoked');
    expect(judged(device).reason).toBeNull();
    revoke(JSON.stringify({ restored: [named(lost)] }));
    expect(judged(lost).reason).toBeNull();
  });

  test('survives a new policy, and a reset empties it', () => {
    revoke(JSON.stringify({ revoked: [named(lost)] }));
    inForce({});
    expect(judged(lost).reason).toBe('mtls.revoked');
    revoke(JSON.stringify({ reset: true }));
    expect(judged(lost).reason).toBeNull();
  });

  test('does not touch a namesake with another key', () => {
    revoke(JSON.stringify({ revoked: [named(lost, namesake)] }));
    expect(judged(lost).reason).toBeNull();
  });

  test('says what cannot be read', () => {
    expect(() => revoke('{')).toThrow();
    expect(() => revoke(JSON.stringify({ revoked: [{ key_id: 'ab', serial: '01' }] }))).toThrow('revoked[0]');
    expect(() => revoke(JSON.stringify({ revoke: [] }))).toThrow('unknown field');
  });
});

describe('loadRevocationList', () => {
  test('takes a list, leaves out an older one, and keeps the last good one', async () => {
    const list = await devices.crl([lost]);
    expect(await loaded(list)).toMatchObject({ issuer: 'CN=devices', number: '01', serials: 1, replaced: true });
    expect(judged(lost).reason).toBe('mtls.revoked');
    expect(await loaded(list)).toMatchObject({ replaced: false });
    expect(await loaded(await devices.crl([], { signer: namesake }))).toMatchObject({
      problem: { message: expect.stringContaining('signature is not valid') },
    });
    expect(await loaded('nonsense')).toHaveProperty('problem.hint');
    expect(await loaded(list, 'nobody')).toHaveProperty('problem.message', 'No authority is called "nobody".');
    expect(judged(lost).reason).toBe('mtls.revoked');
  });
});

describe('ocspAnswer', () => {
  test('tells of a certificate whose state is demanded', () => {
    inForce({ ocsp: true, fetch: false, stale: 'hard', grace_s: 0 });
    const answered = {
      authority: 'devices',
      status: 'good',
      this_update: Date.now(),
      next_update: Date.now() + 60_000,
    };
    ocspAnswer(JSON.stringify({ ...answered, ...named(device) }));
    expect(judged(device).reason).toBeNull();
    ocspAnswer(JSON.stringify({ ...answered, ...named(device), status: 'revoked', this_update: Date.now() + 1_000 }));
    expect(judged(device).reason).toBe('mtls.revoked');
    expect(() => ocspAnswer(JSON.stringify({ ...answered, ...named(device, namesake) }))).toThrow('holds no key');
  });
});
