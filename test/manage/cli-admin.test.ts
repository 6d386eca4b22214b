// The command line against the real admin API over a socket: what one command makes, the next one finds.

import { execFileSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import { routes as mtlsRoutes } from '../../src/manage/mtls/routes.js';
import { inspectRoutes } from '../../src/manage/pki/inspect-routes.js';
import { Revocations } from '../../src/manage/pki/revocation.js';
import { revocationRoutes } from '../../src/manage/pki/revocation-routes.js';
import { routes as pkiRoutes } from '../../src/manage/pki/routes.js';
import { Pki } from '../../src/manage/pki/service.js';
import type { Store } from '../../src/manage/store/open.js';
import { pki as run } from '../../src/native.js';
import { type Admin, adminApi } from '../support/admin.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { authority } from '../support/pki.js';
import { anySocket } from '../support/ports.js';
import { type Person, portcullis } from '../support/terminal.js';

const HOST = 'api.example.com';
const HOUR_MS = 3_600_000;

let admin: Admin;
let url: string;
beforeAll(async () => {
  const log = { info() {}, warn() {}, error() {} } as never;
  admin = await adminApi({
    capabilities: [
      (api, store) => pkiRoutes(api, new Pki({ store, run, log })),
      (api, store) => revocationRoutes(api, new Revocations(store, name => keysOf(store, name))),
      (api, store) =>
        mtlsRoutes(api, {
          store,
          hosts: () => [{ name: HOST, operations: [{ id: 'listOrders', method: 'GET', path: '/orders' }] }],
          record: async () => {},
          authorities: async () =>
            (await store.db.selectFrom('authorities').select('name').execute()).map(it => it.name),
        }),
      api => inspectRoutes(api, { run, judge, hosts: () => [HOST] }),
    ],
  });
  const server = await prepareAdmin(admin.app, null).listen(await anySocket());
  atTheEnd(() => server.close());
  url = `http://127.0.0.1:${server.port}`;
  await ok('pki', 'authority', 'create', 'devices');
});

const judge = (_: string, asked: string) =>
  JSON.stringify({
    steps: [
      { step: 'parse', ok: true, detail: 'It can be read.' },
      { step: 'path', ok: false, detail: `Nobody of ${JSON.parse(asked).host} issued it.` },
    ],
    reason: 'mtls.untrusted',
  });

async function keysOf(store: Store, name: string): Promise<string[]> {
  const rows = await store.db.selectFrom('generations').select('key_id').where('authority', '=', name).execute();
  return rows.map(({ key_id }) => key_id);
}

/** As an admin. */
function command(args: string[], person: Person = {}) {
  const env = { PORTCULLIS_ADMIN: url, PORTCULLIS_TOKEN: admin.token('admin'), ...person.env };
  return portcullis(args, { pki: async () => run, ...person, env });
}

/** What a command that succeeds prints. */
async function ok(...args: string[]): Promise<string> {
  const ran = await command(args);
  expect(ran, ran.error).toMatchObject({ exit: 0 });
  return ran.out;
}

// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
const json = async (...args: string[]): Promise<any> => JSON.parse(await ok(...args, '-o', 'json'));

describe('authorities', () => {
  test('are created with what was asked for', async () => {
    const subject = ['--common-name', 'Vehicles', '--organization', 'Example Ltd', '--country', 'DE'];
    const limits = ['--permit', 'dns:example.com', '--exclude', 'dns:internal.example.com'];
    const made = ['--key-type', 'P-384', '--validity', '5y', '--intermediate', ...subject, ...limits];
    const one = await json('pki', 'authority', 'create', 'vehicles', ...made);
    expect(one).toMatchObject({ name: 'vehicles', kind: 'hosted', key_type: 'P-384', root: true, issues: true });
    expect(one.generations[0].subject).toContain('CN=Vehicles');
    expect(one.name_constraints.permitted.dns).toEqual(['example.com']);
    expect(await ok('pki', 'authority', 'list')).toMatch(/^name +kind +state/);
    expect(await ok('pki', 'authority', 'show', 'vehicles')).toContain('hosted, below a root of its own');
  });

  test('a name that is taken is refused with exit code 1', async () => {
    const ran = await command(['pki', 'authority', 'create', 'devices']);
    expect(ran).toMatchObject({ exit: 1, out: '' });
    expect(ran.error).toContain('There is an authority devices already.');
  });

  test('are imported, rotated, downloaded and retired', async () => {
    const [first, second] = await Promise.all(['one', 'two'].map(name => authority(name)));
    const folder = temporaryFolder();
    const files = ['one.pem', 'two.pem'].map(name => join(folder, name));
    writeFileSync(files[0] as string, first?.pem ?? '');
    writeFileSync(files[1] as string, second?.pem ?? '');
    const brought = await json('pki', 'authority', 'import', 'partners', '--certificates', files[0] as string);
    expect(brought).toMatchObject({ kind: 'imported', issues: false });
    const rotate = ['pki', 'authority', 'rotate', 'partners', '--certificates', files[1] as string];
    expect((await json(...rotate, '--overlap', '30d')).generations).toHaveLength(2);
    const out = join(folder, 'trusted.pem');
    await ok('pki', 'authority', 'download', 'partners', '--out', out);
    expect(readFileSync(out, 'utf8').match(/BEGIN/g)).toHaveLength(2);
    expect((await command(['pki', 'authority', 'retire', 'partners'], { typed: ['n'] })).exit).toBe(1);
    expect((await json('pki', 'authority', 'show', 'partners')).state).toBe('active');
    await ok('pki', 'authority', 'retire', 'partners', '--yes');
    expect((await json('pki', 'authority', 'show', 'partners')).state).toBe('retired');
  });
});

describe('certificates', () => {
  test('are issued, found, held, restored and revoked', async () => {
    const out = join(temporaryFolder(), 'sensor');
    await ok('pki', 'issue', 'sensor-1', '--authority', 'devices', '--partner', 'acme', '--out', out);
    const certificate = new X509Certificate(readFileSync(join(out, 'sensor-1.pem')));
    const issuer = new X509Certificate(readFileSync(join(out, 'authority.pem')));
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    const { items } = await json('pki', 'list', '--partner', 'acme', '--expiring', '365d');
    expect(items).toMatchObject([{ name: 'sensor-1', status: 'valid' }]);
    const [{ serial, fingerprint }] = items;
    const status = async () => (await json('pki', 'show', fingerprint)).status;
    await ok('pki', 'hold', serial, '--authority', 'devices', '--yes');
    expect(await status()).toBe('held');
    await ok('pki', 'restore', fingerprint, '--yes');
    expect(await status()).toBe('valid');
    await ok('pki', 'revoke', '--partner', 'acme', '--reason', 'keyCompromise', '--yes');
    expect(await status()).toBe('revoked');
    const again = await command(['pki', 'revoke', fingerprint], { typed: [] });
    expect(again.error + again.out).toContain('revoked already');
    expect(await ok('pki', 'revocations')).toContain('keyCompromise');
  });

  needs('openssl')('PKCS#12 opens with the password that was typed', async () => {
    const out = temporaryFolder();
    const args = ['pki', 'issue', 'alice', '--authority', 'devices', '--format', 'pkcs12', '--out', out];
    const ran = await command(args, { typed: ['correct horse battery', 'correct horse battery'] });
    expect(ran, ran.error).toMatchObject({ exit: 0 });
    const read = ['pkcs12', '-in', join(out, 'alice.p12'), '-nodes', '-passin', 'pass:correct horse battery'];
    expect(execFileSync('openssl', read).toString()).toContain('PRIVATE KEY');
    expect(statSync(join(out, 'alice.p12')).mode & 0o777).toBe(0o600);
  });

  test('a profile refuses with what it allows', async () => {
    const ran = await command([
      'pki',
      'issue',
      'x',
      '--authority',
      'devices',
      '--days',
      '1000',
      '--out',
      temporaryFolder(),
    ]);
    expect(ran.exit).toBe(1);
    expect(ran.error).toContain('365d at most');
  });

  test('of nobody that is known: exit code 1, and nothing is written', async () => {
    const out = temporaryFolder();
    expect((await command(['pki', 'issue', 'x', '--authority', 'nobody', '--out', out])).exit).toBe(1);
    expect(readdirSync(out)).toEqual([]);
  });
});

describe('many at once', () => {
  const bulk = (csv: string, ...more: string[]) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'fleet.csv'), csv);
    const out = join(folder, 'fleet');
    const args = ['pki', 'issue', '--authority', 'devices', '--bulk', join(folder, 'fleet.csv'), '--out', out, ...more];
    return { out, run: (person: Person = {}) => command(args, person) };
  };

  test('a CSV becomes a folder with a folder for each, in parts, with progress', async () => {
    const names = Array.from({ length: 230 }, (_, i) => `bulk-${i},acme-${i % 3}`);
    const { out, run } = bulk(`name,partner\n"bulk ""quoted"", odd",\r\n${names.join('\n')}\n`);
    const ran = await run();
    expect(ran, ran.error).toMatchObject({ exit: 0 });
    expect(ran.error).toContain('issuing: 200 of 231\n');
    expect(readdirSync(out)).toHaveLength(233);
    const key = join(out, 'bulk-229', 'bulk-229.key');
    expect(statSync(key).mode & 0o777).toBe(0o600);
    const certificate = new X509Certificate(readFileSync(join(out, 'bulk-229', 'bulk-229.pem')));
    expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(key)))).toBe(true);
    expect(readFileSync(join(out, 'devices.csv'), 'utf8').match(/\r\n/g)).toHaveLength(232);
    expect((await json('pki', 'list', '--partner', 'acme-2', '--limit', '1000')).items).toHaveLength(76);
  });

  test('a mistake names the line of the file, and says what was issued before it', async () => {
    const names = Array.from({ length: 120 }, (_, i) => `late-${i}`);
    names[110] = 'late-\u0007';
    const { out, run } = bulk(`name\n\n${names.join('\n')}\n`);
    const ran = await run();
    expect(ran.exit).toBe(1);
    expect(ran.error).toContain('/113: ');
    expect(ran.error).toContain('100 certificates of earlier lines were issued');
    expect(readFileSync(join(out, 'devices.csv'), 'utf8').match(/\r\n/g)).toHaveLength(101);
  });

  test('with --allow-partial the others are issued, and errors.csv has the rest', async () => {
    const { out, run } = bulk('name,dns\nfine-1,\nwrong-1,not a name!\nfine-2,\n', '--allow-partial');
    const ran = await run();
    expect(ran.exit).toBe(1);
    expect(readdirSync(out).sort()).toEqual(['README.md', 'devices.csv', 'errors.csv', 'fine-1', 'fine-2']);
    expect(readFileSync(join(out, 'errors.csv'), 'utf8')).toContain('3,');
  });

  test('names twice, no names, and folders that are there are refused before anything is asked', async () => {
    const before = (await json('pki', 'list', '--limit', '100000')).items.length;
    expect((await bulk('name\nsame\nsame\n').run()).error).toContain('line 3: the name is that of line 2');
    expect((await bulk('device\nx\n').run()).exit).toBe(2);
    expect((await bulk('name\n').run()).exit).toBe(2);
    expect((await bulk('name\n"x\n').run()).error).toContain('line 2: a quote is not closed');
    const { out, run } = bulk('name\nthere\n');
    mkdirSync(join(out, 'there'), { recursive: true });
    expect((await run()).exit).toBe(2);
    expect((await bulk('name\nx\n', '--dns', 'a.example').run()).exit).toBe(2);
    expect((await json('pki', 'list', '--limit', '100000')).items).toHaveLength(before);
  });

  test('names that become one folder get two', async () => {
    const { out, run } = bulk('name\na b\nA_b\n');
    expect(await run()).toMatchObject({ exit: 0 });
    expect(readdirSync(out)).toEqual(expect.arrayContaining(['a_b', 'A_b-2']));
  });
});

