// `portcullis keys` against the real admin API over a socket.

import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import { keyId, makeKey } from '../../src/manage/keys/form.js';
import { Keys } from '../../src/manage/keys/keys.js';
import { keyRoutes } from '../../src/manage/keys/routes.js';
import { type Admin, adminApi } from '../support/admin.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { authority } from '../support/pki.js';
import { anySocket } from '../support/ports.js';
import { type Person, portcullis } from '../support/terminal.js';

const KEY = /^pck_[0-9a-f]{12}_[0-9A-Za-z]{43}_[0-9a-f]{8}\n$/;

let admin: Admin;
let url: string;
beforeAll(async () => {
  const hosts = () => ['api.example.com'];
  admin = await adminApi({
    capabilities: [(api, store) => keyRoutes(api, new Keys({ store, hosts, now: Date.now }))],
  });
  const server = await prepareAdmin(admin.app, null).listen(await anySocket());
  atTheEnd(() => server.close());
  url = `http://127.0.0.1:${server.port}`;
});

function command(args: string[], person: Person = {}) {
  const env = { PORTCULLIS_ADMIN: url, PORTCULLIS_TOKEN: admin.token('operator'), ...person.env };
  return portcullis(['keys', ...args], { ...person, env });
}

/** What a command that succeeds prints. */
async function ok(...args: string[]): Promise<string> {
  const ran = await command(args);
  expect(ran, ran.error).toMatchObject({ exit: 0 });
  return ran.out;
}

// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
const json = async (...args: string[]): Promise<any> => JSON.parse(await ok(...args, '-o', 'json'));

describe('keys create', () => {
  test('prints the key alone on standard output, and everything else beside it', async () => {
    const ran = await command(['create', 'alone', '--expires', '90d']);
    expect(ran.out).toMatch(KEY);
    expect(ran.error).toContain('shown only this once');
    expect(ran.error).not.toContain(ran.out.trim());
    expect(await ok('show', 'alone')).not.toContain(ran.out.slice(17, 60));
  });

  test('of a service token prints two lines that a shell or an env file takes', async () => {
    const out = await ok('create', 'robot', '--kind', 'service');
    const [, id, secret] = /^client_id=([0-9a-f]{12})\nclient_secret=(\S+)\n$/.exec(out) ?? [];
    expect(keyId(secret ?? '')).toBe(id);
  });

  test('writes it for its owner alone, over no file that is there, and then shows it nowhere', async () => {
    const file = join(temporaryFolder(), 'made', 'key');
    const made = await json('create', 'kept', '--out', file);
    expect(made).not.toHaveProperty('key');
    expect(readFileSync(file, 'utf8')).toMatch(KEY);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await command(['create', 'kept', '--out', file])).exit).toBe(2);
  });

  test('binds to what is given; a certificate is its fingerprint or a file', async () => {
    const { pem } = await authority('device');
    const file = join(temporaryFolder(), 'device.pem');
    writeFileSync(file, pem);
    const print = new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
    const made = await json(
      ...['create', 'bound', '--scope', 'orders:read orders:write', '--scope', 'a,b', '--network', '192.0.2.0/24'],
      ...['--certificate', file, '--certificate', 'AB'.repeat(32), '--host', 'api.example.com'],
    );
    expect(made).toMatchObject({
      scopes: ['orders:read', 'orders:write', 'a,b'],
      networks: ['192.0.2.0/24'],
      certificates: [print, 'ab'.repeat(32)],
      hosts: ['api.example.com'],
    });
    const nothing = join(temporaryFolder(), 'nothing');
    writeFileSync(nothing, 'no certificate');
    expect((await command(['create', 'x', '--certificate', nothing])).exit).toBe(2);
    const stranger = await command(['create', 'x', '--partner', 'nobody']);
    expect(stranger).toMatchObject({ exit: 1, out: '' });
    expect(stranger.error).toContain('portcullis partner add');
  });

  test('two ends are one too many', async () => {
    expect((await command(['create', 'x', '--expires', '1d', '--allow-no-expiry'])).exit).toBe(2);
    expect((await json('create', 'endless', '--allow-no-expiry')).expires_at).toBeNull();
  });
});

