// Exemptions and resets: through the admin API, in the audit log, and in force in every process that shares the store.

import { expect, test } from 'vitest';
import { forget } from '../../src/manage/store/housekeeping.js';
import { adminApi } from '../support/admin.js';
import { FakeClock } from '../support/clock.js';
import { limiting, policyLimit } from '../support/limits.js';
import { describeStores } from '../support/stores.js';
import { sessionHash, told } from '../support/volumes.js';
import { until } from '../support/waiting.js';

const START = 1_763_797_200_000;
const KEY = '9f2c4e1ab3700d5e9f2c4e1ab3700d5e';
const OTHER = 'ab'.repeat(16);
const DAY_MS = 86_400_000;
/** It bites in every process within one second. */
const WITHIN_MS = 1_000;

describeStores('limits', newPlace => {
  async function stand(changes: Parameters<typeof limiting>[1] = {}) {
    const place = await newPlace();
    const admin = await adminApi({ place });
    const here = limiting(admin.store, changes);
    const there = limiting(await place.open());
    await here.flow.start();
    await there.flow.start();
    const api = await adminApi({ place, capabilities: [api => here.flow.routes(api)] });
    return { here, there, ask: api.ask, place, store: admin.store };
  }

  test('an exemption is in force here with the answer, and elsewhere within a second, until it is taken away', async () => {
    const { here, there, ask } = await stand();
    const path = `/limits/rules/logins/exemptions/${KEY}`;
    const made = await ask('PUT', path, { why: 'load test' }, { role: 'operator' });
    expect(made.status).toBe(200);
    expect(made.body).toMatchObject({
      limit: 'logins',
      key: KEY,
      until: null,
      why: 'load test',
      created_by: 'a-operator',
    });
    expect(here.engine.exempt).toEqual([{ rule: 'logins', key: KEY, until: null }]);
    await until(() => there.engine.exempt.length === 1, WITHIN_MS);
    expect((await ask('GET', '/limits/exemptions')).body.items).toEqual([made.body]);
    expect((await ask('DELETE', path, undefined, { role: 'operator' })).status).toBe(200);
    expect(here.engine.exempt).toEqual([]);
    await until(() => there.engine.exempt.length === 0, WITHIN_MS);
    expect((await ask('DELETE', path)).status).toBe(404);
  });

  test('an exemption that is made again is the newer one', async () => {
    const { here, ask } = await stand();
    const path = `/limits/rules/logins/exemptions/${KEY}`;
    const end = new Date(Date.now() + DAY_MS).toISOString();
    await ask('PUT', path, {});
    await ask('PUT', path, { until: end });
    expect(here.engine.exempt).toEqual([{ rule: 'logins', key: KEY, until: Date.parse(end) }]);
    const { body } = await ask('GET', '/limits/exemptions');
    expect(body.items).toHaveLength(1);
  });

  test('a reset empties the counter in every process, once, and not again in one that starts later', async () => {
    const { here, there, ask, place } = await stand();
    const done = await ask('POST', '/limits/rules/logins/reset', { key: KEY }, { role: 'operator' });
    expect(done.body).toMatchObject({ limit: 'logins', key: KEY, fleet: 'none' });
    expect(here.engine.reset).toEqual([{ rule: 'logins', key: KEY }]);
    await until(() => there.engine.reset.length === 1, WITHIN_MS);
    await ask('POST', '/limits/rules/logins/reset', { key: OTHER });
    await ask('POST', '/limits/rules/logins/reset', { key: KEY });
    await until(() => there.engine.reset.length === 3, WITHIN_MS);
    expect(there.engine.reset.filter(({ key }) => key === KEY)).toHaveLength(2);
    const late = limiting(await place.open());
    await late.flow.start();
    await ask('PUT', `/limits/rules/logins/exemptions/${OTHER}`, {});
    await until(() => late.engine.exempt.length === 1, WITHIN_MS);
    expect(late.engine.reset).toEqual([]);
    expect(await there.metrics()).toContain('portcullis_limits_reset_seconds_count 3');
  });

  test('every change is in the audit log, and needs an operator', async () => {
    const { ask } = await stand();
    const path = `/limits/rules/logins/exemptions/${KEY}`;
    for (const [method, where, body] of [
      ['PUT', path, {}],
      ['DELETE', path, undefined],
      ['POST', '/limits/rules/logins/reset', { key: KEY }],
    ] as const) {
      expect((await ask(method, where, body, { role: 'viewer' })).status).toBe(403);
      expect((await ask(method, where, body, { role: 'operator' })).status).toBe(200);
    }
    const { body } = await ask('GET', '/audit?action=limits');
    expect(body.items.map(({ action, target }: never) => [action, target])).toEqual([
      ['limits.reset', `logins ${KEY}`],
      ['limits.unexempt', `logins ${KEY}`],
      ['limits.exempt', `logins ${KEY}`],
    ]);
  });

  test('what names no limit, no key or the past is refused', async () => {
    const { ask, here } = await stand();
    expect((await ask('POST', '/limits/rules/nothing/reset', { key: KEY })).status).toBe(404);
    expect((await ask('PUT', `/limits/rules/nothing/exemptions/${KEY}`, {})).status).toBe(404);
    expect((await ask('PUT', '/limits/rules/logins/exemptions/abc', {})).status).toBe(400);
    expect((await ask('PUT', `/limits/rules/logins/exemptions/${KEY}`, { until: '2020-01-01T00:00:00Z' })).status).toBe(
      422,
    );
    expect((await ask('GET', '/limits/rules/nothing')).status).toBe(404);
    expect((await ask('GET', '/limits/top?rule=nothing')).status).toBe(404);
    // Of partners: it stands in no rule.
    expect((await ask('PUT', `/limits/rules/quota/exemptions/${KEY}`, {})).status).toBe(200);
    expect(here.engine.exempt.map(({ rule }) => rule)).toEqual(['quota']);
  });

  test('the counter of the fleet is taken out where there is one, and the answer says when nobody did', async () => {
    const asked: string[] = [];
    let answers = true;
    const { ask } = await stand({
      resetFleet: async (limit, key) => {
        asked.push(`${limit?.name} ${key}`);
        if (!answers) throw new Error('nobody answers');
        return true;
      },
    });
    expect((await ask('POST', '/limits/rules/logins/reset', { key: KEY })).body.fleet).toBe('none');
    expect((await ask('POST', '/limits/rules/shared/reset', { key: KEY })).body.fleet).toBe('reset');
    answers = false;
    expect((await ask('POST', '/limits/rules/shared/reset', { key: KEY })).body.fleet).toBe('failed');
    expect(asked).toEqual([`shared ${KEY}`, `shared ${KEY}`]);
  });

  test('limits are shown as they are in force, with what was counted, and identities only as the engine tells them', async () => {
    const limits = [
      policyLimit('logins', { operation: [0, 0], action: { delay: 1_500 } }),
      policyLimit('most', { concurrency: 7, amount: 0, sharing: { mode: 'fast', fallback: 'open', advance: 3 } }),
    ];
    const { ask, here } = await stand({ limits: () => limits });
    here.engine.figures = [{ name: 'logins', checked: 3, refused: 2, newer: 'unknown' }];
    here.engine.top = [{ rule: 'logins', key: KEY, used: 4, refused: 2, penalty_ends: 1_000, last_seen: 5 }];
    const { items } = (await ask('GET', '/limits')).body;
    expect(items).toMatchObject([
      {
        name: 'logins',
        operation: { host: 'api.test', operation: 'login' },
        ...{ amount: 10, period_seconds: 60, burst: 5, action: 'delay', delay_seconds: 1.5, advance: null },
        figures: { checked: 3, refused: 2, would_refuse: 0, delayed: 0 },
      },
      {
        name: 'most',
        algorithm: 'concurrency',
        amount: 7,
        period_seconds: null,
        burst: null,
        mode: 'fast',
        advance: 3,
      },
    ]);
    expect(items[0].figures).not.toHaveProperty('newer');
    expect((await ask('GET', '/limits/rules/most')).body).toEqual(items[1]);
    expect((await ask('GET', '/limits/top?rule=logins&most=5')).body.items).toEqual([
      { limit: 'logins', key: KEY, identity: null, used: 4, refused: 2, penalty_ends: '1970-01-01T00:00:01.000Z' },
    ]);
    expect(here.engine.asked).toEqual([{ rule: 'logins', most: 5 }]);
  });

  test('pages of exemptions neither skip nor repeat', async () => {
    const { ask } = await stand();
    const keys = Array.from({ length: 7 }, (_, i) => String(i).repeat(32));
    for (const key of keys)
      await ask('PUT', `/limits/rules/${Number(key[0]) % 2 ? 'logins' : 'shared'}/exemptions/${key}`, {});
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await ask('GET', `/limits/exemptions?limit=2${cursor && `&cursor=${cursor}`}`);
      seen.push(...body.items.map(({ key }: { key: string }) => key));
      cursor = body.next;
    }
    expect(seen).toEqual([...keys.filter(key => Number(key[0]) % 2), ...keys.filter(key => Number(key[0]) % 2 === 0)]);
    expect((await ask('GET', '/limits/exemptions?rule=logins')).body.items).toHaveLength(3);
  });

  test('an exemption ends by itself, and its row goes with the resets of yesterday', async () => {
    const clock = new FakeClock();
    const { ask, store, here } = await stand({ clock });
    const end = new Date(clock.now() + DAY_MS).toISOString();
    await ask('PUT', `/limits/rules/logins/exemptions/${KEY}`, { until: end });
    await ask('PUT', `/limits/rules/logins/exemptions/${OTHER}`, {});
    await ask('POST', '/limits/rules/logins/reset', { key: KEY });
    clock.jump(DAY_MS + 1);
    expect((await ask('GET', '/limits/exemptions')).body.items).toHaveLength(1);
    await ask('POST', '/limits/rules/logins/reset', { key: OTHER });
    expect(here.engine.exempt.map(({ key }) => key)).toEqual([OTHER]);
    expect(await forget(store, clock.now() + DAY_MS - 10)).toBe(1);
    expect(await forget(store, clock.now() + DAY_MS + 10)).toBe(2);
    const left = await store.db.selectFrom('limit_exemptions').select('key').execute();
    expect(left).toEqual([{ key: OTHER }]);
  });

  test('hosts are asked for once, however many limits or operations an answer is about', async () => {
    let asked = 0;
    const hosts = () => {
      asked += 1;
      return [{ name: 'api.test', operations: [{ id: 'login', method: 'POST', path: '/login' }], sessions: true }];
    };
    const { here, ask } = await stand({ hosts });
    expect((await ask('GET', '/limits')).body.items).toHaveLength(2);
    expect(asked).toBe(1);
    const requests = [{ at: START, session: 'a', node: 'x' }];
    here.engine.volumes = [...told(requests), ...told(requests, 'login')];
    expect((await ask('GET', '/limits/recommendations')).body.items).toHaveLength(2);
    expect(asked).toBe(2);
  });

  test('volume, recommendations and simulations are there as soon as ten minutes have ended', async () => {
    const { ask, here } = await stand();
    const requests = Array.from({ length: 40 }, (_, i) => ({
      at: START + i * 100,
      session: i % 10 ? 'a' : 'b',
      node: 'x',
    }));
    here.engine.volumes = [...told(requests), ...told(requests.slice(0, 5), 'login', { statuses: { '401': 5 } })];
    const { items, next } = (await ask('GET', '/limits/volumes?limit=1', undefined, { role: 'viewer' })).body;
    expect(items).toMatchObject([
      {
        ...{ host: 'api.test', operation: 'listOrders', from: new Date(START).toISOString(), node: 'here/1' },
        ...{ requests: 40, sessions: 2, share: 1, p50: 4, p99: 36 },
        heaviest: [{ session: sessionHash('a'), requests: 36, peak_1s: 9 }, { session: sessionHash('b') }],
      },
    ]);
    const second = (await ask('GET', `/limits/volumes?limit=1&cursor=${next}`)).body;
    expect([second.items[0].operation, second.next]).toEqual(['login', null]);
    const later = new Date(START + 600_000).toISOString();
    expect((await ask('GET', `/limits/volumes?since=${later}`)).body.items).toEqual([]);

    const { body } = await ask('GET', '/limits/recommendations?operation=login', undefined, { role: 'viewer' });
    expect(body.items).toMatchObject([
      {
        ...{ operation: 'login', class: 'login', requests_per_period: 6, period_seconds: 600, confidence: 'low' },
        ...{ from: new Date(START).toISOString(), until: later, counted_by: 'session', nodes: 1 },
      },
    ]);
    expect(body.yaml).toContain('requestsPerPeriod: 6');
    expect((await ask('GET', '/limits/recommendations')).body.items).toHaveLength(2);

    const draft = { operation: 'listOrders', requests_per_period: 10, period_seconds: 60 };
    const tried = await ask('POST', '/limits/simulations', draft, { role: 'viewer' });
    expect(tried.body).toMatchObject({
      ...{ host: 'api.test', buckets: 1, requests: 40, sessions: { certain: 1, possible: 0, spared: 1 } },
      hits: [{ session: sessionHash('a'), verdict: 'certain', requests: 36, first_refused_until: later }],
      notes: [],
    });
    expect(tried.body.refused_at_least).toBeGreaterThanOrEqual(24);
    expect((await ask('POST', '/limits/simulations', { ...draft, operation: 'nothing' })).status).toBe(404);
    expect((await ask('POST', '/limits/simulations', { ...draft, burst: 11 })).status).toBe(422);
    expect((await ask('POST', '/limits/simulations', { ...draft, host: 'other.test' })).body).toMatchObject({
      ...{ buckets: 0, hits: [], from: null },
      notes: ['Nothing is recorded of it.'],
    });
    here.engine.volumes = told(requests, 'listOrders', { host: 'other.test' });
    await ask('GET', '/limits/volumes');
    const unclear = await ask('POST', '/limits/simulations', draft);
    expect([unclear.status, unclear.body.detail]).toEqual([422, 'Say `host`: api.test, other.test.']);
  });

  test('a simulation says what a sample leaves open', async () => {
    const { ask, here } = await stand();
    here.engine.volumes = told([{ at: START, session: 'a', node: 'x' }], 'listOrders', { share: 0.25, requests: 9 });
    const draft = { operation: 'listOrders', requests_per_period: 1, period_seconds: 60 };
    const { body } = await ask('POST', '/limits/simulations', draft);
    expect(body).toMatchObject({ share: 0.25, others: { verdict: 'possible' }, requests: 9 });
    expect(body.notes[0]).toContain('one of 4 sessions');
  });
});
