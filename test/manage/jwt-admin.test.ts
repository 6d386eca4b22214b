// /admin/v1/jwt, and `portcullis jwt` in front of it.

import { pino } from 'pino';
import { Registry } from 'prom-client';
import { beforeEach, describe, expect, test } from 'vitest';
import type { KeySetPlan } from '../../src/check/jwt/compile.js';
import type { PolicyJwt } from '../../src/config/policy.js';
import { JwtMetrics } from '../../src/journal/metrics/jwt.js';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import { TokenFlow } from '../../src/manage/jwt/flow.js';
import { adminApi } from '../support/admin.js';
import { atTheEnd } from '../support/cleanup.js';
import { FakeClock } from '../support/clock.js';
import { anySocket } from '../support/ports.js';
import { FakeKeySets, keySet, plan, provider, sends } from '../support/provider.js';
import { type Person, portcullis } from '../support/terminal.js';

const TOKEN = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from('{"jti":"j-1","sub":"alice","exp":1795324114}').toString('base64url')}.c2ln`;

const from = await provider();
const native = Object.assign(new FakeKeySets(), {
  revokeTokens: (change: string) => void native.revoked.push(JSON.parse(change)),
  inspectToken: (configuration: string, token: string) => {
    native.inspected.push([configuration, token]);
    const steps = [{ step: 'expiry', ok: token !== TOKEN, detail: 'It has expired.' }];
    const reason = token === TOKEN ? 'jwt.expired' : null;
    return JSON.stringify({
      steps,
      reason,
      header: { alg: 'ES256' },
      claims: { sub: 'al\u001b[2Jice', exp: 1795324114 },
    });
  },
  inspected: [] as [string, string][],
});
const lines: string[] = [];
const configurations = ['customers', 'static'].map(
  name =>
    ({
      ...{ name, issuer: 'https://login.example.com/', audiences: ['orders'], algorithms: ['ES256'] },
      ...{ max_lifetime_s: 3_600, skew_s: 60, allow_no_expiry: false },
    }) as PolicyJwt,
);
const clock = new FakeClock();
let flow: TokenFlow | undefined;
const admin = await adminApi({
  capabilities: [
    (api, store) => {
      flow = new TokenFlow({
        ...{ store, native, clock, tell: () => {} },
        log: pino({}, { write: line => void lines.push(line) }),
        metrics: new JwtMetrics(new Registry()),
        configurations: () => configurations,
      });
      flow.routes(api);
    },
  ],
});
const plans: KeySetPlan[] = [plan({ ...from, url: `${from.url}?key=hidden` })];
await flow?.start(plans);
atTheEnd(() => flow?.stop());
const server = await prepareAdmin(admin.app, null).listen(await anySocket());
atTheEnd(() => server.close());

beforeEach(async () => {
  // Whatever the test before it asked for.
  await clock.advance(1_000, []);
  from.answer = sends(keySet('one'));
});

/** As an operator. */
function command(args: string[], person: Person = {}) {
  const env = { PORTCULLIS_ADMIN: `http://127.0.0.1:${server.port}`, PORTCULLIS_TOKEN: admin.token('operator') };
  return portcullis(['jwt', ...args], { ...person, env });
}

