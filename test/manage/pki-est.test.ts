import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { answerOwn } from '../../src/manage/pki/own.js';
import { temporaryFolder } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { ownFront } from '../support/own-front.js';
import { device, openssl, type Stand, stand } from '../support/pki-stand.js';
import { describeStores, sqlitePlace } from '../support/stores.js';

const execute = promisify(execFile);
const DAY = 86_400_000;
const EST = '/.well-known/est';

/** As RFC 7030 sends a request: base64 of its DER, in lines. */
function sent(csr: string): string {
  return openssl(['req', '-outform', 'DER'], {}, csr).toString('base64').replace(/.{76}/g, '$&\r\n');
}

/** Certificates of an answer, PEM, as openssl reads them. */
function received(body: string): string {
  const der = Buffer.from(body, 'base64');
  return openssl(['pkcs7', '-inform', 'DER', '-print_certs'], {}, der).toString();
}

function basic(secret: string): string {
  return `Basic ${Buffer.from(`anybody:${secret}`).toString('base64')}`;
}

describeStores('EST', newPlace => {
  const start = async (settings = {}) => {
    const made = await stand(await newPlace(), settings);
    await made.ask('POST', '/pki/authorities', { name: 'devices' });
    const answer = answerOwn(made.pki);
    const est = async (method: string, path: string, body = '', more: object = {}) => {
      const request = {
        method,
        path: EST + path,
        host: 'api.test',
        contentType: 'application/pkcs10',
        authorization: null,
      };
      const client = { verified: false, certificate: null, address: '192.0.2.1' };
      const told = await answer({ ...request, ...client, ...more }, Buffer.from(body));
      return { ...told, text: Buffer.from(told.body).toString() };
    };
    const enrolment = async (body: object = {}) =>
      (await made.ask('POST', '/pki/enrolments', { authority: 'devices', name: 'sensor-1', ...body })).body;
    return { ...made, est, enrolment };
  };

  test('gives the authority, with and without a label', async () => {
    const { ask, est } = await start();
    const { body: pem } = await ask('GET', '/pki/authorities/devices/certificates');
    for (const path of ['/cacerts', '/devices/cacerts']) {
      const answer = await est('GET', path);
      expect(answer.status).toBe(200);
      expect(answer.headers).toContainEqual(['Content-Type', 'application/pkcs7-mime; smime-type=certs-only']);
      expect(answer.headers).toContainEqual(['Content-Transfer-Encoding', 'base64']);
      expect(answer.text.split('\r\n').every(line => line.length <= 76)).toBe(true);
      expect(received(answer.text)).toContain(pem.trim());
    }
    expect((await est('GET', '/others/cacerts')).status).toBe(404);
    expect((await est('GET', '/csrattrs')).status).toBe(204);
    await ask('POST', '/pki/authorities', { name: 'phones' });
    expect((await est('GET', '/cacerts')).status).toBe(404);
    expect((await est('GET', '/phones/cacerts')).status).toBe(200);
  });

  test('enrols with a secret, as often as it was made for', async () => {
    const { ask, est, enrolment, store } = await start();
    const { id, secret } = await enrolment({ name: 'sensor-*', uses: 2 });
    expect(secret).toMatch(/^pce_[0-9a-f]{12}_/);
    const enrol = (name: string) =>
      est('POST', '/simpleenroll', sent(device(`/CN=${name}`).csr), { authorization: basic(secret) });
    const answer = await enrol('sensor-1');
    expect(answer.status).toBe(200);
    expect(received(answer.text)).toMatch(/subject=CN = sensor-1/);
    expect(received(answer.text).match(/BEGIN CERT/g)).toHaveLength(1);
    expect((await enrol('admin')).status).toBe(403);
    expect((await enrol('sensor-2')).status).toBe(200);
    expect((await enrol('sensor-3')).status).toBe(401);
    const { body } = await ask('GET', '/pki/certificates');
    expect(body.items).toMatchObject([
      { name: 'sensor-2', issued_by: `enrolment ${id}`, profile: 'device' },
      { name: 'sensor-1' },
    ]);
    expect((await ask('GET', `/pki/enrolments/${id}`)).body).toMatchObject({ uses_left: 0 });
    const everything = JSON.stringify([
      await store.db.selectFrom('enrolments').selectAll().execute(),
      await store.db.selectFrom('audit').selectAll().execute(),
      (await ask('GET', '/pki/enrolments')).body,
    ]);
    expect(everything).not.toContain(secret.slice(17));
    expect(everything).not.toContain('hash":"pce');
  });

  test('asked for by ten at once with one use, gives one certificate', async () => {
    const { ask, est, enrolment } = await start();
    const { secret } = await enrolment();
    const csr = sent(device('/CN=sensor-1').csr);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => est('POST', '/simpleenroll', csr, { authorization: basic(secret) })),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 403 || status === 401)).toHaveLength(9);
    expect((await ask('GET', '/pki/certificates')).body.items).toHaveLength(1);
  });

  test('refuses secrets that are wrong, ended, revoked or of another label, and slows down who guesses', async () => {
    const { ask, est, enrolment, clock } = await start();
    await ask('POST', '/pki/authorities', { name: 'phones' });
    const csr = sent(device('/CN=sensor-1').csr);
    const { id, secret } = await enrolment({ uses: null, expires: '1d' });
    const enrol = (authorization: string | null, label = '', more = {}) =>
      est('POST', `${label}/simpleenroll`, csr, { authorization, ...more });
    const unknown = await enrol(null);
    expect(unknown.status).toBe(401);
    expect(unknown.headers.find(([name]) => name === 'WWW-Authenticate')?.[1]).toMatch(/^Basic realm=/);
    expect((await enrol(basic(secret), '/phones')).status).toBe(401);
    expect((await enrol(basic(secret), '/devices')).status).toBe(200);
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`;
    const statuses = [];
    for (let n = 0; n < 12; n++) statuses.push((await enrol(basic(wrong))).status);
    expect(statuses.filter(status => status === 401).length).toBeLessThanOrEqual(10);
    expect(statuses.at(-1)).toBe(429);
    expect((await enrol(basic(secret))).status).toBe(429);
    const elsewhere = { address: '192.0.2.2' };
    expect((await enrol(basic(secret), '', elsewhere)).status).toBe(200);
    clock.ahead = 2 * DAY;
    expect((await enrol(basic(secret), '', elsewhere)).status).toBe(401);
    clock.ahead = 0;
    const gone = await ask('DELETE', `/pki/enrolments/${id}`, undefined, { headers: { 'if-match': '*' } });
    expect(gone.status).toBe(204);
    expect((await enrol(basic(secret), '', elsewhere)).status).toBe(401);
  });

  test('enrols no name that the profile does not take over', async () => {
    const { est, enrolment } = await start();
    const { secret } = await enrolment({ uses: null });
    const csr = device('/CN=sensor-1', ['subjectAltName=DNS:admin.test']).csr;
    const refused = await est('POST', '/simpleenroll', sent(csr), { authorization: basic(secret) });
    expect(refused).toMatchObject({ status: 400, text: expect.stringContaining('dns:admin.test') });
    expect(refused.headers).toContainEqual(['Content-Type', 'text/plain; charset=utf-8']);
    for (const [body, more, status] of [
      ['', {}, 400],
      ['bm9uc2Vuc2U=', {}, 400],
      [sent(device('/CN=sensor-1').csr), { contentType: 'text/plain' }, 415],
      [sent(device('/CN=sensor-1').csr), { method: 'GET' }, 405],
    ] as const) {
      expect((await est('POST', '/simpleenroll', body, { authorization: basic(secret), ...more })).status).toBe(status);
    }
    expect((await est('POST', '/serverkeygen')).status).toBe(501);
    expect((await est('POST', '/fullcmc')).status).toBe(501);
  });

  test('enrols again with the same subject and names only', async () => {
    const { est, enrolment, clock } = await start();
    const { secret } = await enrolment();
    const names = ['subjectAltName=DNS:sensor-1'];
    const first = device('/CN=sensor-1', names);
    const enrolled = await est('POST', '/simpleenroll', sent(first.csr), { authorization: basic(secret) });
    const certificate = /-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n/.exec(received(enrolled.text))?.[0] ?? '';
    const again = (csr: string, label = '') =>
      est('POST', `${label}/simplereenroll`, sent(csr), { certificate, verified: true });
    expect((await again(first.csr)).status).toBe(403);
    clock.ahead = 700 * DAY;
    expect((await again(device('/CN=sensor-2', names).csr)).status).toBe(400);
    expect((await again(device('/CN=sensor-1').csr)).status).toBe(400);
    expect((await again(first.csr, '/phones')).status).toBe(403);
    const renewed = await again(device('/CN=sensor-1', names, 'P-384').csr, '/devices');
    expect(renewed.status).toBe(200);
    expect(received(renewed.text)).toContain('CN = sensor-1');
    expect((await est('POST', '/simplereenroll', sent(first.csr))).status).toBe(403);
  });
});

describe('with clients of others', () => {
  let made: Stand;
  let front: Awaited<ReturnType<typeof ownFront>>;
  const folder = temporaryFolder();
  const file = (name: string, content?: string) => {
    if (content !== undefined) writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  beforeAll(async () => {
    made = await stand(await sqlitePlace());
    await made.ask('POST', '/pki/authorities', { name: 'devices' });
    front = await ownFront(made.pki);
    file('ca.pem', front.ca);
  });

  // Not the synchronous one: the server is this process.
  const curl = async (args: string[]) => {
    const always = ['--silent', '--show-error', '--fail-with-body', '--max-time', '20', '--cacert', file('ca.pem')];
    return (await execute('curl', [...always, ...args])).stdout;
  };

  needs('curl')('curl and openssl enrol, enrol again and renew', async () => {
    const { body } = await made.ask('POST', '/pki/enrolments', { authority: 'devices', name: 'sensor-1' });
    const one = device('/CN=sensor-1');
    file('one.key', one.key);
    file('one.b64', sent(one.csr));
    const request = ['--data-binary', `@${file('one.b64')}`, '-H', 'Content-Type: application/pkcs10'];
    const url = `${front.url}/.well-known/est/devices`;
    const enrolled = await curl([...request, '--user', `est:${body.secret}`, `${url}/simpleenroll`]);
    file('one.pem', received(enrolled));
    made.clock.ahead = 700 * DAY;
    const client = ['--cert', file('one.pem'), '--key', file('one.key')];
    const again = await curl([...request, ...client, `${url}/simplereenroll`]);
    expect(received(again)).toContain('CN = sensor-1');
    file('renew.csr', one.csr);
    const renewal = ['--data-binary', `@${file('renew.csr')}`, '-H', 'Content-Type: application/pkcs10'];
    const chain = await curl([...renewal, ...client, `${front.url}/.well-known/portcullis/renew`]);
    expect(openssl(['x509', '-noout', '-subject'], {}, chain).toString()).toContain('CN = sensor-1');
    made.clock.ahead = 0;
    expect(received(await curl([`${front.url}/.well-known/est/cacerts`]))).toContain('CN = devices');
  });
});
