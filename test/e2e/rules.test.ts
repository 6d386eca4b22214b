// Rules over the wire: what an expression says is what happens to the request.

import { beforeAll, beforeEach, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask, connect, DOOR } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';

let origin: HttpOrigin;
let front: Front;
let stranger: Identity;

const CERTIFICATE = 'cf.tls_client_auth';

beforeAll(async () => {
  origin = await httpOrigin();
  const partners = await authority('partners');
  stranger = await partners.client('partner-1');
  const other = 'http.host eq "other.test"';
  const rules = [
    // Looks at nothing behind it, like a list of clients that are known to be good.
    { name: 'probes', expression: 'http.request.uri.path eq "/probe"', action: 'skip' },
    { name: 'no-scanners', expression: 'lower(http.user_agent) contains "sqlmap"', action: 'block' },
    { name: 'watch-admin', expression: 'starts_with(http.request.uri.path, "/admin")', action: 'log' },
    { name: 'watch-writes', expression: 'not http.request.method in {"GET" "HEAD"}', action: 'log' },
    {
      name: 'writes-from-offices',
      expression: 'http.request.method eq "DELETE" and not ip.src in $offices',
      action: 'block',
    },
    { name: 'no-loopback', expression: 'http.request.uri.path eq "/remote" and ip.src in $here', action: 'block' },
    { name: 'debug-argument', expression: 'any(http.request.uri.args["debug"][*] eq "1")', action: 'block' },
    { name: 'trace-header', expression: 'len(http.request.headers["x-trace"]) gt 0', action: 'block' },
    { name: 'secrets', expression: 'http.request.uri.path wildcard "/secrets/*"', action: 'block' },
    { name: 'other-needs-certificate', expression: `${other} and not ${CERTIFICATE}.cert_presented`, action: 'block' },
    {
      name: 'other-needs-verified',
      expression: `${other} and not ${CERTIFICATE}.cert_verified and http.request.uri.path ne "/free"`,
      action: 'block',
    },
    {
      name: 'one-device',
      expression: `http.request.uri.path eq "/one" and ${CERTIFICATE}.cert_subject_dn ne "CN=sensor-1"`,
      action: 'block',
    },
    {
      name: 'issuer',
      expression: `http.request.uri.path eq "/issued" and ${CERTIFICATE}.cert_issuer_dn eq "CN=devices"`,
      action: 'block',
    },
  ];
  front = await startFront(
    {
      'api.test': { origin: origin.url },
      // Certificates of both authorities pass TLS here; those of partners do not count.
      'other.test': { mtls: { mode: 'request', trust: ['devices'] }, origin: origin.url },
      'partners.test': { mtls: { mode: 'require', trust: ['partners'] }, origin: origin.url },
    },
    {
      files: { 'partners.pem': partners.pem },
      config: {
        rules,
        lists: { offices: ['203.0.113.0/24', '2001:db8::/32'], here: ['127.0.0.0/8', '::1'] },
        authorities: { devices: { certificates: 'devices.pem' }, partners: { certificates: 'partners.pem' } },
      },
    },
  );
});

beforeEach(() => {
  origin.arrived.length = 0;
});

const api = (path: string, asked = {}) => ask(front.caller('api.test'), path, asked);
const blockedBy = ({ status, body }: Answered) => (status === 403 ? JSON.parse(body).reason : status);
const eventOf = ({ headers }: Answered) => front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

test('a rule that blocks denies with its name, and nothing reaches the origin', async () => {
  const answered = await api('/', { headers: { 'user-agent': 'SQLMap/1.7' } });
  expect(blockedBy(answered)).toBe('rules.no-scanners');
  expect(origin.arrived).toEqual([]);
  expect(await eventOf(answered)).toMatchObject({
    SecurityAction: 'block',
    SecurityRuleID: 'rules.no-scanners',
    EdgeResponseStatus: 403,
  });
});