describe('token configurations', () => {
  test('are listed with the state of their key set, without the query of its URL', async () => {
    const { status, body } = await admin.ask('GET', '/jwt', undefined, { role: 'viewer' });
    expect(status).toBe(200);
    expect(body.items).toMatchObject([
      {
        name: 'customers',
        issuer: 'https://login.example.com/',
        key_set: {
          ...{ url: `${from.url}?...`, state: 'good', from: 'url', error: null },
          keys: [{ kid: 'one', algorithms: ['ES256'], thumbprint: 'thumbprint of one' }],
        },
      },
      { name: 'static', key_set: null },
    ]);
    expect(JSON.stringify(body)).not.toContain('hidden');
    expect((await admin.ask('GET', '/jwt/customers')).body).toEqual(body.items[0]);
    expect((await admin.ask('GET', '/jwt/nobody')).status).toBe(404);
    const { out } = await command(['list']);
    expect(out).toMatch(/customers +https:\/\/login\.example\.com\/ +ES256 +1 +good/);
    expect(out).toMatch(/static +\S+ +ES256 +in the configuration/);
    expect((await command(['show', 'customers'])).out).toMatch(/one +ES256 +thumbprint of one/);
  });

  test('have their set fetched when an operator asks, once a second at most, and that is audited', async () => {
    from.answer = sends(keySet('two'));
    expect((await admin.ask('POST', '/jwt/customers/refresh', undefined, { role: 'viewer' })).status).toBe(403);
    const { status, body } = await admin.ask('POST', '/jwt/customers/refresh', undefined, { role: 'operator' });
    expect(status).toBe(200);
    expect(body.key_set.keys).toMatchObject([{ kid: 'two' }]);
    expect(native.kids()).toEqual(['two']);
    const again = await admin.ask('POST', '/jwt/customers/refresh');
    expect([again.status, again.headers.get('retry-after')]).toEqual([429, '1']);
    expect((await admin.ask('POST', '/jwt/static/refresh')).status).toBe(409);
    const entries = await admin.store.db.selectFrom('audit').select(['action', 'after']).execute();
    expect(entries).toEqual([{ action: 'jwt.refresh', after: '{"error":null,"keys":["two"]}' }]);
  });

  test('whose set cannot be had say so, and the command fails', async () => {
    from.answer = (_, response) => response.writeHead(500).end();
    const ran = await command(['refresh', 'customers']);
    expect(ran).toMatchObject({ exit: 1 });
    expect(ran.out).toContain('failing: the last good set serves');
    expect(ran.error).toContain('the server answers 500');
  });
});

describe('a token', () => {
  test('is judged step by step, and written nowhere', async () => {
    const before = await admin.store.db.selectFrom('audit').selectAll().execute();
    const { body } = await admin.ask('POST', '/jwt/customers/inspect', { token: TOKEN }, { role: 'viewer' });
    expect(body).toMatchObject({ accepted: false, reason: 'jwt.expired', steps: [{ step: 'expiry', ok: false }] });
    expect((await admin.ask('POST', '/jwt/nobody/inspect', { token: TOKEN })).status).toBe(404);
    expect((await admin.ask('POST', '/jwt/customers/inspect', { token: 'a'.repeat(65_537) })).status).toBe(400);
    expect(await admin.store.db.selectFrom('audit').selectAll().execute()).toEqual(before);
    expect(JSON.stringify([lines, admin.log])).not.toContain(TOKEN.slice(0, 20));
  });

  test('comes from standard input, with or without its scheme, and cannot steer the terminal', async () => {
    const denied = await command(['inspect', 'customers'], { piped: `Bearer ${TOKEN}\n` });
    expect(denied).toMatchObject({ exit: 1 });
    expect(denied.out).toContain('FAIL expiry: It has expired.');
    expect(denied.out).toContain('1795324114 (2026-11-22 05:08:34)');
    expect(denied.out).not.toContain('\u001b');
    expect(native.inspected.at(-1)).toEqual(['customers', TOKEN]);
    expect(await command(['inspect', 'customers'], { piped: 'a.b.c' })).toMatchObject({ exit: 0 });
    expect(await command(['inspect', 'customers'], { typed: ['a.b.c'] })).toMatchObject({ exit: 0 });
    expect(await command(['inspect', 'customers'], { piped: '' })).toMatchObject({ exit: 2 });
    expect(await command(['inspect', 'customers'], { piped: 'x'.repeat(70_000) })).toMatchObject({ exit: 2 });
  });
});

