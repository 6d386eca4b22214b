// What the origin learns of the client's certificate, by each switch; and what a client cannot make it believe.

import { createHash, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.js';
import { ask, type Caller, connect, DOOR } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { type Authority, authority, type Identity } from '../support/pki.js';

const SWITCHES = ['rfc9440', 'chain', 'xfcc', 'nginx', 'cloudflare', 'sha256'];
/** Every name that may tell of a certificate, spelled as a client might. */
const SPOOFS = [
  'client-cert',
  'client_cert',
  'client-cert-chain',
  'client_cert-chain',
  'x-forwarded-client-cert',
  'x_forwarded_client_cert',
  'x-ssl-client-cert',
  'x_ssl_client_cert',
  'cf-cert-verified',
  'cf_cert_verified',
  'cf-cert-presented',
  'cf-cert-subject-dn',
  'cf-cert-anything',
  'cf-client-cert-sha256',
  'cf_client_cert_sha256',
];

let servers: Authority;
let house: Authority;
let issuing: Authority;
let strangers: Authority;
let client: Identity;
let stranger: Identity;
let origin: HttpOrigin;
let gateway: Gateway;

beforeAll(async () => {
  [servers, house, strangers] = (await Promise.all(['servers', 'house', 'strangers'].map(name => authority(name)))) as [
    Authority,
    Authority,
    Authority,
  ];
  issuing = await house.intermediate('issuing');
  [client, stranger] = await Promise.all([
    issuing.client('sensor-1', {
      subject: 'CN=sensor \\"1\\"\\; x, O=Example\\, Inc.',
      alternativeNames: [
        { type: 'url', value: 'spiffe://example.com/sensor;1' },
        { type: 'dns', value: 'sensor-1.example.com' },
      ],
    }),
    strangers.client('sensor-1'),
  ]);
  origin = await httpOrigin();
  const tls = { certificate: 'server.pem', key: 'server.key' };
  const host = (mtls: object) => ({ tls, mtls, origin: origin.url });
  const trust = ['house'];
  const hosts = {
    ...Object.fromEntries(SWITCHES.map(one => [`${one}.test`, host({ mode: 'request', trust, forward: [one] })])),
    'all.test': host({ mode: 'request', trust, forward: SWITCHES }),
    'none.test': host({ mode: 'request', trust }),
    'strangers.test': host({ mode: 'require', trust: ['strangers'] }),
    'log.test': host({ mode: 'require', action: 'log', trust, paths: { '/strict': { action: 'block' } } }),
    'paths.test': host({
      mode: 'require',
      trust,
      forward: ['sha256'],
      paths: { '/partners': { trust: ['strangers'] }, '/both': { trust: ['house', 'strangers'] }, '/open': 'off' },
    }),
  };
  const server = await servers.server(Object.keys(hosts), {
    alternativeNames: [
      ...Object.keys(hosts).map(value => ({ type: 'dns' as const, value })),
      { type: 'url', value: 'spiffe://example.com/gateway' },
    ],
  });
  gateway = await startGateway(
    {
      authorities: {
        house: { certificates: 'house.pem', intermediates: 'issuing.pem' },
        strangers: { certificates: 'strangers.pem' },
      },
      hosts,
      rules: [
        {
          name: 'spoofed',
          expression: SPOOFS.map(name => `any(http.request.headers["${name}"][*] contains "spoofed")`).join(' or '),
          action: 'block',
        },
      ],
    },
    {
      files: {
        'server.pem': server.cert,
        'server.key': server.key,
        'house.pem': house.pem,
        'issuing.pem': issuing.pem,
        'strangers.pem': strangers.pem,
      },
    },
  );
});

/** `through`: the name in SNI where it is another: that host's TLS lets in whom it trusts. By HTTP/2 TLS lets in all. */
const caller = (host: string, identity: Identity | null = client, through = ''): Caller => ({
  port: gateway.https,
  host,
  ca: servers.pem,
  cert: identity?.cert,
  key: identity?.key,
  ...(through && DOOR !== 'h2' && { tls: { servername: through } }),
});

/** What the origin got of a request with every spoofed header. */
async function arrived(host: string, identity?: Identity | null, through?: string): Promise<Record<string, string>> {
  const spoofed = Object.fromEntries(SPOOFS.map(name => [name, 'spoofed']));
  const { status } = await ask(caller(host, identity, through), '/', { headers: spoofed });
  expect(status).toBe(200);
  const { headers } = origin.arrived.at(-1) as { headers: Record<string, string> };
  expect(JSON.stringify(headers)).not.toContain('spoofed');
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => /^(client-cert|x-forwarded-client|x-ssl|cf-)/.test(name)),
  );
}

const der = (pem: string) => new X509Certificate(pem).raw;
const structured = (pem: string) => `:${der(pem).toString('base64')}:`;
const escaped = (pem: string) => encodeURIComponent(new X509Certificate(pem).toString());
const hash = () => createHash('sha256').update(der(client.cert)).digest('hex');
const SUBJECT = 'O=Example\\, Inc.,CN=sensor \\"1\\"\\; x';

