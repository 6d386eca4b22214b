// Certificates that the gateway shows, replaced while it serves: never one without its key, and never none.

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { connect } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { pause, until } from '../support/waiting.js';

const origin = await httpOrigin((_, response) => response.end('ok'));
const servers = await authority('servers');
const { gateway, caller } = await startFront({ 'api.test': { origin: origin.url } }, { issuer: servers });
const REFUSED = ['portcullis_config_reloads_total', 'result="refused"'] as const;
const APPLIED = ['portcullis_config_reloads_total', 'result="applied"'] as const;
/** Longer than the watch's settling and a reload. */
const NOTICED_MS = 1_500;

test('a certificate whose key comes later is taken up when both fit together, and not before', async () => {
  const fresh = await servers.server(['api.test']);
  const refusals = await gateway.count(...REFUSED);
  replace('server.pem', fresh.cert);
  await gateway.counted(REFUSED[0], refusals + 1, REFUSED[1]);
  await until(async () => (await shown()) === current);
  replace('server.key', fresh.key);
  await taken(fresh);
});

test('the same with the key first', async () => {
  const fresh = await servers.server(['api.test']);
  replace('server.key', fresh.key);
  await pause(NOTICED_MS);
  replace('server.pem', fresh.cert);
  await taken(fresh);
});

test.each([
  ['is cut off half-way', (pem: string) => pem.slice(0, pem.length / 2)],
  ['is empty', () => ''],
  ['holds something else', () => 'nothing of the kind'],
])('a certificate file that %s leaves the old certificate in place', async (_, broken) => {
  const fresh = await servers.server(['api.test']);
  const refusals = await gateway.count(...REFUSED);
  replace('server.pem', broken(fresh.cert));
  await gateway.counted(REFUSED[0], refusals + 1, REFUSED[1]);
  await until(async () => (await shown()) === current);
  replace('server.key', fresh.key);
  replace('server.pem', fresh.cert);
  await taken(fresh);
});

test('a certificate file that is gone leaves the old certificate in place', async () => {
  const fresh = await servers.server(['api.test']);
  const refusals = await gateway.count(...REFUSED);
  rmSync(join(gateway.folder, 'server.pem'));
  await gateway.counted(REFUSED[0], refusals + 1, REFUSED[1]);
  await until(async () => (await shown()) === current);
  replace('server.key', fresh.key);
  replace('server.pem', fresh.cert);
  await taken(fresh);
});

test('when it expires is a metric of its host', async () => {
  const text = await gateway.metrics();
  expect(text).toMatch(/portcullis_certificate_expiry_timestamp_seconds\{kind="server",name="api.test"\} \d{10}/);
});

/** What is in force, and after how many reloads. */
let current = await shown();
let applied = await gateway.count(...APPLIED);

/** Until the reload is over: threads that are on their way out may still show the one before. */
async function taken(fresh: Identity): Promise<void> {
  await gateway.counted(APPLIED[0], applied + 1, APPLIED[1]);
  applied = await gateway.count(...APPLIED);
  current = serialOf(fresh);
  await until(async () => (await shown()) === current);
}

/** Serial number of what a new connection is shown; it is answered too. */
async function shown(): Promise<string | undefined> {
  const client = await connect(caller('api.test'));
  const { status } = await client.ask('GET / HTTP/1.1\r\nHost: api.test\r\n\r\n');
  expect(status).toBe(200);
  const serial = client.socket.getPeerX509Certificate()?.serialNumber;
  client.close();
  return serial;
}

function serialOf({ certificate }: Identity): string {
  return certificate.serialNumber.toUpperCase();
}

function replace(name: string, content: string): void {
  const fresh = join(gateway.folder, `.${name}`);
  writeFileSync(fresh, content, { mode: 0o600 });
  renameSync(fresh, join(gateway.folder, name));
}
