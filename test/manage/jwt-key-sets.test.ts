// When key sets are fetched, and how long they serve.

import { expect, test } from 'vitest';
import { keySet, plan, provider, refreshing, sends } from '../support/provider.js';
import { describeStores, sqlitePlace } from '../support/stores.js';
import { pause, until } from '../support/waiting.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

const from = await provider();

/** A process that has the set with the key `one`. */
async function started(changes: Parameters<typeof plan>[1] = {}, headers: Record<string, string> = {}) {
  from.answer = sends(keySet('one'), headers);
  from.asked.length = 0;
  const process = refreshing(await (await sqlitePlace()).open());
  await process.begin(plan(from, changes));
  expect(process.native.kids()).toEqual(['one']);
  return process;
}

test('a set is there before the first request, and fetched again ahead of its end', async () => {
  const { clock, refresh, native, state } = await started({}, { 'cache-control': 'max-age=1200' });
  expect(state()).toMatchObject({ state: 'good', from: 'url', error: null, keys: [{ kid: 'one' }] });
  from.answer = sends(keySet('two'));
  await clock.advance(17 * MINUTE_MS, [refresh], 17);
  expect(from.asked).toHaveLength(1);
  await clock.advance(4 * MINUTE_MS, [refresh], 4);
  expect(from.asked).toHaveLength(2);
  // The key that is no longer in the set is gone at once.
  expect(native.kids()).toEqual(['two']);
});

test.each([
  ['max-age=1', 'least', 1],
  ['no-store', 'least', 1],
  ['max-age=99999999', 'most', 60],
])('cache headers of %s count within bounds: %s', async (control, _, minutes) => {
  const { clock, refresh } = await started({}, { 'cache-control': control });
  await clock.advance(minutes * MINUTE_MS * 0.85, [refresh], 10);
  expect(from.asked).toHaveLength(1);
  await clock.advance(minutes * MINUTE_MS * 0.16, [refresh], 4);
  expect(from.asked).toHaveLength(2);
});

test('a token of an unknown key has the set fetched within a second, once for all that come', async () => {
  const { clock, refresh, native } = await started();
  from.answer = sends(keySet('one', 'two'));
  native.lacking = ['customers'];
  await clock.advance(250, [refresh], 1);
  expect(native.kids()).toEqual(['one', 'two']);
  expect(from.asked).toHaveLength(2);
});

test('tokens of unknown keys, however many, cannot have it fetched more often than the cooldown', async () => {
  const { clock, refresh, native } = await started();
  for (let tick = 0; tick < 4 * 90; tick++) {
    native.lacking = ['customers', 'nobody'];
    await clock.advance(250, [refresh], 1);
  }
  // 90 seconds: at 0, 30 and 60, beside the first.
  expect(from.asked).toHaveLength(4);
  from.answer = (_, response) => response.writeHead(500).end();
  for (let tick = 0; tick < 4 * 60; tick++) {
    native.lacking = ['customers'];
    await clock.advance(250, [refresh], 1);
  }
  expect(native.kids()).toEqual(['one']);
});

test('one fetch at a time: what comes while it lasts waits for the same', async () => {
  const { refresh, native } = await started();
  from.answer = async (_, response) => {
    await pause(50);
    sends(keySet('two'))(_, response);
  };
  const set = refresh.find('customers');
  await Promise.all([set?.fetch(), set?.fetch(), set?.fetch()]);
  expect(from.asked).toHaveLength(2);
  expect(native.kids()).toEqual(['two']);
});

test('an operator gets what was published before asking, also while an older fetch is on its way', async () => {
  const { refresh, native } = await started();
  let answer = () => {};
  from.answer = (request, response) => {
    answer = () => sends(keySet('old'))(request, response);
  };
  const set = refresh.find('customers');
  const older = set?.fetch();
  await until(() => from.asked.length === 2);
  const forced = set?.force();
  from.answer = sends(keySet('new'));
  answer();
  await older;
  expect(await forced).toBe(0);
  expect(native.kids()).toEqual(['new']);
  expect(await set?.force()).toBeGreaterThan(0);
  expect(from.asked).toHaveLength(3);
});

