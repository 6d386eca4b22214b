// OCSP about certificates that were seen: asked ahead of time, within bounds, and only about verified ones.

import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { RevocationMetrics } from '../../src/journal/metrics/revocation.js';
import { Asking, MAX_ASKED, type SeenCertificate } from '../../src/manage/pki/asking.js';
import type { BroughtAuthority } from '../../src/manage/pki/brought.js';
import { atTheEnd } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { pause } from '../support/waiting.js';

const HOUR_MS = 3_600_000;
const KEY = 'ab'.repeat(32);

test('asks about what was seen, and again ahead of the end of the answer', async () => {
  const { asking, clock, answers, responder, see } = await asked();
  see('01');
  await asking.tick();
  expect(answers).toMatchObject([{ authority: 'partners', key_id: KEY, serial: '01', status: 'good' }]);
  see('01');
  await asking.tick();
  expect(responder.asked).toBe(1);
  // A life of an hour: at two thirds of it, more or less, and not long before.
  await clock.advance(0.55 * HOUR_MS, [asking]);
  expect(responder.asked).toBe(1);
  responder.status = 'revoked';
  await clock.advance(0.25 * HOUR_MS, [asking]);
  expect(answers.at(-1)).toMatchObject({ serial: '01', status: 'revoked' });
});

test('does not ask about certificates that nobody verified, or whose authority does not want it', async () => {
  const { asking, responder, see } = await asked();
  see('01', { authority: null });
  see('02', { authority: 'others' });
  see('03', { ocsp_urls: [] });
  see('04', { ocsp_urls: ['ldap://127.0.0.1/'] });
  see('05', { issuer_key_id: 'cd'.repeat(32) });
  await asking.tick();
  expect(responder.asked).toBe(0);
});

test('an answer that does not hold, and none at all, leave the last one and are asked for again', async () => {
  const { asking, clock, answers, responder, see, text, told } = await asked();
  see('01');
  await asking.tick();
  for (const status of ['forged', 'down']) {
    responder.status = status;
    see('01');
    await clock.advance(0.8 * HOUR_MS, [asking], 1);
    await clock.advance(HOUR_MS, [asking], 8);
  }
  expect(answers).toHaveLength(1);
  expect(responder.asked).toBeGreaterThan(4);
  expect(await text()).toContain('kind="ocsp",result="refused"');
  expect(await text()).toContain('kind="ocsp",result="failed"');
  // Once, not at each of its failures.
  expect(told()).toHaveLength(1);
  responder.status = 'good';
  await clock.advance(HOUR_MS, [asking], 4);
  expect(answers.length).toBeGreaterThan(1);
});

test('never asks more than eight at once, and gets through all', async () => {
  const { asking, clock, answers, responder, see } = await asked();
  responder.slow = true;
  for (let index = 0; index < 30; index++) see(String(index).padStart(2, '0'));
  for (let turn = 0; turn < 6; turn++) await clock.advance(1, [asking], 1);
  expect(answers).toHaveLength(30);
  expect(responder.most).toBe(8);
});

test(`keeps ${MAX_ASKED} certificates fresh, those that were seen last`, async () => {
  const { asking, responder, see, serials } = await asked();
  for (let index = 0; index < MAX_ASKED + 1; index++) see(index.toString(16).padStart(8, '0'));
  await asking.tick();
  expect(responder.asked).toBe(8);
  expect(serials).not.toContain('00000000');
  expect(serials).toContain('00000001');
});

test('a certificate that was not seen for a day is asked about no more', async () => {
  const { asking, clock, responder, see } = await asked();
  see('01');
  await clock.advance(30 * HOUR_MS, [asking], 60);
  const before = responder.asked;
  await clock.advance(30 * HOUR_MS, [asking], 60);
  expect(responder.asked).toBe(before);
});

async function asked() {
  const clock = new FakeClock();
  const responder = { asked: 0, now: 0, most: 0, status: 'good', slow: false };
  const server = createServer((request, response) => {
    responder.asked += 1;
    responder.now += 1;
    responder.most = Math.max(responder.most, responder.now);
    request.resume().on('end', () => void answer(response));
  });
  const answer = async (response: ServerResponse) => {
    if (responder.slow) await pause(20);
    responder.now -= 1;
    if (responder.status === 'down') response.destroy();
    else response.end(responder.status);
  };
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const serials: string[] = [];
  const run = async (text: string) => {
    const { command, serial, response } = JSON.parse(text);
    if (command === 'ocsp_request') {
      serials.push(serial);
      return JSON.stringify({ der: 'cmVxdWVzdA==', nonce: null });
    }
    const status = Buffer.from(response, 'base64').toString();
    if (status === 'forged') return JSON.stringify({ error: { message: 'the signature is bad', hint: '' } });
    const now = clock.now();
    const dates = { this_update: now, next_update: now + HOUR_MS, revoked_at: null, reason: null };
    return JSON.stringify({ status, ...dates });
  };
  const answers: { serial: string; status: string }[] = [];
  const lines: string[] = [];
  const registry = new Registry();
  const asking = new Asking({
    native: { ocspAnswer: text => void answers.push(JSON.parse(text)) },
    run,
    log: pino({}, { write: line => void lines.push(line) }),
    metrics: new RevocationMetrics(registry),
    clock,
  });
  asking.adopt([brought('partners', true), brought('others', false)]);
  const see = (serial: string, more: Partial<SeenCertificate> = {}) =>
    asking.seen({ authority: 'partners', issuer_key_id: KEY, serial, crl_urls: [], ocsp_urls: [url], ...more });
  return { asking, clock, responder, answers, serials, see, text: () => registry.metrics(), told: () => lines };
}

function brought(name: string, ocsp: boolean): BroughtAuthority {
  const issuers = [{ pem: 'issuer', keyId: KEY, subject: 'CN=partners', notAfter: 0 }];
  const revocation = { fetch: false, urls: [], ocsp, allowPrivateAddresses: true };
  return { name, certificates: '', intermediates: '', revocation, issuers };
}
