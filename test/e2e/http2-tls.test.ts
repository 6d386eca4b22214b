// TLS of the HTTP/2 door: it lets everybody shake hands, and each request is told what its certificate is worth.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { expect, test } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { ask, type Caller } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { authority, hours, type Identity } from '../support/pki.js';
import { type Client2, connect2 } from '../support/streams.js';
import { pause } from '../support/waiting.js';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
/** A revocation bites everywhere within one second. */
const WITHIN_MS = 1_000;

const [partners, house, strangers] = await Promise.all([
  authority('partners'),
  authority('house'),
  authority('strangers'),
]);
const upper = await house.intermediate('upper');
const lower = await upper.intermediate('lower');
const origin = await httpOrigin(({ headers }, response) => {
  response.setHeader('x-chain', headers['client-cert-chain'] ?? 'none');
  response.end('ok');
});
const trusting = (trust: string, more = {}) => ({
  origin: origin.url,
  mtls: { mode: 'require', trust: [trust], ...more },
});
const front = await startFront(
  {
    'devices.test': trusting('devices'),
    'twin.test': trusting('devices'),
    'logged.test': trusting('devices', { action: 'log' }),
    'partners.test': trusting('partners'),
    'house.test': trusting('house', { forward: ['chain'] }),
    'off.test': { origin: origin.url, mtls: { mode: 'off' } },
  },
  {
    threads: 2,
    environment: { PORTCULLIS_STORE_KEY: randomBytes(32).toString('base64') },
    files: { 'partners.pem': partners.pem, 'house.pem': house.pem },
    config: {
      store: { folder: join(temporaryFolder(), 'state') },
      authorities: {
        devices: { certificates: 'devices.pem' },
        partners: { certificates: 'partners.pem' },
        house: { certificates: 'house.pem' },
      },
    },
  },
);
const { gateway, devices, client: good } = front;

/** `200`, or `403 mtls.missing`. */
async function asked(client: Client2, host = client.host): Promise<string> {
  const { status, body } = await client.ask({ ':authority': host });
  return status === 200 ? '200' : `${status} ${JSON.parse(body).reason}`;
}

async function askedOnce(host: string, identity: Identity | null, tls: Caller['tls'] = {}): Promise<string> {
  const client = await connect2({ ...front.caller(host, identity), tls });
  const answer = await asked(client);
  await client.close();
  return answer;
}

/** A handshake by hand, for its session; what comes of it is an HTTP/2 connection once somebody speaks on it. */
async function shakeHands(host: string, identity: Identity | null, more: ConnectionOptions): Promise<TLSSocket> {
  const { port, ca, cert, key } = front.caller(host, identity);
  const options = { host: '127.0.0.1', port, servername: host, ca, cert, key, ALPNProtocols: ['h2'], ...more };
  const socket = tlsConnect(options as ConnectionOptions);
  atTheEnd(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function over(socket: TLSSocket, host: string): Promise<Client2> {
  return connect2(front.caller(host, null), { createConnection: () => socket });
}

test.each(VERSIONS)('over %s every fault of a certificate gets an answer, with its reason', async version => {
  const tls = { minVersion: version, maxVersion: version };
  const cases: [Identity | null, string][] = [
    [good, '200'],
    [await devices.client('p521', { key: 'P-521' }), '200'],
    [await devices.client('ed25519', { key: 'Ed25519' }), '200'],
    [await devices.client('rsa', { key: 'RSA-2048' }), '200'],
    [null, '403 mtls.missing'],
    [await strangers.client('stranger'), '403 mtls.untrusted'],
    [await devices.client('late', { notAfter: hours(-1) }), '403 mtls.expired'],
    [await devices.client('early', { notBefore: hours(1) }), '403 mtls.not_yet_valid'],
    [await devices.server(['server.test']), '403 mtls.usage'],
    [await devices.clientVersion1('old'), '403 mtls.x509_v1'],
  ];
  for (const [identity, answer] of cases) expect(await askedOnce('devices.test', identity, tls)).toBe(answer);
});

test('what is only logged passes here, and is refused in the handshake of the other door', async () => {
  const stranger = await strangers.client('stranger');
  const client = await connect2(front.caller('logged.test', stranger));
  const { status, headers } = await client.ask({});
  expect(status).toBe(200);
  const event = await gateway.event(({ RayID }) => RayID === headers['x-request-id']);
  expect(event).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'mtls.untrusted' });
  await expect(ask(front.caller('logged.test', stranger), '/')).rejects.toMatchObject({
    code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
  });
});

test('intermediates that the client sends complete its path, for it alone', async () => {
  const leaf = await lower.client('branch office');
  const sent = (...issuers: { pem: string }[]) => ({ ...leaf, cert: leaf.cert + issuers.map(one => one.pem).join('') });
  const answers = async () => ({
    alone: await askedOnce('house.test', leaf),
    half: await askedOnce('house.test', sent(lower)),
    whole: await askedOnce('house.test', sent(lower, upper)),
    turned: await askedOnce('house.test', sent(upper, lower)),
  });
  const untrusted = '403 mtls.untrusted';
  const expected = { alone: untrusted, half: untrusted, whole: '200', turned: '200' };
  expect(await answers()).toEqual(expected);
  expect(await answers(), 'what one chain is worth is not told of another, whichever came first').toEqual(expected);
  const client = await connect2(front.caller('house.test', sent(upper, lower)));
  const { headers } = await client.ask({});
  const told = [lower, upper].map(({ certificate }) => `:${Buffer.from(certificate.rawData).toString('base64')}:`);
  expect(headers['x-chain'], 'the path, in its order').toBe(told.join(', '));
});

