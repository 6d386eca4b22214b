// Credentials that are refused: how often one may try, and what is told of it.

import { describe, expect, test } from 'vitest';
import { Failures } from '../../src/manage/admin/failures.js';
import { addToken, makeToken } from '../../src/manage/admin/tokens.js';
import { adminApi } from '../support/admin.js';

const BURST = 10;

function failures() {
  let now = 1_000_000;
  const told: object[] = [];
  const own = new Failures({ warn: (fields: object) => void told.push(fields) } as never, () => now);
  const fail = (address: string, times = 1) => {
    for (let i = 0; i < times; i++) own.failed(address, 'unknown');
  };
  return { own, told, fail, pass: (ms: number) => (now += ms) };
}

describe('failures', () => {
  test('of one address make it wait, and nobody else', () => {
    const { own, fail, pass } = failures();
    fail('192.0.2.1', BURST - 1);
    expect(own.wait('192.0.2.1')).toBe(0);
    fail('192.0.2.1');
    expect(own.wait('192.0.2.1')).toBe(10);
    expect(own.wait('::ffff:192.0.2.1')).toBe(10);
    expect(own.wait('192.0.2.2')).toBe(0);
    pass(9_000);
    expect(own.wait('192.0.2.1')).toBe(1);
    pass(1_000);
    expect(own.wait('192.0.2.1')).toBe(0);
    own.close();
  });

  test('of one IPv6 network are one address', () => {
    const { own, fail } = failures();
    for (let i = 1; i <= BURST; i++) fail(`2001:db8:0:7::${i.toString(16)}`);
    expect(own.wait('2001:db8::7:ffff:0:0:1')).toBeGreaterThan(0);
    expect(own.wait('2001:db8:0:8::1')).toBe(0);
    own.close();
  });

  test('of many addresses make all wait but this machine', () => {
    const { own, fail, pass } = failures();
    for (let i = 0; i < 200; i++) fail(`10.0.${i}.1`);
    expect(own.wait('192.0.2.1')).toBeGreaterThan(0);
    expect([own.wait('127.0.0.1'), own.wait('::1')]).toEqual([0, 0]);
    pass(1_000);
    expect(own.wait('192.0.2.1')).toBe(0);
    own.close();
  });

  test('are forgiven by nothing that the clock does', () => {
    const { own, fail, pass } = failures();
    fail('192.0.2.1', BURST);
    pass(-3_600_000);
    expect(own.wait('192.0.2.1')).toBeGreaterThan(0);
    own.close();
  });

  test('are told once at first, not once each', () => {
    const { own, told, fail } = failures();
    fail('192.0.2.1', 500);
    expect(told).toEqual([{ address: '192.0.2.1', why: 'unknown', failures: 1 }]);
    own.close();
  });
});

describe('who guesses', () => {
  test('has to wait, while those who are known are served', async () => {
    const { ask, tokens, failures, log, store } = await adminApi();
    const asAdmin = () => ask('GET', '/tokens');
    expect((await asAdmin()).status).toBe(200);
    for (let i = 0; i < BURST; i++) {
      expect((await ask('GET', '/tokens', undefined, { token: makeToken().token })).status).toBe(401);
    }
    const answer = await ask('GET', '/tokens', undefined, { token: makeToken().token });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '10']);
    expect((await asAdmin()).status).toBe(200);
    tokens.forget();
    expect((await asAdmin()).status, 'also when it has to be looked up again').toBe(200);
    const late = await store.write(['tokens'], tx =>
      addToken(tx, { name: 'late', role: 'admin', expiresAt: null, createdBy: 'test' }),
    );
    expect((await ask('GET', '/tokens', undefined, { token: late.token })).status).toBe(429);
    const elsewhere = { token: late.token, address: '192.0.2.9' };
    expect((await ask('GET', '/tokens', undefined, elsewhere)).status).toBe(200);
    expect(failures.filter(why => why === 'unknown')).toHaveLength(BURST);
    expect(failures.filter(why => why === 'throttled')).toHaveLength(2);
    expect(log).toHaveLength(1);
    expect(await store.db.selectFrom('audit').selectAll().execute()).toEqual([]);
  });

  test.each([
    ['a token with a typing error', `${makeToken().token.slice(0, -1)}g`],
    ['no token at all', ''],
    ['a megabyte', 'x'.repeat(10_000)],
  ])('%s is refused in the same words, without a look-up', async (_, token) => {
    const { ask, failures } = await adminApi();
    const answer = await ask('GET', '/tokens', undefined, { token });
    expect([answer.status, answer.body.title]).toEqual([401, 'This token is not accepted.']);
    expect(failures).toEqual(['malformed']);
  });
});
