// Limits out of the observed volume: percentiles against a plain reference, classes, confidence, and what is written.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { limits as limitsSchema } from '../../src/check/limits/config.js';
import { type Recommendation, Recommending } from '../../src/manage/limits/recommend.js';
import { type Looks, sensitivityOf } from '../../src/manage/limits/sensitivity.js';
import { snippet } from '../../src/manage/limits/snippet.js';
import { Spread } from '../../src/manage/limits/spread.js';
import { BUCKET_MS } from '../../src/manage/limits/volume.js';
import { type Recorded, type Request, recordedOf } from '../support/volumes.js';

const START = 1_763_797_200_000;
const DAY_MS = 86_400_000;

/** Sessions of some ten minutes, on one process or two, with so many requests. */
const traffic = fc
  .array(
    fc.record({
      session: fc.integer({ min: 0, max: 30 }),
      bucket: fc.integer({ min: 0, max: 3 }),
      node: fc.constantFrom('one', 'two'),
      count: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 500 })),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map(some =>
    some.flatMap(({ session, bucket, node, count }) =>
      Array.from({ length: count }, (_, i): Request => {
        return { session: String(session), node, at: START + bucket * BUCKET_MS + (i % BUCKET_MS) };
      }),
    ),
  );

function spreadOf(buckets: readonly Recorded[]): Spread {
  const spread = new Spread();
  for (const { nodes } of buckets) spread.add(nodes);
  return spread;
}

/** Of all numbers, one by one. */
function nearestRank(numbers: readonly number[], percent: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent * sorted.length) / 100) - 1)] ?? 0;
}

/** Requests of each session and ten minutes, however many processes it came to; or of each process. */
function counts(requests: readonly Request[], apart: boolean): number[] {
  const all = new Map<string, number>();
  for (const { at, session, node } of requests) {
    const key = [session, at - (at % BUCKET_MS), apart ? node : ''].join();
    all.set(key, (all.get(key) ?? 0) + 1);
  }
  return [...all.values()];
}

describe('percentiles', () => {
  test('are those of a plain list, over processes too, as long as the heaviest are all there are', () => {
    fc.assert(
      fc.property(traffic, fc.integer({ min: 1, max: 100 }), (requests, percent) => {
        const found = spreadOf(recordedOf(requests, 200)).percentile(percent);
        expect(found).toBe(nearestRank(counts(requests, false), percent));
      }),
      { numRuns: 500 },
    );
  });

  test('are at most an eighth too high where only the histogram is known', () => {
    fc.assert(
      fc.property(traffic, fc.integer({ min: 1, max: 100 }), fc.constantFrom(0, 3), (requests, percent, most) => {
        const single = requests.map(one => ({ ...one, node: 'one' }));
        const found = spreadOf(recordedOf(single, most)).percentile(percent);
        const plain = nearestRank(counts(single, true), percent);
        expect(found).toBeGreaterThanOrEqual(plain);
        expect(found).toBeLessThanOrEqual(plain * 1.125);
      }),
      { numRuns: 500 },
    );
  });

  test('of sampled minutes stand for all of them', () => {
    const of = (sessions: number, count: number, at: number): Request[] =>
      Array.from({ length: sessions * count }, (_, i) => ({ at, node: 'x', session: `${at}-${i % sessions}` }));
    // Sixteen sessions of 9, of which four were counted, and ten of 2.
    const buckets = recordedOf([...of(4, 9, START), ...of(10, 2, START + BUCKET_MS)], 200);
    const sampled = buckets.map(({ at, nodes }) => ({
      at,
      nodes: nodes.map(node => ({ ...node, share: at === START ? 0.25 : 1 })),
    }));
    expect(spreadOf(buckets).percentile(50)).toBe(2);
    expect(spreadOf(sampled).percentile(50)).toBe(9);
    expect(spreadOf(sampled).counted).toBe(14);
    expect(new Spread().percentile(99)).toBe(0);
  });
});

