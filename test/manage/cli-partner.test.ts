// `portcullis partner` against the real admin API over a socket.

import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import { certificatePattern, quotaOf, tokenPattern } from '../../src/manage/cli/patterns.js';
import { certificateRoutes } from '../../src/manage/pki/certificate-routes.js';
import { Pki } from '../../src/manage/pki/service.js';
import { type Admin, adminApi } from '../support/admin.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { callers, issued } from '../support/partners.js';
import { authority } from '../support/pki.js';
import { anySocket } from '../support/ports.js';
import { type Person, portcullis } from '../support/terminal.js';

let admin: Admin;
let url: string;
beforeAll(async () => {
  admin = await adminApi({
    capabilities: [
      (api, store) => {
        callers(store).routes(api);
        certificateRoutes(api, new Pki({ store, log: {} as never, run: async () => '' }));
      },
    ],
  });
  const server = await prepareAdmin(admin.app, null).listen(await anySocket());
  atTheEnd(() => server.close());
  url = `http://127.0.0.1:${server.port}`;
});

function command(args: string[], person: Person = {}) {
  const env = { PORTCULLIS_ADMIN: url, PORTCULLIS_TOKEN: admin.token('operator'), ...person.env };
  return portcullis(args, { ...person, env });
}

async function ok(...args: string[]): Promise<string> {
  const ran = await command(args);
  expect(ran, ran.error).toMatchObject({ exit: 0 });
  return ran.out;
}

// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
const json = async (...args: string[]): Promise<any> => JSON.parse(await ok(...args, '-o', 'json'));

const WHO = ['--owner', 'Payments', '--contact', 'security@acme.example'];

test('is added with what ties to it, shown with everything that is its own, changed and emptied', async () => {
  const file = join(temporaryFolder(), 'acme.pem');
  const { cert } = await (await authority('theirs')).client('acme');
  writeFileSync(file, cert);
  const ties = ['--certificate', 'authority=devices;subject=CN=*,O=Acme\\; Co', '--certificate', file];
  const limits = ['--operation', 'listOrders', '--operation', 'GET /orders', '--quota', '1000/1h'];
  const ran = await command(['partner', 'add', 'acme', ...WHO, ...ties, '--jwt', 'custmers:azp=acme', ...limits]);
  expect(ran, ran.error).toMatchObject({ exit: 0 });
  expect(ran.error).toBe('note: No token configuration is called custmers.\n');
  await ok('keys', 'create', 'billing', '--partner', 'acme');
  await issued(admin.store, { partner: 'acme', name: 'pump-7' });
  const shown = await json('partner', 'show', 'acme');
  expect(shown).toMatchObject({
    certificates: [
      { authority: 'devices', subject: 'CN=*,O=Acme\\; Co' },
      { fingerprint: new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase() },
    ],
    tokens: [{ configuration: 'custmers', claim: 'azp', value: 'acme' }],
    operations: ['listOrders', 'GET /orders'],
    quota: { requests: 1000, period: '1h' },
    holds: { keys: { live: 1, all: 1 }, certificates: { live: 1, all: 1 } },
    keys: [{ name: 'billing' }],
    issued: [{ name: 'pump-7' }],
  });
  const text = await ok('partner', 'show', 'acme');
  for (const part of ['Payments', 'custmers:azp=acme', '1000 in 1h', 'billing', 'pump-7', '1 live of 1']) {
    expect(text).toContain(part);
  }
  await ok('partner', 'update', 'acme', '--jwt', 'customers', '--expires', '90d', '--clear', 'operations', 'quota');
  const changed = await json('partner', 'show', 'acme');
  expect(changed).toMatchObject({ tokens: [{ configuration: 'customers' }], operations: [], quota: null });
  expect(changed.certificates).toHaveLength(2);
  expect(await ok('partner', 'list')).toMatch(/^name +status +owner/);
});

test('is suspended and resumed, and a question names what it means', async () => {
  await ok('partner', 'add', 'beta', ...WHO);
  expect((await command(['partner', 'suspend', 'beta', '--why', 'x'])).exit).toBe(2);
  const asked = await command(['partner', 'suspend', 'beta', '--why', 'keys on a forum'], { typed: ['y'] });
  expect(asked.error).toContain('Suspend beta (Payments; 0 keys, 0 certificates)?');
  expect(asked.out).toBe('beta is refused from now on\n');
  expect(await ok('partner', 'list', '--status', 'suspended')).toContain('beta');
  const resumed = await command(['partner', 'resume', 'beta'], { typed: ['y'] });
  expect(resumed.error).toContain('keys on a forum?');
  expect(resumed.exit).toBe(0);
  expect((await command(['partner', 'resume', 'beta', '--yes'])).exit).toBe(2);
});