describe('revocations', () => {
  test('are made, in force with the answer, listed and restored', async () => {
    const body = { kind: 'subject', value: 'alice', why: 'left' };
    expect((await admin.ask('POST', '/jwt/customers/revocations', body, { role: 'viewer' })).status).toBe(403);
    const made = await admin.ask('POST', '/jwt/customers/revocations', body, { role: 'operator' });
    expect(made).toMatchObject({ status: 201, body: { ...body, state: 'revoked', by: 'a-operator' } });
    expect(native.revoked.at(-1)).toMatchObject({ revoked: [{ configuration: 'customers', value: 'alice' }] });
    const listed = await admin.ask('GET', '/jwt/customers/revocations?kind=subject', undefined, { role: 'viewer' });
    expect(listed.body).toEqual({ items: [made.body], next: null });
    const path = made.headers.get('location')?.replace('/admin/v1', '') ?? '';
    expect((await admin.ask('DELETE', path, undefined, { role: 'operator' })).body).toMatchObject({
      state: 'restored',
    });
    expect(native.revoked.at(-1)).toMatchObject({ revoked: [], restored: [{ value: 'alice' }] });
    expect((await admin.ask('DELETE', path)).status).toBe(409);
  });

  test.each([
    ['/jwt/nobody/revocations', { kind: 'jti', value: 'x' }, 404],
    ['/jwt/customers/revocations', { kind: 'aud', value: 'x' }, 400],
    ['/jwt/customers/revocations', { kind: 'jti', value: '' }, 400],
    ['/jwt/customers/revocations', { kind: 'jti', value: 'a\u0000b' }, 422],
    ['/jwt/customers/revocations', { kind: 'jti', value: 'a\ud800b' }, 422],
    ['/jwt/customers/revocations', { kind: 'jti', value: 'x', why: 'a\u0000b' }, 422],
    ['/jwt/customers/revocations', { kind: 'jti', value: 'x', until: '2020-01-01T00:00:00Z' }, 422],
    ['/jwt/customers/revocations', { kind: 'jti', value: 'x', until: 'tomorrow' }, 400],
  ])('%s refuses %j with %i', async (path, body, status) => {
    expect((await admin.ask('POST', path, body)).status).toBe(status);
  });

  test('refuse a value that is no claim of a token', async () => {
    const body = { kind: 'jti', value: 'x'.repeat(1_025) };
    expect((await admin.ask('POST', '/jwt/customers/revocations', body)).status).toBe(400);
  });

  test('are what the command line does by claim, by token and by id', async () => {
    const unasked = await command(['revoke', 'customers', '--subject', 'bob']);
    expect(unasked).toMatchObject({ exit: 2 });
    const asked = await command(['revoke', 'customers', '--subject', 'bob'], { typed: ['y'] });
    expect(asked.error).toContain('Revoke all tokens of bob that were issued until now of customers?');
    expect(asked.out).toContain('refused from now on, until');
    const found = await command(['revoke', 'customers', '--from-stdin', '--yes', '--until', 'never'], { piped: TOKEN });
    expect(found.out).toContain('the token j-1: refused from now on, for ever');
    const without = await command(['revoke', 'customers', '--from-stdin', '--yes'], { piped: 'e30.e30.e30' });
    expect(without).toMatchObject({ exit: 1 });
    expect(without.error).toContain('has no `jti`');
    expect(await command(['revoke', 'customers', '--from-stdin', '--yes'], { piped: 'nonsense' })).toMatchObject({
      exit: 2,
    });
    expect(await command(['revoke', 'customers', '-y'])).toMatchObject({ exit: 2 });
    expect(await command(['revoke', 'customers', '-y', '--jti', 'a', '--subject', 'b'])).toMatchObject({ exit: 2 });
    const all = await command(['revocations', 'customers', '--state', 'revoked']);
    expect(all.out).toMatch(/jti +j-1 +revoked/);
    expect(all.out).toContain('2 revocations');
    const [id] = /^[0-9a-f]{32}(?= +subject)/m.exec(all.out) ?? [''];
    expect((await command(['restore', 'customers', id, '--yes'])).out).toContain('counts again');
    expect((await command(['restore', 'customers', '--jti', 'j-1', '--yes'])).out).toContain('counts again');
    expect(await command(['restore', 'customers', '--jti', 'j-2', '--yes'])).toMatchObject({ exit: 2 });
    expect((await command(['revocations', 'customers', '--state', 'revoked'])).out).toBe('nothing is revoked\n');
  });
});