describe('an operation', () => {
  const looks = (operation: string, changes: Partial<Looks> = {}): Looks => {
    return { operation, method: 'GET', path: '/x', statuses: {}, ...changes };
  };
  const cases: [Looks, string, string][] = [
    [looks('logIn', { method: 'POST' }), 'login', '`log in`'],
    [looks('x', { path: '/v1/users/sign-in' }), 'login', '`sign in`'],
    [looks('resetPassword'), 'login', '`password`'],
    [looks('POST /session/login'), 'login', '`login`'],
    [looks('refreshToken', { method: 'POST' }), 'token', '`refresh`'],
    [looks('listAPIKeys'), 'other', 'nothing'],
    [looks('x', { path: '/oauth2/authorize' }), 'token', '`oauth2`'],
    [looks('searchOrders'), 'search', '`search`'],
    [looks('x', { path: '/graphql', method: 'POST' }), 'search', '`graphql`'],
    [looks('createOrder', { method: 'POST' }), 'write', 'POST'],
    [looks('dropOrder', { method: 'DELETE' }), 'write', 'DELETE'],
    [looks('listOrders'), 'other', 'nothing'],
    // What stands in braces is the name of a value, and `catalogin` no log-in.
    [looks('x', { path: '/orders/{token}' }), 'other', 'nothing'],
    [looks('catalogin'), 'other', 'nothing'],
    [looks('listOrders', { statuses: { '200': 60, '401': 30, '403': 10 } }), 'refused', '40 %'],
    [looks('listOrders', { statuses: { '200': 1, '401': 19 } }), 'other', 'nothing'],
    [looks('createOrder', { method: 'POST', statuses: { '200': 100, '403': 20 } }), 'write', 'POST'],
  ];
  test.each(cases)('$operation, $method $path looks like its class', (given, wanted, reason) => {
    expect(sensitivityOf(given)).toMatchObject({ class: wanted, reason: expect.stringContaining(reason) });
  });
});

/** Sessions with so many requests each, in ten minutes of as many days. */
function recommended(
  sessions: number,
  count: (session: number) => number,
  {
    days = 1,
    buckets = 1,
    operation = 'listOrders',
    method = 'GET' as string | null,
    sessions: told = true,
    changes = {},
  } = {},
): Recommendation {
  const recommending = new Recommending();
  for (let day = 0; day < days; day++) {
    for (let turn = 0; turn < buckets; turn++) {
      const at = START + day * DAY_MS + turn * BUCKET_MS;
      const requests = Array.from({ length: sessions }, (_, session) =>
        Array.from({ length: count(session) }, (_, i) => ({ at: at + i, session: String(session), node: 'one' })),
      ).flat();
      for (const { nodes } of recordedOf(requests, 200)) {
        const changed = nodes.map(node => ({ ...node, ...changes }));
        recommending.add({ host: 'api.test', operation, at, nodes: changed });
      }
    }
  }
  return recommending.result('api.test', operation, { method, path: '/orders', sessions: told });
}

