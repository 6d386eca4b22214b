// What is left of an exchange: its line, and what /metrics counts.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import type { Event } from '../support/gateway.js';
import { type Asked, ask, connect, DOOR, keptAlive } from '../support/https.js';
import { needs } from '../support/needs.js';
import { httpOrigin } from '../support/origin.js';

const rules = [
  { name: 'closed', expression: 'http.request.uri.path eq "/closed"', action: 'block' },
  { name: 'watched', expression: 'http.request.uri.path eq "/watched"', action: 'log' },
];
const description = {
  openapi: '3.0.3',
  info: { title: 'Things', version: '1' },
  paths: {
    '/things/{id}': {
      parameters: [
        { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
        { name: 'status', in: 'query', schema: { type: 'string' } },
      ],
      get: { operationId: 'getThing', responses: { 200: { description: 'One.' } } },
      post: { operationId: 'changeThing', responses: { 200: { description: 'Changed.' } } },
    },
  },
};
const DAY = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

async function front(config: object = {}, host: object = {}, slowMs = 0): Promise<Front> {
  const origin = await httpOrigin(({ url, body }, response) => {
    if (url === '/gone') response.writeHead(404);
    setTimeout(() => response.end(body), url === '/slow' ? slowMs : 0);
  });
  return startFront(
    {
      'api.test': {
        origin: origin.url,
        openapi: { file: 'things.json', action: 'block', fallthrough: 'off' },
        ...host,
      },
    },
    { files: { 'things.json': JSON.stringify(description) }, config: { rules, ...config } },
  );
}

const settled = () => new Promise(resolve => setTimeout(resolve, 600));

describe('one line per exchange', () => {
  let at: Front;

  beforeAll(async () => {
    at = await front({}, {}, 5000);
  });

  const asked = (path: string, more: Asked = {}, identity = at.client) =>
    ask(at.caller('api.test', identity), path, more);
  const lineOf = async (answered: Promise<{ headers: Record<string, unknown> }>) => {
    const { headers } = await answered;
    return at.gateway.event(({ RayID }) => RayID === headers['x-request-id']);
  };

  test("speaks in Cloudflare's names", async () => {
    const before = Date.now();
    const line = await lineOf(
      asked('/things/7?status=open', {
        method: 'POST',
        body: 'hello',
        headers: { 'user-agent': 'tests "and" \\more' },
      }),
    );
    expect(line).toEqual({
      RayID: expect.stringMatching(/^[0-9a-f]{32}$/),
      EdgeStartTimestamp: expect.stringMatching(DAY),
      EdgeEndTimestamp: expect.stringMatching(DAY),
      ClientIP: '127.0.0.1',
      ClientRequestHost: 'api.test',
      ClientRequestMethod: 'POST',
      ClientRequestPath: '/things/7',
      ClientRequestProtocol: DOOR === 'h2' ? 'HTTP/2' : 'HTTP/1.1',
      JA4: expect.stringMatching(DOOR === 'h2' ? /^t13d\d{4}h2_/ : /^t13d\d{4}00_/),
      ClientRequestUserAgent: 'tests "and" \\more',
      ClientMTLSAuthStatus: 'ok',
      ClientMTLSAuthAuthority: 'devices',
      ClientMTLSAuthCertFingerprint: createHash('sha256')
        .update(Buffer.from(at.client.certificate.rawData))
        .digest('hex'),
      EdgeResponseStatus: 200,
      EdgeResponseBodyBytes: 5,
      EdgeDurationUs: expect.any(Number),
      OriginResponseStatus: 200,
      OriginResponseDurationUs: expect.any(Number),
      OperationID: 'changeThing',
    } satisfies Event);
    const [start, end] = [line.EdgeStartTimestamp, line.EdgeEndTimestamp].map(text => Date.parse(String(text)));
    expect(start).toBeGreaterThanOrEqual(before - 5);
    expect(end).toBeGreaterThanOrEqual(start ?? 0);
    expect(end).toBeLessThanOrEqual(Date.now() + 5);
    expect(line.EdgeDurationUs).toBeGreaterThanOrEqual(line.OriginResponseDurationUs as number);
  });

  test('of a denial names what denied it', async () => {
    expect(await lineOf(asked('/closed'))).toMatchObject({
      SecurityAction: 'block',
      SecurityRuleID: 'rules.closed',
      SecurityRuleDescription: 'The request was blocked by a rule.',
      EdgeResponseStatus: 403,
    });
    expect(await lineOf(asked('/things/1', { method: 'DELETE' }))).toMatchObject({
      SecurityAction: 'block',
      SecurityRuleID: 'endpoints.method',
      EdgeResponseStatus: 405,
    });
    const line = await lineOf(ask(at.caller('api.test', null), '/'));
    expect(line).toMatchObject({ ClientMTLSAuthStatus: 'absent', SecurityRuleID: 'mtls.missing' });
    expect(line).not.toHaveProperty('OriginResponseStatus');
    expect(line).not.toHaveProperty('ClientMTLSAuthCertFingerprint');
  });

  test("tells the origin's failures from the gateway's answers", async () => {
    const line = await lineOf(asked('/gone'));
    expect(line).toMatchObject({ EdgeResponseStatus: 404, OriginResponseStatus: 404 });
    expect(line).not.toHaveProperty('SecurityAction');
  });

  test('of a client that went away says 499', async () => {
    const client = await connect(at.caller('api.test'));
    client.send('GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n');
    await new Promise(resolve => setTimeout(resolve, 100));
    client.close();
    expect(await at.gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/slow')).toMatchObject({
      EdgeResponseStatus: 499,
    });
  });

  test('is written for each, once', async () => {
    const agent = keptAlive();
    const ids: unknown[] = [];
    for (let turn = 0; turn < 50; turn++) ids.push((await asked('/counted', { agent })).headers['x-request-id']);
    await at.gateway.event(({ RayID }) => RayID === ids.at(-1));
    await settled();
    const written = at.gateway.events.filter(({ ClientRequestPath }) => ClientRequestPath === '/counted');
    expect(written.map(({ RayID }) => RayID)).toEqual(ids);
  });

  test('holds no query, no header, no body and no key', async () => {
    const secret = 'hunter2';
    const headers = { authorization: `Bearer ${secret}`, cookie: `session=${secret}`, 'x-api-key': secret };
    for (const path of ['/things/1', '/closed', '/watched', '/nothing']) {
      await asked(`${path}?token=${secret}`, { method: 'POST', body: secret, headers });
    }
    await lineOf(asked('/things/last', { headers, method: 'POST', body: secret }));
    await settled();
    expect(JSON.stringify(at.gateway.events)).not.toContain(secret);
    expect(at.gateway.log).not.toContain(secret);
  });

  test('survives whatever a client writes', async () => {
    const long = `a${'ä"\\'.repeat(400)}`;
    const headers = { 'user-agent': Buffer.from(long).toString('latin1') };
    const line = await lineOf(asked('/things/%22%5B%C3%A4', { headers }));
    expect(line.ClientRequestPath).toBe('/things/%22%5B%C3%A4');
    // At most 512 bytes of it, cut at a character.
    expect(long.startsWith(line.ClientRequestUserAgent as string)).toBe(true);
    expect(Buffer.byteLength(line.ClientRequestUserAgent as string)).toBeGreaterThan(500);
    expect(Buffer.byteLength(line.ClientRequestUserAgent as string)).toBeLessThanOrEqual(512);
  });
});

