// Who may come in: client certificates of every kind against hosts that trust different authorities.
//
// TLS itself refuses some certificates before there is any HTTP; what it lets through, the gateway verifies for each
// request against the trust of the host that the request names.

import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { type Answered, ask, type Caller, connect, DOOR, misdirected, ofHttp1 } from '../support/https.js';
import { needs } from '../support/needs.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { type Authority, authority, hours, type Identity, x509 } from '../support/pki.js';
import { plainUws } from '../support/plain-uws.js';

let servers: Authority;
let server: Identity;
let devices: Authority;
let partners: Authority;
let house: Authority;
let issuing: Authority;
let good: Identity;
let partner: Identity;
let revoked: Identity;
/** RSA keys take a second each to find. */
let large: Identity;
let weak: Identity;
let origin: HttpOrigin;
let hosts: Record<string, object>;
let authorities: Record<string, object>;
let files: Record<string, string>;

beforeAll(async () => {
  [servers, devices, partners, house] = (await Promise.all(
    ['servers', 'devices', 'partners', 'house'].map(name => authority(name)),
  )) as [Authority, Authority, Authority, Authority];
  issuing = await house.intermediate('issuing');
  [good, partner, revoked, large, weak] = await Promise.all([
    devices.client('sensor-1'),
    partners.client('partner-1'),
    devices.client('stolen'),
    devices.client('large', { key: 'RSA-2048' }),
    devices.client('weak', { key: 'RSA-1024' }),
  ]);
  origin = await httpOrigin();
  const trusting = (name: string, more = {}) => ({
    tls: { certificate: 'server.pem', key: 'server.key' },
    mtls: { mode: 'require', trust: [name], ...more },
    origin: origin.url,
  });
  hosts = {
    'devices.test': trusting('devices', {
      forward: ['rfc9440', 'sha256'],
      paths: { '/open': 'off', '/asked': 'request', '/asked/strict': 'require' },
    }),
    'partners.test': trusting('partners', { forward: ['rfc9440', 'sha256'] }),
    'asked.test': trusting('devices', { mode: 'request', forward: ['rfc9440', 'sha256'] }),
    'off.test': {
      ...trusting('devices'),
      mtls: { mode: 'off', trust: ['devices'], forward: ['rfc9440', 'sha256'] },
    },
    // The same authority four times, known by other certificates of the same key.
    'issuing.test': trusting('issuing'),
    'expired.test': trusting('expired'),
    'misused.test': trusting('misused'),
    'unissued.test': trusting('unissued'),
    'stale.test': trusting('stale'),
  };
  authorities = {
    devices: { certificates: 'devices.pem', revocation: { crl: 'devices.crl' } },
    partners: { certificates: 'partners.pem' },
    issuing: { certificates: 'house.pem', intermediates: 'issuing.pem' },
    expired: { certificates: 'house.pem', intermediates: 'expired.pem' },
    misused: { certificates: 'house.pem', intermediates: 'misused.pem' },
    unissued: { certificates: 'house.pem' },
    stale: { certificates: 'devices.pem', revocation: { crl: 'stale.crl' } },
  };
  const serverUse = new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]);
  server = await servers.server(Object.keys(hosts));
  files = {
    'server.pem': server.cert,
    'server.key': server.key,
    'devices.pem': devices.pem,
    'devices.crl': await devices.crl([revoked]),
    'stale.crl': await devices.crl([], { thisUpdate: hours(-48), nextUpdate: hours(-1) }),
    'partners.pem': partners.pem,
    'house.pem': house.pem,
    'issuing.pem': issuing.pem,
    'expired.pem': (await house.certify(issuing, { notAfter: hours(-1) })).pem,
    'misused.pem': (await house.certify(issuing, { extensions: [serverUse] })).pem,
  };
});

const doors: [string, Record<string, string>][] = [
  ['with the identity of connections', {}],
  ['without the identity of connections', { PORTCULLIS_IDENTITY: 'request' }],
];

