// The first promise of the PKI, on the command line and against a whole gateway: an authority without a file, a
// certificate for a device, its renewal by itself, and its end within a second on a connection that is open.

import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { commandLine } from '../support/command.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { connect } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority } from '../support/pki.js';
import { pause } from '../support/waiting.js';

const HOST = 'localhost';
const WITHIN_MS = 1_000;

let gateway: Gateway;
let command: ReturnType<typeof commandLine>;
let ca: string;
const folder = temporaryFolder();

beforeAll(async () => {
  const servers = await authority('servers');
  const server = await servers.server([HOST]);
  ca = servers.pem;
  writeFileSync(join(folder, 'ca.pem'), ca);
  const origin = await httpOrigin();
  gateway = await startGateway(
    {
      authorities: { devices: { hosted: true } },
      pki: { renewal: { window: '10y' } },
      store: { folder: 'state' },
      hosts: {
        [HOST]: {
          tls: { certificate: 'server.pem', key: 'server.key' },
          mtls: { mode: 'require', trust: ['devices'], own: { renew: true } },
          origin: origin.url,
        },
      },
    },
    { files: { 'server.pem': server.cert, 'server.key': server.key } },
  );
  command = commandLine(gateway, folder);
});

function identity(name = 'sensor-1') {
  const read = (ending: string) => readFileSync(join(folder, name, `${name}${ending}`), 'utf8');
  return { port: gateway.https, host: HOST, ca, cert: read('-chain.pem'), key: read('.key') };
}

const GET = `GET / HTTP/1.1\r\nhost: ${HOST}\r\n\r\n`;

test('an authority that the first start makes is in force without a reload', async () => {
  const applied = () => gateway.count('portcullis_config_reloads_total', 'result="applied"');
  // The store is looked at five times a second.
  await pause(WITHIN_MS);
  expect(await applied()).toBe(0);
});

test('a device is let in, renews itself, and is shut out within a second of its revocation', async () => {
  expect(JSON.parse(await command('pki', 'authority', 'list', '-o', 'json')).items).toMatchObject([
    { name: 'devices', kind: 'hosted', issues: true },
  ]);
  await command('pki', 'issue', 'sensor-1', '--authority', 'devices');
  const before = new X509Certificate(identity().cert);
  const live = await connect(identity());
  live.send(GET);
  expect((await live.response()).status).toBe(200);

  const files = ['--cert', 'sensor-1/sensor-1.pem', '--key', 'sensor-1/sensor-1.key'];
  await command('pki', 'renew', `https://${HOST}:${gateway.https}`, '--ca', 'ca.pem', ...files, '--new-key', '--force');
  const after = new X509Certificate(readFileSync(join(folder, 'sensor-1/sensor-1.pem')));
  expect(after.serialNumber).not.toBe(before.serialNumber);
  expect(after.publicKey.equals(before.publicKey)).toBe(false);

  const serial = before.serialNumber;
  await command('pki', 'revoke', serial, '--authority', 'devices', '--reason', 'keyCompromise', '--yes');
  await pause(WITHIN_MS);
  live.send(GET);
  const refused = await live.response();
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([403, 'mtls.revoked']);
  // What renewed it is another certificate, and stands.
  const { items } = JSON.parse(await command('pki', 'list', '--name', 'sensor-1', '-o', 'json'));
  expect(items.map(({ status }: { status: string }) => status)).toEqual(['valid', 'revoked']);
});

test('inspect says step by step whether the gateway would accept a certificate', async () => {
  await command('pki', 'issue', 'sensor-2', '--authority', 'devices');
  const file = 'sensor-2/sensor-2.pem';
  expect(await command('pki', 'inspect', file, '--host', HOST)).toContain(`${HOST} would accept it`);
  await command('pki', 'hold', '--subject', 'CN=sensor-2', '--yes');
  await pause(WITHIN_MS);
  const refused = await command('pki', 'inspect', file, '--host', HOST).catch(error => error);
  expect(refused.code).toBe(1);
  expect(refused.stdout).toContain(`${HOST} would not accept it: mtls.revoked`);
});