describe('enrolments', () => {
  test('a secret is shown once; the enrolment is listed and ended', async () => {
    const made = await json('pki', 'enrolment', 'create', 'line-*', '--authority', 'devices', '--uses', '10');
    expect(made).toMatchObject({ name: 'line-*', uses_left: 10, secret: expect.stringMatching(/^pce_/) });
    const list = await ok('pki', 'enrolment', 'list');
    expect(list).toContain('line-*');
    expect(list).not.toContain(made.secret);
    await ok('pki', 'enrolment', 'revoke', made.id, '--yes');
    expect(await ok('pki', 'enrolment', 'list')).not.toContain('line-*');
    expect(await ok('pki', 'enrolment', 'list', '--all')).toContain('revoked');
  });
});

describe('inspect', () => {
  test('explains a file and tells why the gateway would not accept it', async () => {
    const out = join(temporaryFolder(), 'odd');
    await ok('pki', 'issue', 'odd', '--authority', 'devices', '--out', out);
    const file = join(out, 'odd.pem');
    const ran = await command(['pki', 'inspect', file, '--host', HOST]);
    expect(ran.exit).toBe(1);
    expect(ran.out).toContain('CN=odd');
    expect(ran.out).toContain(`${HOST} would not accept it: mtls.untrusted`);
    expect(ran.out).toContain(`FAIL path: Nobody of ${HOST} issued it.`);
    const told = JSON.parse((await command(['pki', 'inspect', file, '-o', 'json'])).out);
    expect(told).toMatchObject([{ file, kind: 'certificate', items: [{ judged: [{ host: HOST, accepted: false }] }] }]);
  });

  test('without a gateway it explains all the same', async () => {
    const out = join(temporaryFolder(), 'odd');
    await ok('pki', 'issue', 'lone', '--authority', 'devices', '--out', out);
    const file = join(out, 'lone.pem');
    const env = { PORTCULLIS_ADMIN: 'http://127.0.0.1:1' };
    const ran = await command(['pki', 'inspect', file], { env });
    expect(ran.exit).toBe(0);
    expect(ran.out).toContain('CN=lone');
    expect(ran.error).toContain('cannot be reached');
    expect((await command(['pki', 'inspect', file, '--offline'], { env })).error).toBe('');
    expect((await command(['pki', 'inspect', file, '--host', HOST], { env })).exit).toBe(3);
  });

  test('what is nothing of the kind is said to be none', async () => {
    const file = join(temporaryFolder(), 'x');
    writeFileSync(file, 'hello');
    expect((await command(['pki', 'inspect', file, '--offline'])).exit).toBe(1);
  });
});