describe('a recommended limit', () => {
  test('follows its formula, with a floor, and two digits', () => {
    const hundred = (session: number) => session + 1;
    expect(recommended(100, hundred)).toMatchObject({ p50: 50, p90: 90, p99: 99, limit: 150 });
    expect(recommended(100, hundred, { operation: 'login' })).toMatchObject({
      limit: 140,
      sensitivity: { class: 'login' },
    });
    expect(recommended(100, hundred, { method: 'POST' })).toMatchObject({ limit: 120 });
    expect(recommended(10, () => 1)).toMatchObject({ p99: 1, limit: 20 });
    expect(recommended(10, () => 1, { operation: 'login' }).limit).toBe(5);
    expect(recommended(100, hundred).formula).toBe('max(20, 1.5 x p99 = 1.5 x 99, rounded up to two digits)');
  });

  test('goes by the method that most requests had, where the description has none', () => {
    const class_ = (methods: object) =>
      recommended(10, () => 3, { method: null, changes: { methods } }).sensitivity.class;
    expect([class_({ POST: 30 }), class_({ GET: 16, POST: 14 }), class_({})]).toEqual(['write', 'other', 'other']);
  });

  test('is never below what nine in ten sessions do', () => {
    const counts = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(counts, fc.constantFrom('login', 'token', 'search', 'x'), (all, operation) => {
        const found = recommended(all.length, session => all[session] as number, { operation });
        expect(found.limit).toBeGreaterThanOrEqual(nearestRank(all, 90));
        expect(found.limit % 10 ** Math.max(0, String(found.limit).length - 2)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  test('is trusted by sessions, buckets and days, and less where few sessions decide', () => {
    const few = recommended(10, () => 3);
    expect(few).toMatchObject({ confidence: 'low', confidenceReason: '10 of 100 sessions, 1 of 12 buckets' });
    const some = recommended(10, () => 3, { buckets: 12 });
    expect(some).toMatchObject({ confidence: 'medium', sessions: 120, buckets: 12, days: 1 });
    expect(some.confidenceReason).toBe('120 of 1000 sessions, 12 of 144 buckets, 1 of 3 days');
    const many = recommended(10, () => 3, { buckets: 48, days: 3 });
    expect(many).toMatchObject({ confidence: 'high', days: 3 });
    const wide = recommended(50, session => (session === 0 ? 100 : 3), { buckets: 48, days: 3 });
    expect(wide).toMatchObject({
      confidence: 'medium',
      confidenceReason: expect.stringContaining('few sessions decide'),
    });
  });

  test('counts addresses where most requests have no session', () => {
    expect(recommended(10, () => 3, { changes: { anonymous: 16 } }).counted).toBe('address');
    expect(recommended(10, () => 3, { changes: { anonymous: 14 } }).counted).toBe('session');
    expect(recommended(10, () => 3, { sessions: false }).counted).toBe('caller');
  });
});

describe('the configuration of recommendations', () => {
  const one = (changes: Partial<Recommendation> = {}): Recommendation => ({ ...recommended(10, () => 3), ...changes });
  const rules = (...all: Recommendation[]) => limitsSchema.parse(parse(snippet(all)).limits).rules;

  test('is one that a gateway takes, in log mode', () => {
    const [rule] = rules(one());
    expect(rule).toMatchObject({
      name: 'listOrders',
      expression: 'http.host eq "api.test" and portcullis.operation eq "listOrders" and portcullis.session ne ""',
      characteristics: ['portcullis.session'],
      ...{ requestsPerPeriod: 20, period: 600_000, action: 'log' },
    });
    expect(snippet([])).toBe('');
  });

  test('leaves out who has nothing to be told apart by', () => {
    const [keys, without] = rules(one({ counted: 'caller' }), one({ counted: 'address' }));
    expect(keys?.characteristics).toEqual(['portcullis.key.id', 'cf.tls_client_auth.cert_fingerprint_sha256']);
    expect(keys?.expression).toMatch(/ and \(portcullis\.key\.id ne "" or cf\.tls_client_auth\.cert_verified\)$/);
    expect(without).toMatchObject({ name: 'listOrders-2', characteristics: ['cidr(ip.src, 32, 64)'] });
    expect(without?.expression).not.toContain('session');
  });

  test('names what is not described, and hosts of a wildcard', () => {
    const [other, wild] = rules(one({ operation: '-' }), one({ host: '*.example.com' }));
    expect(other).toMatchObject({ name: 'api.test-other', expression: expect.stringContaining('operation eq ""') });
    expect(wild?.expression).toMatch(/^ends_with\(http\.host, "\.example\.com"\) and /);
  });

  test('holds whatever an operation is called', () => {
    const name = fc.oneof(
      fc.string({ minLength: 1 }),
      fc.constantFrom('GET /a/{b}', `it's "x\\"`, 'a\nb: c', '---', '#'),
    );
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), operations => {
        const found = rules(...operations.map(operation => one({ operation })));
        expect(new Set(found.map(rule => rule.name)).size).toBe(operations.length);
        for (const [at, operation] of operations.entries()) {
          const named = operation === '-' ? '' : operation.replaceAll(/["\\]/g, '\\$&').replaceAll('\n', '\\x0a');
          expect(found[at]?.expression).toContain(` and portcullis.operation eq "${named}" and `);
        }
      }),
    );
  });
});