test('at sample rate 0 denials and matches are written, and nothing else', async () => {
  const at = await front({ events: { destination: 'events.ndjson', sampleRate: 0 } });
  const agent = keptAlive();
  for (let turn = 0; turn < 20; turn++) {
    for (const path of ['/plain', '/watched', '/closed']) await ask(at.caller('api.test'), path, { agent });
  }
  const lines = () =>
    readFileSync(join(at.gateway.folder, 'events.ndjson'), 'utf8')
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Event);
  for (let turn = 0; turn < 40 && lines().length < 40; turn++) await new Promise(resolve => setTimeout(resolve, 50));
  await settled();
  const paths = lines().map(({ ClientRequestPath }) => ClientRequestPath);
  expect(paths).toEqual(Array.from({ length: 40 }, (_, index) => (index % 2 ? '/closed' : '/watched')));
  // Standard output stays empty when the lines go to a file.
  expect(at.gateway.events).toEqual([]);
});

describe('metrics', () => {
  let text = '';

  beforeAll(async () => {
    const at = await front();
    const agent = keptAlive();
    const get = (path: string, headers = {}) => ask(at.caller('api.test'), path, { agent, headers });
    for (let turn = 0; turn < 7; turn++) await get(`/things/${turn}`);
    for (let turn = 0; turn < 3; turn++) await get('/closed');
    await get('/watched');
    await get('/gone');
    await ask(at.caller('api.test', null), '/things/1');
    await get('/', { host: 'nobody.test' });
    await settled();
    text = await at.gateway.metrics();
  });

  const sample = (name: string, labels: Record<string, string> = {}) => {
    const found = text.split('\n').filter(line => {
      if (!line.startsWith(`${name} `) && !line.startsWith(`${name}{`)) return false;
      return Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`));
    });
    expect(found, `${name} ${JSON.stringify(labels)} in\n${text}`).toHaveLength(1);
    return Number(found[0]?.split(' ').at(-1));
  };

  test('count requests by host, operation, class of status and verdict', () => {
    const requests = (operation: string, code: string, verdict: string) =>
      sample('portcullis_requests_total', { host: 'api.test', operation, code, verdict });
    expect(requests('getThing', '2xx', 'pass')).toBe(7);
    expect(requests('-', '2xx', 'log')).toBe(1);
    expect(requests('-', '4xx', 'pass')).toBe(1);
    // Three by the rule; the one without a certificate was denied before its operation was looked for.
    expect(requests('-', '4xx', 'block')).toBe(4);
  });

  test('count denials by reason', () => {
    const denials = (reason: string, action: string) => sample('portcullis_denials_total', { reason, action });
    expect(denials('rules.closed', 'block')).toBe(3);
    expect(denials('rules.watched', 'log')).toBe(1);
    expect(denials('mtls.missing', 'block')).toBe(1);
    expect(denials('http.unknown_host', 'block')).toBe(1);
  });

  test('take no label from a request: clients cannot fill the memory with names', () => {
    expect(text).not.toContain('nobody.test');
    expect(text).not.toContain('/things/1');
  });

  test('hold the duration of exchanges, and of the share of the gateway in them', () => {
    for (const name of ['portcullis_exchange_duration_seconds', 'portcullis_exchange_own_duration_seconds']) {
      expect(sample(`${name}_count`, { host: 'api.test' })).toBe(13);
      expect(sample(`${name}_bucket`, { host: 'api.test', le: '+Inf' })).toBe(13);
    }
    const [own, whole] = ['own_duration', 'duration'].map(name => sample(`portcullis_exchange_${name}_seconds_sum`));
    expect(own).toBeLessThanOrEqual(whole ?? 0);
  });

  test('say how the gateway does', () => {
    // One connection with a certificate: read once, verified once.
    expect(sample('portcullis_mtls_certificates_parsed_total')).toBe(1);
    expect(sample('portcullis_mtls_verification_cache_misses_total')).toBe(1);
    expect(sample('portcullis_mtls_verification_cache_hits_total')).toBe(11);
    expect(sample('portcullis_connections_total')).toBe(2);
    expect(sample('portcullis_exchanges_open')).toBe(0);
    expect(sample('portcullis_events_total')).toBe(14);
    expect(sample('portcullis_events_dropped_total')).toBe(0);
    expect(sample('portcullis_engine_panics_total')).toBe(0);
    expect(sample('portcullis_origin_connections_total')).toBeGreaterThanOrEqual(1);
    expect(sample('portcullis_schema_queue_depth')).toBe(0);
    expect(sample('portcullis_snapshot_generation')).toBe(1);
    expect(sample('portcullis_config_last_reload_successful')).toBe(1);
    expect(sample('portcullis_build_info')).toBe(1);
  });

  needs('promtool')('pass promtool', () => {
    const said = execFileSync('promtool', ['check', 'metrics'], { input: text, stdio: 'pipe' });
    expect(said.toString()).toBe('');
  });
});