describe('mtls', () => {
  beforeAll(async () => {
    const hour = Math.floor(Date.now() / HOUR_MS);
    const counted = { host: HOST, operation: 'listOrders', hour, node: 'a', valid: 900, absent: 95, invalid: 5 };
    await admin.store.db.insertInto('mtls_hours').values(counted).execute();
  });

  test('enable shows what it would do, asks, makes the rule; promote and disable change it', async () => {
    const enable = ['mtls', 'enable', HOST, '--trust', 'devices', '--mode', 'log'];
    const no = await command(enable, { typed: ['no'] });
    expect(no.exit).toBe(1);
    expect(no.error).toContain('1,000 requests');
    expect(no.error).toContain('100 requests (10.0 %) would be denied');
    expect(no.error).toContain('listOrders');
    expect(await ok('mtls', 'list')).toContain('no rules');
    const yes = await command(enable, { typed: ['y'] });
    expect(yes).toMatchObject({ exit: 0 });
    expect(yes.error).toContain(`portcullis mtls promote ${HOST}`);
    expect((await json('mtls', 'list')).items).toMatchObject([{ host: HOST, action: 'log', trust: ['devices'] }]);
    expect(await json('mtls', 'promote', HOST, '--yes')).toMatchObject({ action: 'block' });
    expect(await json('mtls', 'enable', HOST, '--trust', 'vehicles,devices', '--yes')).toMatchObject({
      trust: ['vehicles', 'devices'],
    });
    await ok('mtls', 'disable', HOST, '--yes');
    expect((await command(['mtls', 'disable', HOST, '--yes'])).exit).toBe(2);
  });

  test('a host that is not served is refused before anything is asked', async () => {
    const ran = await command(['mtls', 'enable', 'other.example.com', '--trust', 'devices', '--yes']);
    expect(ran.exit).toBe(1);
    expect(ran.error).toContain('is not served');
  });
});