test('rotates into a folder, a file for each key, for its owner alone', async () => {
  await ok('partner', 'add', 'gamma', ...WHO);
  const one = await json('keys', 'create', 'one', '--partner', 'gamma');
  const two = await json('keys', 'create', 'two', '--kind', 'service', '--partner', 'gamma');
  await issued(admin.store, { partner: 'gamma', name: 'sensor-9' });
  const out = join(temporaryFolder(), 'keys');
  const args = ['partner', 'rotate', 'gamma', '--overlap', '7d', '--out', out];
  const ran = await command([...args, '--yes']);
  expect(ran, ran.error).toMatchObject({ exit: 0, out: `2 secrets in ${out}\n` });
  expect(ran.error).toContain('1 certificate to be renewed:');
  expect(ran.error).toContain('sensor-9');
  expect(readdirSync(out).sort()).toEqual([one.id, two.id].sort());
  expect(statSync(join(out, one.id)).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(out, one.id), 'utf8')).toMatch(/^pck_\S+\n$/);
  expect(readFileSync(join(out, two.id), 'utf8')).toContain(`client_id=${two.id}\nclient_secret=pck_`);
  // Nothing is asked of the gateway while the files could not be written.
  expect((await command([...args, '--end-oldest', '--yes'])).exit).toBe(2);
  const again = await command(['partner', 'rotate', 'gamma', '--yes']);
  expect(again.exit).toBe(1);
  expect(again.error).toContain('has two secrets until');
  const shown = await command(['partner', 'rotate', 'gamma', '--end-oldest', '--yes']);
  expect(shown.out).toMatch(/^# [0-9a-f]{12} one\npck_/m);
});

test('is removed when nothing live is left, and says what is', async () => {
  await ok('partner', 'add', 'delta', ...WHO, '--jwt', 'customers:azp=delta');
  const { id } = await json('keys', 'create', 'k', '--partner', 'delta');
  const held = await command(['partner', 'remove', 'delta', '--yes']);
  expect(held.exit).toBe(1);
  expect(held.error).toContain('delta still holds 1 keys and 0 certificates.');
  await ok('keys', 'revoke', id, '--yes');
  const gone = await command(['partner', 'remove', 'delta'], { typed: ['y'] });
  expect(gone.error).toContain('counts as nobody’s then');
  expect(gone.out).toBe('delta is gone\n');
  expect((await command(['partner', 'show', 'delta'])).exit).toBe(1);
});

describe('what is typed of patterns', () => {
  const print = `${'AB:'.repeat(31)}AB`;
  test.each([
    ['authority=a', { authority: 'a' }],
    ['authority=a; san=*.x', { authority: 'a', san: '*.x' }],
    ['subject=CN=a\\;b,O=c', { subject: 'CN=a\\;b,O=c' }],
    [print, { fingerprint: print }],
    [`fingerprint=${print}`, { fingerprint: print }],
  ])('the certificates of `%s`', (written, wanted) => expect(certificatePattern(written)).toEqual([wanted]));

  test.each(['authority=', 'authority=a;issuer=b', 'authority=a;authority=b', 'authority=a;', 'no-such-file.pem'])(
    'no certificate is `%s`',
    written => expect(() => certificatePattern(written)).toThrow(),
  );

  test.each([
    ['customers', { configuration: 'customers' }],
    ['customers:azp=a=b:c', { configuration: 'customers', claim: 'azp', value: 'a=b:c' }],
    ['customers:https://x.example/p=1', { configuration: 'customers', claim: 'https://x.example/p', value: '1' }],
    [':azp=acme', { claim: 'azp', value: 'acme' }],
  ])('the tokens of `%s`', (written, wanted) => expect(tokenPattern(written)).toEqual([wanted]));

  test.each(['', ':', 'customers:', 'customers:azp', 'customers:azp=', 'customers:=x'])('no token is `%s`', written =>
    expect(() => tokenPattern(written)).toThrow(),
  );

  test('a quota is requests in a time', () => {
    expect(quotaOf('1000/1h')).toEqual({ requests: 1000, period: '1h' });
    for (const written of ['1000', '1000/h', '-1/1h', '1000/1y']) expect(() => quotaOf(written)).toThrow();
  });
});
