// The admin port of a real gateway: its first token, TLS with client certificates, and the way back in.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { authority, type Identity } from '../support/pki.js';

const MAIN = join(import.meta.dirname, '../../dist/main.js');
const run = promisify(execFile);
const HOSTS = { 'api.test': { origin: 'http://127.0.0.1:1' } };

test('the first start prints one token, past the log; later starts print none', async () => {
  const { gateway } = await startFront(HOSTS);
  const { token, folder } = gateway;
  expect(gateway.log.split(token)).toHaveLength(2);
  const json = gateway.log.split('\n').filter(line => line.startsWith('{'));
  expect(json.join('\n')).not.toContain('pct_');
  expect((await gateway.ask('/admin/v1/me')).status).toBe(200);
  await gateway.stop();
  const again = await startFront(HOSTS, { config: { store: { folder: join(folder, 'portcullis-state') } } });
  expect(again.gateway.log).not.toContain('pct_');
  const headers = { authorization: `Bearer ${token}` };
  expect((await again.gateway.ask('/admin/v1/me', { headers })).status).toBe(200);
});

test('who lost every token gets in again through the store, while the gateway runs', async () => {
  const { gateway } = await startFront(HOSTS);
  const { stdout, stderr } = await run(process.execPath, [MAIN, 'token', 'recover', '--config', gateway.configFile]);
  expect(stderr).toContain('good for a day');
  const headers = { authorization: `Bearer ${stdout.trim()}` };
  const me = (await (await gateway.ask('/admin/v1/me', { headers })).json()) as { name: string; role: string };
  expect(me).toMatchObject({ name: expect.stringMatching(/^recovered-/), role: 'admin' });
  const { items } = (await (await gateway.ask('/admin/v1/audit?action=tokens.recover')).json()) as { items: object[] };
  expect(items).toMatchObject([{ actor: 'system', after: { name: me.name, role: 'admin' } }]);
  expect(await (await gateway.ask('/admin/v1/audit/verify')).json()).toMatchObject({ broken: null });
});

test('TLS and client certificates come with a reload, and one that was taken back is refused by the next', async () => {
  const staff = await authority('staff');
  const [alice, bob] = await Promise.all([staff.client('alice'), staff.client('bob')]);
  const front = await startFront(HOSTS, { files: { 'staff.pem': staff.pem, 'staff.crl': await staff.crl([]) } });
  const { gateway, servers, devices } = front;
  const authorities = {
    devices: { certificates: 'devices.pem' },
    staff: { certificates: 'staff.pem', revocation: { crl: 'staff.crl' } },
  };
  const admin = {
    tls: { certificate: 'server.pem', key: 'server.key' },
    clients: { trust: ['staff'], roles: { 'CN=alice': 'operator', 'CN=bob': 'viewer' } },
  };
  gateway.writeConfig({ authorities, admin });
  const ask = (path: string, { cert, key }: Partial<Identity> = {}, method = 'GET') =>
    new Promise<number>((resolve, reject) => {
      const tls = { ca: servers.pem, servername: 'api.test', cert, key };
      const sent = request({ port: gateway.admin, path, method, agent: false, ...tls }, answer => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      });
      sent.on('error', reject).end();
    });
  await expect.poll(() => ask('/readyz').catch(() => 0), { timeout: 10_000 }).toBe(200);
  expect(await ask('/admin/v1/me', alice)).toBe(200);
  expect(await ask('/admin/v1/me', bob)).toBe(200);
  expect(await ask('/admin/v1/reload', bob, 'POST')).toBe(403);
  expect(await ask('/admin/v1/me', await devices.client('alice'))).toBe(403);
  writeFileSync(join(gateway.folder, 'staff.crl'), await staff.crl([bob]));
  await expect.poll(() => ask('/admin/v1/me', bob), { timeout: 10_000 }).toBe(403);
  expect(await ask('/admin/v1/reload', alice, 'POST')).toBe(200);
});
