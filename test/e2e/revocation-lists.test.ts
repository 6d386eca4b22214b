// Revocation lists of a brought authority that come while the gateway serves: fetched, uploaded, refused.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { atTheEnd } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { ask } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, hours, x509 } from '../support/pki.js';
import { pause, until } from '../support/waiting.js';

const origin = await httpOrigin((_, response) => response.end('ok'));
const [servers, partners, strangers] = await Promise.all(['servers', 'partners', 'partners'].map(it => authority(it)));
if (!servers || !partners || !strangers) throw new Error('no authorities');
const [good, stolen, late] = await Promise.all(['good', 'stolen', 'late'].map(name => partners.client(name)));
if (!good || !stolen || !late) throw new Error('no certificates');

let published: string | null = null;
const point = createServer((_, response) => {
  if (published === null) response.writeHead(404).end();
  else response.end(published);
});
await new Promise<void>(resolve => point.listen(0, '127.0.0.1', resolve));
atTheEnd(() => point.close());

const { gateway, caller } = await startFront(
  { 'api.test': { origin: origin.url, mtls: { mode: 'require', trust: ['partners'] } } },
  {
    issuer: servers,
    files: { 'partners.pem': partners.pem },
    config: {
      authorities: {
        partners: {
          certificates: 'partners.pem',
          revocation: {
            fetch: true,
            urls: `http://127.0.0.1:${(point.address() as AddressInfo).port}/partners.crl`,
            allowPrivateAddresses: true,
          },
        },
      },
    },
  },
);

test('nobody passes before a list is there, and those who are not on it as soon as one is', async () => {
  expect(await asked(good)).toBe('503 mtls.revocation_unknown');
  await gateway.counted('portcullis_revocation_fetches_total', 1, 'result="failed"');
  const list = await partners.crl([stolen]);
  expect((await upload(list)).status).toBe(200);
  expect(await asked(good)).toBe('200');
  expect(await asked(stolen)).toBe('403 mtls.revoked');
});

test('a newer list is in force with its upload; one that is wrongly signed or older is refused and changes nothing', async () => {
  const newer = await partners.crl([stolen, late], { thisUpdate: hours(-0.5) });
  expect(await asked(late)).toBe('200');
  expect((await upload(newer)).status).toBe(200);
  expect(await asked(late)).toBe('403 mtls.revoked');
  const forged = await partners.crl([], { thisUpdate: hours(-0.1), signer: strangers });
  expect((await upload(forged)).status).toBe(422);
  expect((await upload(await partners.crl([], { thisUpdate: hours(-2) }))).status).toBe(409);
  expect((await upload('nonsense')).status).toBe(422);
  expect(await asked(late)).toBe('403 mtls.revoked');
  expect(await asked(good)).toBe('200');
});

test('lists that were uploaded are there after the gateway died', async () => {
  const before = gateway.pid;
  process.kill(before, 'SIGKILL');
  await until(() => gateway.pid !== before);
  await gateway.ready();
  expect(await asked(good)).toBe('200');
  expect(await asked(stolen)).toBe('403 mtls.revoked');
});

// The first waits half a minute until the point is asked again; the second has a gateway of its own.
describe.concurrent('fetched lists', () => {
  test('a list that appears at the distribution point is fetched', async () => {
    published = await partners.crl([stolen, late, good], { thisUpdate: hours(-0.05) });
    const refused = async () => {
      await pause(250);
      return (await asked(good)) === '403 mtls.revoked';
    };
    await until(refused, 60_000);
    expect(await gateway.count('portcullis_revocation_fetches_total', 'result="replaced"')).toBe(1);
  }, 90_000);

  test('where a certificate that nobody knew says so, its list is fetched, and it passes without anybody doing anything', async () => {
    const makers = await authority('makers');
    const maker = createServer(async (_, response) => response.end(await makers.crl([])));
    await new Promise<void>(resolve => maker.listen(0, '127.0.0.1', resolve));
    atTheEnd(() => maker.close());
    const url = `http://127.0.0.1:${(maker.address() as AddressInfo).port}/makers.crl`;
    const other = await startFront(
      { 'api.test': { origin: origin.url, mtls: { mode: 'require', trust: ['makers'] } } },
      {
        issuer: servers,
        files: { 'makers.pem': makers.pem },
        config: {
          authorities: {
            makers: { certificates: 'makers.pem', revocation: { fetch: true, allowPrivateAddresses: true } },
          },
        },
      },
    );
    const identity = await makers.client('new', { extensions: [new x509.CRLDistributionPointsExtension([url])] });
    const status = async () => (await ask(other.caller('api.test', identity), '/')).status;
    expect(await status()).toBe(503);
    await until(async () => (await status()) === 200, 15_000);
  });
});

async function asked(identity: typeof good): Promise<string> {
  const { status, body } = await ask(caller('api.test', identity), '/');
  return status === 200 ? '200' : `${status} ${JSON.parse(body).reason}`;
}

function upload(list: string): Promise<Response> {
  return gateway.ask('/admin/v1/pki/authorities/partners/revocation-list', {
    method: 'PUT',
    headers: { 'content-type': 'application/pkix-crl' },
    body: list,
  });
}