describe('a verified certificate reaches the origin', () => {
  test('as Client-Cert', async () => {
    expect(await arrived('rfc9440.test')).toEqual({ 'client-cert': structured(client.cert) });
  });

  test('as Client-Cert-Chain, the intermediates without the anchor', async () => {
    expect(await arrived('chain.test')).toEqual({ 'client-cert-chain': structured(issuing.pem) });
  });

  test('as X-Forwarded-Client-Cert', async () => {
    const cert = escaped(client.cert);
    const value = [
      'By=spiffe://example.com/gateway',
      `Hash=${hash()}`,
      `Cert="${cert}"`,
      `Chain="${cert}${escaped(issuing.pem)}"`,
      `Subject="${SUBJECT}"`,
      'URI="spiffe://example.com/sensor;1"',
      'DNS=sensor-1.example.com',
    ].join(';');
    expect(await arrived('xfcc.test')).toEqual({ 'x-forwarded-client-cert': value });
  });

  test('as X-SSL-Client-Cert', async () => {
    expect(await arrived('nginx.test')).toEqual({ 'x-ssl-client-cert': escaped(client.cert) });
  });

  test("as Cloudflare's set", async () => {
    expect(await arrived('cloudflare.test')).toEqual({
      'cf-cert-presented': 'true',
      'cf-cert-verified': 'true',
      'cf-cert-revoked': 'false',
      'cf-cert-subject-dn': SUBJECT,
      'cf-cert-subject-dn-rfc2253': SUBJECT,
      'cf-cert-subject-dn-legacy': '/CN=sensor "1"; x/O=Example, Inc.',
      'cf-cert-issuer-dn': 'CN=issuing',
      'cf-cert-issuer-dn-rfc2253': 'CN=issuing',
      'cf-cert-issuer-dn-legacy': '/CN=issuing',
      'cf-cert-serial': client.certificate.serialNumber.toUpperCase(),
      'cf-cert-fingerprint-sha256': hash(),
      'cf-cert-fingerprint-sha1': createHash('sha1').update(der(client.cert)).digest('hex'),
      'cf-cert-not-before': expect.stringMatching(/^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT$/),
      'cf-cert-not-after': expect.stringMatching(/^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4} GMT$/),
      'cf-cert-ski': expect.stringMatching(/^[0-9A-F]{40}$/),
      'cf-cert-issuer-ski': expect.stringMatching(/^[0-9A-F]{40}$/),
    });
  });

  test('in all ways at once, and again on the same certificate', async () => {
    const first = await arrived('all.test');
    expect(Object.keys(first)).toHaveLength(16 + 5);
    expect(await arrived('all.test')).toEqual(first);
  });

  test('not at all unless a switch says so', async () => {
    expect(await arrived('none.test')).toEqual({});
  });
});

test('without a verified certificate only the set of Cloudflare says anything', async () => {
  const says = (presented: string) => ({
    'cf-cert-presented': presented,
    'cf-cert-verified': 'false',
    'cf-cert-revoked': 'false',
  });
  expect(await arrived('all.test', null)).toEqual(says('false'));
  expect(await arrived('all.test', stranger, 'strangers.test')).toEqual(says('true'));
  expect(await arrived('xfcc.test', stranger, 'strangers.test')).toEqual({});
});

test('a Connection field that names one of them is refused', async () => {
  for (const name of ['client-cert', 'X-Forwarded-Client-Cert', 'cf-cert-verified', 'x_ssl_client_cert']) {
    const raw = await connect(caller('all.test'));
    const answer = await raw.ask(`GET / HTTP/1.1\r\nHost: all.test\r\nConnection: close, ${name}\r\n\r\n`);
    expect(answer.status).toBe(400);
    raw.close();
  }
});

describe('action log', () => {
  test('lets pass what would be denied, and records it', async () => {
    expect((await ask(caller('log.test', null), '/')).status).toBe(200);
    const event = await gateway.event(one => one.ClientRequestHost === 'log.test');
    expect(event).toMatchObject({
      ClientMTLSAuthStatus: 'absent',
      SecurityAction: 'log',
      SecurityRuleID: 'mtls.missing',
      SecurityRuleIDs: ['mtls.missing'],
    });
    expect((await ask(caller('log.test', stranger, 'strangers.test'), '/other')).status).toBe(200);
    const other = await gateway.event(one => one.ClientRequestPath === '/other');
    expect(other).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'mtls.untrusted' });
    expect(other.ClientMTLSAuthAuthority).toBeUndefined();
  });

  test('of the host does not hold below a path that blocks', async () => {
    expect((await ask(caller('log.test', null), '/strict/x')).status).toBe(403);
    expect((await ask(caller('log.test'), '/strict/x')).status).toBe(200);
    const event = await gateway.event(
      one => one.ClientRequestPath === '/strict/x' && one.ClientMTLSAuthStatus === 'ok',
    );
    expect(event).toMatchObject({ ClientMTLSAuthAuthority: 'house' });
  });

  test('is counted by host and by what the certificate was worth', async () => {
    await gateway.counted('portcullis_mtls_requests_total', 1, 'certificate="absent",host="log.test",operation="-"');
    await gateway.counted('portcullis_mtls_requests_total', 1, 'certificate="invalid",host="log.test",operation="-"');
    await gateway.counted('portcullis_mtls_requests_total', 1, 'certificate="valid",host="log.test",operation="-"');
  });
});

test('a path trusts whom it names, and its host still whom it names', async () => {
  const status = async (path: string, identity: Identity | null) =>
    (await ask(caller('paths.test', identity), path)).status;
  expect(await status('/', client)).toBe(200);
  expect(await status('/', stranger)).toBe(403);
  expect(await status('/partners/1', client)).toBe(403);
  expect(await status('/partners/1', stranger)).toBe(200);
  expect(origin.arrived.at(-1)?.headers['cf-client-cert-sha256']).toMatch(/^[0-9a-f]{64}$/);
  expect(await status('/partnership', stranger)).toBe(403);
  expect([await status('/both', client), await status('/both', stranger)]).toEqual([200, 200]);
  expect(await status('/both', null)).toBe(403);
  expect(await status('/open', null)).toBe(200);
});