test('rules that log let through, and are all recorded', async () => {
  const answered = await api('/admin/users', { method: 'POST', body: 'x' });
  expect(answered.status).toBe(200);
  expect(await eventOf(answered)).toMatchObject({
    SecurityAction: 'log',
    SecurityRuleID: 'rules.watch-admin',
    SecurityRuleIDs: ['rules.watch-admin', 'rules.watch-writes'],
    EdgeResponseStatus: 200,
  });
});

test('a rule that blocks after rules that log is what the record calls the action', async () => {
  const answered = await api('/admin', { method: 'DELETE' });
  expect(blockedBy(answered)).toBe('rules.writes-from-offices');
  expect(await eventOf(answered)).toMatchObject({
    SecurityAction: 'block',
    SecurityRuleID: 'rules.writes-from-offices',
    SecurityRuleIDs: ['rules.watch-admin', 'rules.watch-writes'],
  });
});

test('a rule that skips ends the list', async () => {
  expect((await api('/probe', { headers: { 'user-agent': 'sqlmap' } })).status).toBe(200);
  expect(blockedBy(await api('/probe/x', { headers: { 'user-agent': 'sqlmap' } }))).toBe('rules.no-scanners');
});

test('lists of addresses hold prefixes', async () => {
  expect(blockedBy(await api('/remote'))).toBe('rules.no-loopback');
  expect(blockedBy(await api('/', { method: 'DELETE' }))).toBe('rules.writes-from-offices');
});

test('a forged X-Forwarded-For does not change the address that rules see', async () => {
  const headers = { 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9', 'x-real-ip': '203.0.113.9' };
  expect(blockedBy(await api('/', { method: 'DELETE', headers }))).toBe('rules.writes-from-offices');
});

test('arguments and headers are found wherever they stand', async () => {
  expect(blockedBy(await api('/?a=b&debug=0&debug=1'))).toBe('rules.debug-argument');
  expect(blockedBy(await api('/?debug=0'))).toBe(200);
  expect(blockedBy(await api('/', { headers: { 'X-TRACE': '' } }))).toBe('rules.trace-header');
});

test('the path that rules see is the one that the origin gets', async () => {
  const client = await connect(front.caller('api.test'));
  for (const path of ['/secrets/a', '/x/../secrets/a', '//secrets/a', '/%73ecrets/a', '/./secrets/./a']) {
    const { status, body } = await client.ask(`GET ${path} HTTP/1.1\r\nHost: api.test\r\n\r\n`);
    expect([status, JSON.parse(body).reason], path).toEqual([403, 'rules.secrets']);
  }
  expect((await client.ask('GET /public/../%61/b HTTP/1.1\r\nHost: api.test\r\n\r\n')).status).toBe(200);
  expect(origin.arrived.map(({ url }) => url)).toEqual(['/a/b']);
  client.close();
});

test('certificate fields tell absent, unverified and verified apart', async () => {
  const absent = await ask(front.caller('other.test', null), '/');
  expect(blockedBy(absent)).toBe('rules.other-needs-certificate');
  expect((await ask(front.caller('other.test'), '/')).status).toBe(200);

  // TLS let this one through for partners.test; by HTTP/2 it lets in all.
  const through = front.caller(DOOR === 'h2' ? 'other.test' : 'partners.test', stranger);
  const headers = { host: 'other.test' };
  expect(blockedBy(await ask(through, '/', { headers }))).toBe('rules.other-needs-verified');
  expect((await ask(through, '/free', { headers })).status).toBe(200);
});

test('certificate fields hold the names of the subject and the issuer', async () => {
  expect((await api('/one')).status).toBe(200);
  const second = await front.devices.client('sensor-2');
  expect(blockedBy(await ask(front.caller('api.test', second), '/one'))).toBe('rules.one-device');
  expect(blockedBy(await api('/issued'))).toBe('rules.issuer');
});