test('a certificate that is revoked is refused within a second, on the connection that it has open', async () => {
  const [stolen, other] = [await devices.client('stolen'), await devices.client('other')];
  const clients = await Promise.all(
    [stolen, stolen, other].map(identity => connect2(front.caller('devices.test', identity))),
  );
  expect(await Promise.all(clients.map(client => asked(client)))).toEqual(['200', '200', '200']);
  const fingerprint = createHash('sha256').update(Buffer.from(stolen.certificate.rawData)).digest('hex');
  const since = Date.now();
  const answer = await gateway.ask('/admin/v1/pki/revocations', {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${gateway.token}` },
    body: JSON.stringify({ fingerprint }),
  });
  expect(answer.status).toBe(200);
  const [one, two, three] = clients as [Client2, Client2, Client2];
  for (const client of [one, two]) {
    let told = '200';
    while (told === '200') {
      told = await asked(client);
      await pause(5);
    }
    expect(told).toBe('403 mtls.revoked');
  }
  expect(Date.now() - since).toBeLessThan(WITHIN_MS);
  expect(await asked(three)).toBe('200');
  expect(await askedOnce('devices.test', stolen)).toBe('403 mtls.revoked');
});

test.each(VERSIONS)(
  'a %s session goes on with its certificate, in any thread, and at no host of another trust',
  async version => {
    const tls = { minVersion: version, maxVersion: version };
    const identity = await devices.client(`resuming ${version}`);
    const first = await shakeHands('devices.test', identity, tls);
    let session: Buffer | undefined;
    first.on('session', (one: Buffer) => {
      session = one;
    });
    const client = await over(first, 'devices.test');
    expect(await asked(client)).toBe('200');
    session ??= first.getSession();
    // As many as make it likely that both edge threads had one. No certificate of the client's own: it is the session's.
    for (let turn = 0; turn < 6; turn++) {
      const again = await shakeHands('devices.test', null, { ...tls, session });
      expect(again.isSessionReused()).toBe(true);
      expect(await asked(await over(again, 'devices.test'))).toBe('200');
    }
    for (const host of ['partners.test', 'off.test', 'twin.test']) {
      const other = await shakeHands(host, null, { ...tls, session });
      expect(other.isSessionReused(), host).toBe(false);
      other.destroy();
    }
    await gateway.ask('/admin/v1/pki/revocations', {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${gateway.token}` },
      body: JSON.stringify({ authority: 'devices', serial: identity.certificate.serialNumber }),
    });
    await pause(WITHIN_MS);
    const late = await shakeHands('devices.test', null, { ...tls, session });
    expect(late.isSessionReused()).toBe(true);
    expect(await asked(await over(late, 'devices.test'))).toBe('403 mtls.revoked');
  },
);

test('a connection serves the hosts that trust the same authorities; for others the client has to connect anew', async () => {
  const client = await connect2(front.caller('devices.test'));
  const hosts = ['devices.test', 'twin.test', 'logged.test', 'DEVICES.test:443'];
  for (const host of hosts) expect(await asked(client, host), host).toBe('200');
  for (const host of ['partners.test', 'house.test', 'off.test']) {
    expect(await asked(client, host), host).toBe('421 http.misdirected');
  }
  expect(await asked(client, 'nobody.test')).toBe('421 http.unknown_host');
  expect(await asked(client, 'devices.test'), 'it goes on').toBe('200');
  const event = await gateway.event(({ SecurityRuleID }) => SecurityRuleID === 'http.misdirected');
  expect(event).toMatchObject({ EdgeResponseStatus: 421, ClientRequestHost: 'partners.test' });
});

test('a client that names no host in its TLS may ask for all, and each decides by itself', async () => {
  const nameless = { servername: '', checkServerIdentity: () => undefined };
  const client = await over(await shakeHands('devices.test', good, nameless), 'devices.test');
  expect(await asked(client, 'devices.test')).toBe('200');
  expect(await asked(client, 'off.test')).toBe('200');
  expect(await asked(client, 'partners.test')).toBe('403 mtls.untrusted');
});

test('a host that wants no certificate asks for none', async () => {
  const client = await connect2(front.caller('off.test'));
  const { headers } = await client.ask({});
  const event = await gateway.event(({ RayID }) => RayID === headers['x-request-id']);
  expect(event.ClientMTLSAuthStatus).not.toBe('ok');
  expect(event.ClientMTLSAuthCertFingerprint ?? '').toBe('');
});

test('handshakes are counted by how they end', async () => {
  const count = (outcome: string) => gateway.count('portcullis_http2_handshakes_total', `outcome="${outcome}"`);
  expect(await count('full')).toBeGreaterThan(0);
  expect(await count('resumed')).toBeGreaterThan(0);
  const before = await count('incompatible');
  const old = { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' } as const;
  await expect(shakeHands('devices.test', good, old)).rejects.toThrow('handshake failure');
  await gateway.counted('portcullis_http2_handshakes_total', before + 1, 'outcome="incompatible"');
});