describe('keys list, show and update', () => {
  test('find a key by its state, its name, and by when it was last used', async () => {
    const { id } = await json('create', 'found', '--scope', 'x');
    expect(await ok('list')).toMatch(/^id +name +kind/);
    expect(await ok('list', '--name', 'found')).toContain(id);
    expect((await json('list', '--unused-since', '1d', '--all')).items).toEqual([]);
    expect((await command(['list', '--all', '--state', 'active'])).exit).toBe(2);
    expect((await json('show', 'found')).id).toBe(id);
    expect((await json('show', id)).name).toBe('found');
  });

  test('a name that several have is none, and a key itself has no place on a command line', async () => {
    const ids = [(await json('create', 'twin')).id, (await json('create', 'twin')).id];
    const ran = await command(['show', 'twin']);
    expect(ran.exit).toBe(2);
    for (const id of ids) expect(ran.error).toContain(id);
    await ok('revoke', ids[0], '--yes');
    expect((await json('show', 'twin')).id).toBe(ids[1]);
    const { key } = makeKey();
    const pasted = await command(['revoke', key, '--yes']);
    expect(pasted.exit).toBe(2);
    expect(pasted.error).not.toContain(key.slice(17, 60));
  });

  test('replaces lists, empties them, and asks for something to change', async () => {
    await ok('create', 'changing', '--scope', 'a b', '--network', '192.0.2.0/24');
    const changed = await json('update', 'changing', '--scope', 'c', '--clear', 'networks', '--name', 'changed');
    expect(changed).toMatchObject({ name: 'changed', scopes: ['c'], networks: [] });
    expect((await command(['update', 'changed'])).exit).toBe(2);
    expect((await command(['update', 'changed', '--clear', 'scopes', '--scope', 'x'])).exit).toBe(2);
    expect((await command(['update', 'changed', '--clear', 'everything'])).exit).toBe(2);
  });
});

describe('keys rotate and revoke', () => {
  test('the new secret is printed alone, the old one counts for a while or ends at once', async () => {
    const first = (await ok('create', 'turning')).trim();
    const ran = await command(['rotate', 'turning', '--overlap', '7d']);
    expect(ran.out).toMatch(KEY);
    expect(ran.error).toContain('the one before counts until');
    expect(await ok('list', '--name', 'turning')).toContain('rotating');
    const third = await command(['rotate', 'turning', '--overlap', '1h']);
    expect(third).toMatchObject({ exit: 1, out: '' });
    expect((await command(['rotate', 'turning', '--overlap', '0'], { typed: ['n'] })).exit).toBe(1);
    const last = await json('rotate', 'turning', '--overlap', '0', '--yes');
    expect(last.secrets).toHaveLength(1);
    expect(last.key).not.toBe(first);
    expect((await json('rotate', 'turning', '--overlap', '2h')).secrets).toHaveLength(2);
    expect((await json('update', 'turning', '--end-previous')).secrets).toHaveLength(1);
  });

  test('a revocation is asked about, has a reason, and is for ever', async () => {
    await ok('create', 'leaked');
    expect((await command(['revoke', 'leaked'], { typed: ['n'] })).exit).toBe(1);
    const revoked = await json('revoke', 'leaked', '--why', 'found in a repository', '--yes');
    expect(revoked).toMatchObject({ state: 'revoked', revoked_why: 'found in a repository' });
    expect(await ok('list')).not.toContain('leaked');
    expect(await ok('list', '--all')).toContain('leaked');
    expect((await command(['rotate', revoked.id])).exit).toBe(1);
    expect((await command(['show', 'leaked'])).exit).toBe(2);
  });
});

describe('keys check', () => {
  test('tells of a key that was found whose it is and that it counts', async () => {
    const found = await ok('create', 'lost');
    const ran = await command(['check'], { piped: `${found}\n` });
    expect(ran.exit).toBe(0);
    expect(ran.out).toContain('the one in use');
    expect(ran.error).toContain('portcullis keys revoke');
    await ok('rotate', 'lost', '--overlap', '0h', '--yes');
    const file = join(temporaryFolder(), 'found');
    writeFileSync(file, found);
    const after = await json('check', '--file', file);
    expect(after).toMatchObject({ name: 'lost', state: 'active', secret: 'none' });
    expect((await command(['check'], { typed: [found.trim()] })).exit).toBe(0);
  });

  test('knows a typing error without a gateway, and a stranger by asking', async () => {
    const { key } = makeKey();
    const env = { PORTCULLIS_ADMIN: 'http://127.0.0.1:1' };
    expect((await command(['check', '--offline'], { piped: key, env })).out).toContain(key.slice(4, 16));
    const typo = await command(['check', '--offline'], { piped: `${key.slice(0, -1)}x`, env });
    expect(typo).toMatchObject({ exit: 1, out: '' });
    expect((await command(['check'], { piped: key })).exit).toBe(1);
    expect((await command(['check'], { piped: 'x'.repeat(5_000) })).exit).toBe(2);
  });

  test('lets the key itself neither travel nor be printed', async () => {
    const found = (await ok('create', 'secret-one')).trim();
    const before = admin.log.length;
    const ran = await command(['check', '-o', 'json'], { piped: found });
    expect(ran.out + ran.error + JSON.stringify(admin.log.slice(before))).not.toContain(found.slice(17, 60));
  });
});
