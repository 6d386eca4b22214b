// A client-certificate rule as an operator makes it: what it would do is told from traffic, then it is staged, then it
// bites, and it can be taken back. The configuration is not touched.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test, vi } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { commandLine } from '../support/command.js';
import { type Gateway, startGateway } from '../support/gateway.js';
import { ask } from '../support/https.js';
import { needs } from '../support/needs.js';
import { httpOrigin } from '../support/origin.js';
import { authority } from '../support/pki.js';

const HOST = 'localhost';
/** A reload takes its time on a busy machine. */
const WITHIN_MS = 10_000;
const folder = temporaryFolder();

let gateway: Gateway;
let ca: string;
let command: ReturnType<typeof commandLine>;

beforeAll(async () => {
  const servers = await authority('servers');
  const server = await servers.server([HOST]);
  ca = servers.pem;
  const origin = await httpOrigin();
  const openapi = {
    openapi: '3.1.0',
    info: { title: 'orders', version: '1' },
    paths: {
      '/v1/orders': { get: { operationId: 'oldOrders', responses: { 200: { description: 'orders' } } } },
      '/v2/orders': { get: { operationId: 'orders', responses: { 200: { description: 'orders' } } } },
    },
  };
  gateway = await startGateway(
    {
      authorities: { devices: { hosted: true } },
      hosts: {
        [HOST]: {
          tls: { certificate: 'server.pem', key: 'server.key' },
          mtls: { mode: 'request', trust: ['devices'], own: { est: true } },
          origin: origin.url,
          openapi: { file: 'openapi.json', action: 'block', fallthrough: 'block' },
        },
      },
    },
    { files: { 'server.pem': server.cert, 'server.key': server.key, 'openapi.json': JSON.stringify(openapi) } },
  );
  writeFileSync(join(folder, 'ca.pem'), ca);
  command = commandLine(gateway, folder);
  await command('pki', 'issue', 'phone', '--authority', 'devices');
});

function caller(name: string | null) {
  const read = (ending: string) => readFileSync(join(folder, `${name}`, `${name}${ending}`), 'utf8');
  const identity = name === null ? {} : { cert: read('-chain.pem'), key: read('.key') };
  return { port: gateway.https, host: HOST, ca, ...identity };
}

const status = async (name: string | null, path: string) => (await ask(caller(name), path)).status;

test('a rule is previewed, only recorded, promoted, and taken away', async () => {
  for (const [name, path] of [
    ['phone', '/v2/orders'],
    [null, '/v2/orders'],
    [null, '/v2/orders'],
    [null, '/v1/orders'],
  ] as const) {
    expect(await status(name, path)).toBe(200);
  }
  const enable = ['mtls', 'enable', HOST, '--trust', 'devices', '--path', '/v2'];
  await vi.waitFor(async () => {
    const told = JSON.parse(
      await command('mtls', 'preview', HOST, '--trust', 'devices', '--path', '/v2', '-o', 'json'),
    );
    expect(told).toMatchObject({ requests: 3, valid: 1, absent: 2, operations: [{ id: 'orders', denied: 2 }] });
  }, WITHIN_MS);

  await command(...enable, '--mode', 'log', '--yes');
  const recorded = await vi.waitFor(async () => {
    expect(await status(null, '/v2/orders')).toBe(200);
    return await gateway.event(event => event.SecurityRuleID === 'mtls.missing', 500);
  }, WITHIN_MS);
  expect(recorded).toMatchObject({ SecurityAction: 'log', ClientRequestPath: '/v2/orders' });

  await command('mtls', 'promote', HOST, '--path', '/v2', '--yes');
  await vi.waitFor(async () => expect(await status(null, '/v2/orders')).toBe(403), WITHIN_MS);
  expect(await status('phone', '/v2/orders')).toBe(200);
  expect(await status(null, '/v1/orders')).toBe(200);

  await command('mtls', 'disable', HOST, '--path', '/v2', '--yes');
  await vi.waitFor(async () => expect(await status(null, '/v2/orders')).toBe(200), WITHIN_MS);
  const { items } = JSON.parse(await command('audit', 'list', '--action', 'mtls', '-o', 'json'));
  expect(items.map(({ action }: { action: string }) => action)).toEqual([
    'mtls.rule.delete',
    'mtls.rule.change',
    'mtls.rule.create',
  ]);
});

test('an authority that is made while the gateway runs is trusted as soon as a rule says so', async () => {
  await command('pki', 'authority', 'create', 'partners');
  await command('pki', 'issue', 'acme', '--authority', 'partners');
  await command('mtls', 'enable', HOST, '--trust', 'partners', '--path', '/v1', '--yes');
  // TLS learns of another authority with fresh edge threads; the rule bites when they all listen.
  await vi.waitFor(async () => expect(await status('phone', '/v1/orders')).toBe(403), 20_000);
  expect(await status('acme', '/v1/orders')).toBe(200);
  expect(await status('phone', '/v2/orders')).toBe(200);
});

needs('openssl')('a device enrols over EST with a secret, and is let in with what it got', async () => {
  const created = await command('pki', 'enrolment', 'create', 'sensor-*', '--authority', 'devices', '-o', 'json');
  const { secret } = JSON.parse(created);
  const openssl = (line: string) => promisify(execFile)('openssl', line.split(' '), { cwd: folder });
  mkdirSync(join(folder, 'sensor-7'));
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sensor-7/sensor-7.key';
  await openssl(`req -new ${key} -subj /CN=sensor-7 -outform DER -out sensor-7.csr`);
  const enrol = (password: string) =>
    ask(caller(null), '/.well-known/est/devices/simpleenroll', {
      method: 'POST',
      headers: {
        'content-type': 'application/pkcs10',
        authorization: `Basic ${Buffer.from(`est:${password}`).toString('base64')}`,
      },
      body: readFileSync(join(folder, 'sensor-7.csr')).toString('base64'),
    });
  expect((await enrol('pce_wrong')).status).toBe(401);
  const enrolled = await enrol(secret);
  expect([enrolled.status, enrolled.headers['content-type']]).toEqual([
    200,
    'application/pkcs7-mime; smime-type=certs-only',
  ]);
  writeFileSync(join(folder, 'sensor-7.p7'), Buffer.from(enrolled.body, 'base64'));
  await openssl('pkcs7 -inform DER -in sensor-7.p7 -print_certs -out sensor-7/sensor-7-chain.pem');
  expect(await status('sensor-7', '/v2/orders')).toBe(200);
  expect((await enrol(secret)).status, 'a secret for one device is used up').toBe(401);
});
