import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import type { ReloadResult } from '../../src/manage/admin/routes.js';
import type { Upgraded } from '../../src/manage/messages.js';
import { fakeMetrics } from '../config/fakes.js';
import { adminApi } from '../support/admin.js';

const metrics = fakeMetrics();
let ready = true;
let result: ReloadResult = { applied: true, generation: 7 };
const upgraded: Upgraded = { upgraded: true, version: '1.2.3', process: 12 };
const gateway = {
  ready: () => ready,
  metrics: async () => ({ contentType: metrics.contentType, text: await metrics.text() }),
  reload: async () => result,
  upgrade: async () => upgraded,
};
const { app, ask: call, token } = await adminApi({ gateway });
const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') => {
  const all = { host: '127.0.0.1:9090', authorization: `Bearer ${token('operator')}`, ...headers };
  return app.request(`http://127.0.0.1:9090${path}`, { method, headers: all });
};

describe('who is answered', () => {
  test.each(['127.0.0.1:9090', 'localhost', 'LOCALHOST:9090', '[::1]:9090', '127.8.9.1'])('%s is', async host => {
    expect((await ask('/metrics', { host })).status).toBe(200);
  });

  test.each(['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example:9090', '10.0.0.1', '', '[::2]'])(
    '"%s" is not, but for probes',
    async host => {
      expect((await ask('/metrics', { host })).status).toBe(403);
      expect((await ask('/admin/v1/reload', { host }, 'POST')).status).toBe(403);
      expect((await ask('/livez', { host })).status).toBe(200);
    },
  );

  test('a page of another origin is not, whatever it asks', async () => {
    expect((await ask('/admin/v1/reload', { origin: 'http://evil.example' }, 'POST')).status).toBe(403);
    expect((await ask('/admin/v1/reload', { origin: 'null' }, 'POST')).status).toBe(403);
    expect((await ask('/admin/v1/reload', { origin: 'https://127.0.0.1:9090' }, 'POST')).status).toBe(403);
    expect((await ask('/admin/v1/reload', { 'sec-fetch-site': 'cross-site' }, 'POST')).status).toBe(403);
    expect((await ask('/admin/v1/reload', { 'sec-fetch-site': 'same-site' }, 'POST')).status).toBe(403);
  });

  test('its own pages and people are', async () => {
    const own = { origin: 'http://127.0.0.1:9090', 'sec-fetch-site': 'same-origin' };
    expect((await ask('/admin/v1/reload', own, 'POST')).status).toBe(200);
    expect((await ask('/livez', { 'sec-fetch-site': 'none' })).status).toBe(200);
  });

  test('nobody without a token, but probes, the description and, on this machine, metrics', async () => {
    const open = ['/livez', '/readyz', '/metrics'];
    for (const path of open) expect((await ask(path, { authorization: '' })).status, path).toBe(200);
    const answer = await call('POST', '/reload', undefined, { token: null });
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="portcullis"']);
    expect((await call('POST', '/reload', undefined, { role: 'viewer' })).status).toBe(403);
  });

  test('where others reach the port, metrics are for viewers', async () => {
    const remote = await adminApi({ remote: true, ours: name => name === 'gw.example.com', scheme: 'https' });
    const get = (headers: Record<string, string>) =>
      remote.app.request('https://gw.example.com/metrics', { headers: { host: 'gw.example.com', ...headers } });
    expect((await get({})).status).toBe(401);
    expect((await get({ authorization: `Bearer ${remote.token('viewer')}` })).status).toBe(200);
    expect((await get({ host: 'other.example.com' })).status).toBe(403);
    const own = { authorization: `Bearer ${remote.token('viewer')}`, origin: 'https://gw.example.com' };
    expect((await get(own)).status).toBe(200);
  });
});

test('readiness follows the gateway, liveness does not', async () => {
  ready = false;
  expect((await ask('/readyz')).status).toBe(503);
  expect((await ask('/livez')).status).toBe(200);
  ready = true;
  expect((await ask('/readyz')).status).toBe(200);
});

test('a reload that was refused tells its problems with their places', async () => {
  const place = { file: 'p.yaml', line: 3, column: 5, width: 1, text: '' };
  result = { applied: false, problems: [{ severity: 'problem', place, message: 'unknown key', hint: 'x' }] };
  const answer = await ask('/admin/v1/reload', {}, 'POST');
  expect(answer.status).toBe(422);
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(await answer.json()).toMatchObject({
    problems: [{ severity: 'problem', file: 'p.yaml', line: 3, column: 5, message: 'unknown key', hint: 'x' }],
  });
  result = { applied: true, generation: 7 };
  expect(await (await ask('/admin/v1/reload', {}, 'POST')).json()).toEqual({ generation: 7 });
  expect((await ask('/admin/v1/reload')).status).toBe(405);
});

test('metrics hold the families of native code and our own', async () => {
  const answer = await ask('/metrics');
  const text = await answer.text();
  expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
  expect(text).toContain(
    'portcullis_requests_total{host="a\\"b\\\\c",operation="GET /orders/{id}",code="2xx",verdict="pass"} 3',
  );
  expect(text).toContain('portcullis_request_duration_seconds_bucket{host="a",le="+Inf"} 4');
  expect(text).toMatch(/^portcullis_build_info\{version="0.0.0",node="v[^"]+"\} 1$/m);
  expect(text).toContain('process_cpu_seconds_total');
});

const promtool = spawnSync('promtool', ['--version']).status === 0;
test.skipIf(!promtool && !process.env.CI)(
  'promtool finds no fault with the names (skipped where it is absent)',
  async () => {
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: await metrics.text() });
    expect(`${stdout}${stderr}`).toBe('');
    expect(status).toBe(0);
  },
);