describe('tokens and the audit log', () => {
  test('a token is made once, listed without its secret, and refused when it is revoked', async () => {
    const file = join(temporaryFolder(), 'token');
    const made = await json('token', 'create', 'pipeline', '--role', 'operator', '--expires', '30d', '--out', file);
    expect(made).not.toHaveProperty('token');
    const token = readFileSync(file, 'utf8').trim();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await ok('token', 'list')).not.toContain(token);
    const asIt = () => command(['pki', 'list'], { env: { PORTCULLIS_TOKEN: token } });
    expect((await asIt()).exit).toBe(0);
    expect((await command(['token', 'list'], { env: { PORTCULLIS_TOKEN: token } })).exit).toBe(3);
    await ok('token', 'revoke', 'pipeline', '--yes');
    expect((await asIt()).exit).toBe(3);
    expect(await ok('token', 'list')).not.toContain('pipeline');
    expect(await ok('token', 'list', '--all')).toContain('revoked');
  });

  test('login knows whose token it is', async () => {
    const home = temporaryFolder();
    const env = { PORTCULLIS_TOKEN: undefined, PORTCULLIS_ADMIN: url };
    const ran = await portcullis(['login'], { home, env, typed: [admin.token('viewer')] });
    expect(ran.out).toContain('a-viewer (viewer)');
    expect((await portcullis(['pki', 'list'], { home, env })).exit).toBe(0);
  });

  test('every change is in the log, and the log holds', async () => {
    const { items } = await json('audit', 'list', '--action', 'pki.authority', '--since', '1h');
    expect(items.at(-1)).toMatchObject({ action: 'pki.authority.create', target: 'devices', actor: 'a-admin' });
    const verified = await ok('audit', 'verify');
    expect(verified).toMatch(/each as it was written; head \d+ [0-9a-f]{64}\n$/);
    const head = verified.trim().split(' ').at(-1) ?? '';
    await ok('audit', 'verify', '--head', head);
    expect((await command(['audit', 'verify', '--head', '0'.repeat(64)])).exit).toBe(1);
    await admin.store.db.updateTable('audit').set({ actor: 'nobody' }).where('seq', '=', 1).execute();
    expect((await command(['audit', 'verify'])).exit).toBe(1);
  });
});