// The second is about uWebSockets.js: connections of HTTP/2 are none of its.
describe.each(DOOR === 'h2' ? doors.slice(0, 1) : doors)('%s', (_, environment) => {
  let gateway: Gateway;

  beforeAll(async () => {
    // One thread: a TLS session resumes only where it was made.
    gateway = await startGateway({ authorities, hosts }, { files, environment, threads: 1 });
  });

  const caller = (host: string, identity: Identity | null = null, tls: Caller['tls'] = {}): Caller => ({
    port: gateway.https,
    host,
    ca: servers.pem,
    cert: identity?.cert,
    key: identity?.key,
    tls,
  });
  const get = (host: string, identity: Identity | null, path = '/') => ask(caller(host, identity), path);
  /** TLS for one host, HTTP for another: what the first one's TLS context let through, the second has to verify. */
  const getThrough = (sni: string, host: string, identity: Identity) =>
    ask(caller(sni, identity), '/', { headers: { host } });

  test('a client without a certificate is denied, and nothing reaches the origin', async () => {
    const before = origin.arrived.length;
    const answered = await get('devices.test', null);
    expect(answered.status).toBe(403);
    expect(JSON.parse(answered.body)).toMatchObject({ status: 403, reason: 'mtls.missing' });
    expect(origin.arrived.length).toBe(before);
  });

  test('a client with a good certificate passes, on every request of its connection', async () => {
    const client = await connect(caller('devices.test', good));
    for (let turn = 0; turn < 3; turn++) {
      expect(await client.ask(`GET /turn/${turn} HTTP/1.1\r\nHost: devices.test\r\n\r\n`)).toMatchObject({
        status: 200,
      });
      expect(origin.arrived.at(-1)?.url).toBe(`/turn/${turn}`);
    }
    client.close();
  });

  test('a certificate of a configured intermediate passes although clients send no chain', async () => {
    expect((await get('issuing.test', await issuing.client('inner'))).status).toBe(200);
  });

  test('keys of every accepted kind pass', async () => {
    const p384 = await devices.client('p-384', { key: 'P-384', hash: 'SHA-384' });
    for (const identity of [p384, large]) expect((await get('devices.test', identity)).status).toBe(200);
  });

  test('a revoked certificate is denied as such', async () => {
    expect(reasonOf(await get('devices.test', revoked))).toBe('403 mtls.revoked');
  });

  test('nobody passes on a revocation list that is past its next update', async () => {
    expect(reasonOf(await get('stale.test', good))).toBe('403 mtls.crl_expired');
  });

  test('an intermediate that expired, may not issue clients or is not configured denies what it issued', async () => {
    const inner = await issuing.client('inner');
    expect(reasonOf(await getThrough('issuing.test', 'issuing.test', inner))).toBe('200');
    expect(reasonOf(await getThrough('issuing.test', 'expired.test', inner))).toBe(misdirected('403 mtls.expired'));
    expect(reasonOf(await getThrough('issuing.test', 'misused.test', inner))).toBe(misdirected('403 mtls.usage'));
    expect(reasonOf(await getThrough('issuing.test', 'unissued.test', inner))).toBe(misdirected('403 mtls.untrusted'));
  });

  // Possession of a key that TLS does not take cannot be proven to the other door: test/e2e/http2-tls.test.ts.
  ofHttp1('weak keys and signatures are denied', async () => {
    const old = await devices.client('old', { hash: 'SHA-1' });
    // Node's own OpenSSL would not even present it at its usual level.
    const anyway = { ciphers: 'DEFAULT@SECLEVEL=0' };
    expect(reasonOf(await get('devices.test', weak))).toBe('403 mtls.signature');
    expect(reasonOf(await ask(caller('devices.test', old, anyway), '/'))).toBe('403 mtls.signature');
  });

  needs('openssl')('a certificate of X.509 version 1 is denied with a word on how to reissue it', async () => {
    const answered = await get('devices.test', await devices.clientVersion1('old'));
    expect(reasonOf(answered)).toBe('403 mtls.x509_v1');
    expect(JSON.parse(answered.body).title).toContain('reissued as version 3');
  });

  test('a certificate that expires during its connection is denied from then on', async () => {
    // Dates of certificates have no fractions of a second.
    const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + 3000);
    const client = await connect(caller('devices.test', await devices.client('short', { notAfter })));
    const request = 'GET / HTTP/1.1\r\nHost: devices.test\r\n\r\n';
    expect((await client.ask(request)).status).toBe(200);
    await new Promise(resolve => setTimeout(resolve, notAfter.getTime() + 1100 - Date.now()));
    const late = await client.ask(request);
    expect(JSON.parse(late.body)).toMatchObject({ status: 403, reason: 'mtls.expired' });
  });

  // The other door's TLS takes every certificate: the engine has a reason for each.
  ofHttp1('TLS refuses strangers, the dead and the unborn, and certificates of servers, before any HTTP', async () => {
    const strangers = await authority('strangers');
    const refused = async (identity: Identity, host = 'devices.test') =>
      get(host, identity).then(
        ({ status }) => `answered ${status}`,
        error => error.code,
      );
    const before = origin.arrived.length;
    expect(await refused(await strangers.client('lost'))).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
    expect(await refused(await devices.client('late', { notAfter: hours(-1) }))).toBe(
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
    );
    expect(await refused(await devices.client('early', { notBefore: hours(1) }))).toBe(
      'ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED',
    );
    expect(await refused(await devices.server(['localhost']))).toBe('ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE');
    expect(await refused(partner)).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
    expect(await refused(good, 'partners.test')).toBe('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA');
    expect(origin.arrived.length).toBe(before);
  });

  test('the host that a request names decides whose certificates count, not the name in SNI', async () => {
    expect(reasonOf(await getThrough('devices.test', 'partners.test', good))).toBe(misdirected('403 mtls.untrusted'));
    expect(reasonOf(await getThrough('partners.test', 'devices.test', partner))).toBe(
      misdirected('403 mtls.untrusted'),
    );
    // This context lets all authorities through, since one has to be named.
    expect(reasonOf(await getThrough('off.test', 'partners.test', good))).toBe(misdirected('403 mtls.untrusted'));
    expect(reasonOf(await getThrough('off.test', 'partners.test', partner))).toBe(misdirected('200'));
  });

  test('a WebSocket handshake meets the same rules', async () => {
    const before = origin.arrived.length;
    const handshake = async (sni: string, host: string, identity: Identity | null) => {
      const client = await connect(caller(sni, identity));
      const answered = await client.ask(
        `GET /socket HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
      );
      client.close();
      return `${answered.status} ${JSON.parse(answered.body).reason}`;
    };
    expect(await handshake('devices.test', 'devices.test', null)).toBe('403 mtls.missing');
    expect(await handshake('devices.test', 'devices.test', revoked)).toBe('403 mtls.revoked');
    expect(await handshake('devices.test', 'partners.test', good)).toBe('403 mtls.untrusted');
    expect(origin.arrived.length).toBe(before);
  });

  test('one connection may name several hosts, each with its own verdict', async () => {
    const client = await connect(caller('off.test', good));
    const statuses: number[] = [];
    for (const host of ['devices.test', 'partners.test', 'off.test', 'devices.test', 'partners.test']) {
      statuses.push((await client.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status);
    }
    expect(statuses).toEqual([200, 403, 200, 200, 403]);
    client.close();
  });

  test('a client without SNI meets the same rules', async () => {
    const servername = { servername: '', checkServerIdentity: () => undefined };
    const nameless = (identity: Identity | null) =>
      ask(caller('devices.test', identity, servername), '/', { headers: { host: 'devices.test' } });
    expect(reasonOf(await nameless(good))).toBe('200');
    expect(reasonOf(await nameless(partner))).toBe('403 mtls.untrusted');
    expect(reasonOf(await nameless(null))).toBe('403 mtls.missing');
  });

  test('modes differ by host: request lets everyone through to the rules, off does not look', async () => {
    for (const identity of [null, good, revoked]) {
      expect((await get('asked.test', identity)).status).toBe(200);
      expect((await get('off.test', identity)).status).toBe(200);
    }
  });

  test('modes differ by path prefix: whole segments, the longest wins, whatever way the path is spelled', async () => {
    const status = async (path: string) => (await get('devices.test', null, path)).status;
    expect(await status('/open')).toBe(200);
    expect(await status('/open/inner')).toBe(200);
    expect(await status('/opened')).toBe(403);
    expect(await status('/asked')).toBe(200);
    expect(await status('/asked/strict')).toBe(403);
    expect(await status('/asked/strict/inner')).toBe(403);
    expect(await status('/asked/strictly')).toBe(200);
    expect(await status('/open/../secret')).toBe(403);
    expect(await status('/open/%2e%2e/secret')).toBe(403);
    expect(await status('/x/../open')).toBe(200);
    expect(await status('/asked//strict')).toBe(403);
    expect(await status('/asked/s%74rict')).toBe(403);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'a %s session made at one host and resumed at another is verified for the other',
    async version => {
      const tls = { minVersion: version, maxVersion: version };
      const first = await connect(caller('devices.test', good, tls));
      expect((await first.ask('GET / HTTP/1.1\r\nHost: devices.test\r\n\r\n')).status).toBe(200);
      const session = first.session ?? first.socket.getSession();
      first.close();

      // No certificate of the client's own: what the gateway sees comes out of the session.
      const other = await connect(caller('partners.test', null, { ...tls, session }));
      expect(other.socket.isSessionReused()).toBe(true);
      const denied = await other.ask('GET / HTTP/1.1\r\nHost: partners.test\r\n\r\n');
      expect(JSON.parse(denied.body)).toMatchObject({ status: 403, reason: 'mtls.untrusted' });
      other.close();

      const same = await connect(caller('devices.test', null, { ...tls, session }));
      expect(same.socket.isSessionReused()).toBe(true);
      expect((await same.ask('GET / HTTP/1.1\r\nHost: devices.test\r\n\r\n')).status).toBe(200);
      same.close();
    },
  );

  test('the origin is told of the verified certificate, as RFC 9440 and as a digest', async () => {
    expect((await get('devices.test', good)).status).toBe(200);
    const { headers } = last(origin);
    const der = Buffer.from(good.certificate.rawData);
    expect(headers['client-cert']).toBe(`:${der.toString('base64')}:`);
    expect(headers['cf-client-cert-sha256']).toBe(createHash('sha256').update(der).digest('hex'));
  });

  test('the origin is not told of a certificate that is absent, not verified or not looked at', async () => {
    for (const [host, identity, path] of [
      ['asked.test', null, '/'],
      ['asked.test', revoked, '/'],
      ['off.test', good, '/'],
      ['devices.test', good, '/open'],
    ] as const) {
      expect((await get(host, identity, path)).status).toBe(200);
      expect(Object.keys(last(origin).headers).filter(name => name.includes('cert'))).toEqual([]);
    }
    expect((await get('asked.test', good)).status).toBe(200);
    expect(last(origin).headers['client-cert']).toMatch(/^:.*:$/);
  });

  test('what a client says of itself in headers of ours never gets through, in no spelling', async () => {
    const names = [
      'Client-Cert',
      'Client-Cert-Chain',
      'Cf-Client-Cert-Sha256',
      'Cf-Client-Cert-Der-Base64',
      'X-Forwarded-For',
      'X-Forwarded-Proto',
      'X-Forwarded-Host',
      'X-Forwarded-Client-Cert',
      'Forwarded',
      'X-Request-Id',
      'X-Real-Ip',
    ];
    const spellings = names.flatMap(name => [name, name.toLowerCase(), name.replaceAll('-', '_')]);
    const forged = spellings.map(name => `${name}: forged\r\n`).join('');
    for (const [host, identity] of [
      ['devices.test', good],
      ['off.test', null],
    ] as const) {
      const client = await connect(caller(host, identity));
      expect((await client.ask(`GET / HTTP/1.1\r\nHost: ${host}\r\n${forged}\r\n`)).status).toBe(200);
      client.close();
      expect(last(origin).rawHeaders.filter(text => text.includes('forged'))).toEqual([]);
      const came = last(origin).rawHeaders.filter((_, index) => index % 2 === 0);
      expect(new Set(came.map(name => name.toLowerCase().replaceAll('_', '-'))).size).toBe(came.length);
    }
    expect(last(origin).headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' });
  });
});

test.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'what it is for: uWebSockets.js by itself takes a %s session of one host at another, certificate and all',
  async version => {
    const plain = await plainUws([
      { name: 'devices.test', identity: server, clientAuthorities: devices.pem },
      { name: 'partners.test', identity: server, clientAuthorities: partners.pem },
    ]);
    const tls = { minVersion: version, maxVersion: version };
    const there = { port: plain.port, ca: servers.pem };
    const first = await connect({ ...there, host: 'devices.test', cert: good.cert, key: good.key, tls });
    await first.ask('GET /first HTTP/1.1\r\nHost: devices.test\r\n\r\n');
    const session = first.session ?? first.socket.getSession();
    first.close();

    const second = await connect({ ...there, host: 'partners.test', tls: { ...tls, session } });
    expect(second.socket.isSessionReused()).toBe(true);
    await second.ask('GET /second HTTP/1.1\r\nHost: partners.test\r\n\r\n');
    second.close();
    // partners.test, which trusts only the partners' authority, sees the certificate of a device.
    expect(plain.seen.map(({ target }) => target)).toEqual(['/first', '/second']);
    expect(plain.seen[1]?.certificate.replace(/\s/g, '')).toBe(good.cert.replace(/\s/g, ''));
  },
);

function reasonOf({ status, body }: Answered): string {
  return status < 400 ? String(status) : `${status} ${JSON.parse(body).reason}`;
}

function last({ arrived }: HttpOrigin) {
  const one = arrived.at(-1);
  if (one === undefined) throw new Error('nothing reached the origin');
  return one;
}