test('what has not changed costs no body', async () => {
  const { clock, refresh, state } = await started({}, { etag: '"one"', 'cache-control': 'max-age=60' });
  from.answer = (request, response) =>
    response.writeHead(request.headers['if-none-match'] === '"one"' ? 304 : 500, { etag: '"one"' }).end();
  const before = state()?.fetchedAt ?? 0;
  await clock.advance(2 * MINUTE_MS, [refresh], 1);
  expect(state()).toMatchObject({ state: 'good', error: null, keys: [{ kid: 'one' }] });
  expect(state()?.fetchedAt).toBeGreaterThan(before);
});

test('an operator gets the whole set, whatever its validators say', async () => {
  const { refresh, native } = await started({}, { etag: '"one"' });
  from.answer = (request, response) =>
    request.headers['if-none-match'] === undefined
      ? sends(keySet('two'), { etag: '"one"' })(request, response)
      : response.writeHead(304).end();
  await refresh.find('customers')?.force();
  expect(native.kids()).toEqual(['two']);
});

test('a provider that is down is asked with growing patience, told of once, and its set serves until it is stale', async () => {
  const { clock, refresh, native, state, told, lines, text } = await started({ staleMs: 24 * HOUR_MS });
  from.answer = (_, response) => response.destroy();
  // Fine steps at first: 1, 2, 4 ... seconds.
  await clock.advance(11 * MINUTE_MS, [refresh], 110);
  const early = from.asked.length;
  expect(early).toBeGreaterThan(3);
  await clock.advance(12 * HOUR_MS, [refresh], 720);
  expect(state()?.state).toBe('failing');
  expect(native.kids()).toEqual(['one']);
  // Once an hour in the end.
  expect(from.asked.length - early).toBeLessThan(12 + 12);
  expect(from.asked.length - early).toBeGreaterThan(11);
  expect(told.map(([event]) => event)).toEqual(['jwt.key_set_failed']);
  expect(lines.filter(line => line.includes('cannot be had'))).toHaveLength(1);
  await clock.advance(12 * HOUR_MS, [refresh], 120);
  expect(native.kids()).toBeUndefined();
  expect(state()).toMatchObject({ state: 'stale', keys: [] });
  expect(told.at(-1)).toMatchObject(['jwt.key_set_stale', { Configuration: 'customers' }]);
  expect(await text()).toMatch(/portcullis_jwt_key_set_keys\{configuration="customers"\} 0/);
  // While none serves it is asked for more often, though still not at every token.
  const asked = from.asked.length;
  for (let tick = 0; tick < 4 * 60; tick++) {
    native.lacking = ['customers'];
    await clock.advance(250, [refresh], 1);
  }
  expect(from.asked.length - asked).toBeGreaterThanOrEqual(2);
  expect(from.asked.length - asked).toBeLessThanOrEqual(6);
  from.answer = sends(keySet('two'));
  await clock.advance(30_000, [refresh], 2);
  expect(native.kids()).toEqual(['two']);
  expect(state()?.state).toBe('good');
});

test('a provider that was never there is waited for within a bound, and then served without', async () => {
  from.answer = () => {};
  const process = refreshing(await (await sqlitePlace()).open(), { firstMs: 100, fetchMs: 300 });
  const begun = Date.now();
  await process.begin(plan(from, { name: 'silent' }));
  expect(Date.now() - begun).toBeLessThan(290);
  expect(process.state('silent')).toMatchObject({ state: 'missing', keys: [] });
  expect(process.lines.join()).toContain('key sets are not there yet');
  from.answer = sends(keySet('one'));
  await until(() => process.state('silent')?.error !== null);
  await process.clock.advance(2_000, [process.refresh], 2);
  expect(process.native.kids('silent')).toEqual(['one']);
});

test('a configuration that stays keeps its set and when it is due; another URL begins anew', async () => {
  const { refresh, native, begin, state, clock } = await started();
  const due = state()?.nextAt;
  await begin(plan(from));
  expect(from.asked).toHaveLength(1);
  expect(state()?.nextAt).toBe(due);
  // Other settings may be what it lacked.
  await begin(plan(from, { leastMs: 120_000 }));
  await clock.advance(250, [refresh], 1);
  expect(from.asked).toHaveLength(2);
  from.answer = sends(keySet('other'));
  await begin(plan({ ...from, url: `${from.url}other` }));
  expect(native.held.get('customers')).toEqual({ url: `${from.url}other`, kids: ['other'] });
  await begin();
  expect(refresh.states()).toEqual([]);
  await clock.advance(HOUR_MS, [refresh], 4);
  expect(from.asked).toHaveLength(3);
});

test('what was prepared for a policy that never came does not keep an old set beyond its end', async () => {
  const { refresh, native, clock } = await started({ staleMs: 2 * HOUR_MS });
  await refresh.prepare([plan({ ...from, url: `${from.url}other` })]);
  from.answer = (_, response) => response.destroy();
  await clock.advance(2 * HOUR_MS, [refresh], 120);
  expect(native.kids()).toBeUndefined();
});

test('a set that arrives after its configuration is gone is not taken', async () => {
  const { refresh, native, begin } = await started();
  let answer = () => {};
  from.answer = (request, response) => {
    answer = () => sends(keySet('late'))(request, response);
  };
  const fetch = refresh.find('customers')?.fetch();
  await until(() => from.asked.length === 2);
  await begin();
  answer();
  await fetch;
  expect(native.kids()).toEqual(['one']);
});

test('the metrics tell of each configuration, and no longer of one that is gone', async () => {
  const { begin, text, clock } = await started();
  await clock.advance(5_000, []);
  const shown = await text();
  expect(shown).toContain('portcullis_jwt_key_set_fetches_total{configuration="customers",result="replaced"} 1');
  expect(shown).toContain('portcullis_jwt_key_set_keys{configuration="customers"} 1');
  expect(shown).toContain('portcullis_jwt_key_set_age_seconds{configuration="customers"} 5');
  expect(shown).toContain('portcullis_jwt_key_set_last_fetch_successful{configuration="customers"} 1');
  expect(shown).toMatch(/portcullis_jwt_key_set_next_fetch_timestamp_seconds\{configuration="customers"\} \d{10}/);
  await begin();
  expect(await text()).not.toContain('portcullis_jwt_key_set_keys{');
});

describeStores('key sets that were kept', newPlace => {
  const kept = async (changes: { ageMs?: number; url?: string } = {}) => {
    const store = await (await newPlace()).open();
    from.answer = sends(keySet('one'), { etag: '"one"' });
    await refreshing(store).begin(plan(from));
    const meta = store.db.selectFrom('meta').selectAll().where('key', '=', 'key_set customers');
    await until(async () => (await meta.execute()).length === 1);
    from.answer = (_, response) => response.destroy();
    const next = refreshing(store);
    next.clock.jump(changes.ageMs ?? 0);
    await next.begin(plan({ ...from, url: changes.url ?? from.url }));
    return { store, meta, ...next };
  };

  test('serve a gateway that starts while the provider is down', async () => {
    const { native, state, clock, refresh } = await kept({ ageMs: 5 * HOUR_MS });
    expect(native.kids()).toEqual(['one']);
    expect(state()).toMatchObject({ state: 'failing', from: 'store' });
    // Its age counts from when its provider last said so.
    await clock.advance(20 * HOUR_MS, [refresh], 20);
    expect(native.kids()).toBeUndefined();
  });

  test('do so no longer than they would have', async () => {
    const { native, state } = await kept({ ageMs: 25 * HOUR_MS });
    expect(native.kids()).toBeUndefined();
    expect(state()?.state).toBe('missing');
  });

  test('count for their own URL alone', async () => {
    const { native } = await kept({ url: `${from.url}other` });
    expect(native.kids()).toBeUndefined();
  });

  test('are not taken from whoever writes to the database alone', async () => {
    const { store, meta } = await kept();
    const { value } = await meta.executeTakeFirstOrThrow();
    expect(value).not.toContain('"kid"');
    await store.db
      .updateTable('meta')
      .set({ value: keySet('theirs') })
      .where('key', '=', 'key_set customers')
      .execute();
    const next = refreshing(store);
    await next.begin(plan(from));
    expect(next.native.kids()).toBeUndefined();
    expect(next.lines.join()).toContain('the kept key set cannot be used');
  });
});
