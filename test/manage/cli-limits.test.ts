// `portcullis limits` against the real admin API over a socket.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import { type Admin, adminApi } from '../support/admin.js';
import { atTheEnd } from '../support/cleanup.js';
import { limiting } from '../support/limits.js';
import { anySocket } from '../support/ports.js';
import { type Person, portcullis } from '../support/terminal.js';
import { sessionHash, told } from '../support/volumes.js';

const KEY = '9f2c4e1ab3700d5e9f2c4e1ab3700d5e';

let admin: Admin;
let url: string;
let here: ReturnType<typeof limiting>;
let fleet = true;

beforeAll(async () => {
  admin = await adminApi({
    capabilities: [
      (api, store) => {
        here = limiting(store, {
          resetFleet: async () => {
            if (!fleet) throw new Error('nobody answers');
            return true;
          },
        });
        here.flow.routes(api);
      },
    ],
  });
  await here.flow.start();
  const server = await prepareAdmin(admin.app, null).listen(await anySocket());
  atTheEnd(() => server.close());
  url = `http://127.0.0.1:${server.port}`;
});

beforeEach(() => {
  here.engine.figures = [{ name: 'logins', checked: 120, refused: 7, delayed: 1 }];
  here.engine.top = [];
});

function command(args: string[], person: Person = {}) {
  const env = { PORTCULLIS_ADMIN: url, PORTCULLIS_TOKEN: admin.token('operator'), ...person.env };
  return portcullis(['limits', ...args], { ...person, env });
}

/** What a command that succeeds prints. */
async function ok(...args: string[]): Promise<string> {
  const ran = await command(args);
  expect(ran, ran.error).toMatchObject({ exit: 0 });
  return ran.out;
}

// biome-ignore lint/suspicious/noExplicitAny: the API's JSON, which the tests look into
const json = async (...args: string[]): Promise<any> => JSON.parse(await ok(...args, '-o', 'json'));

describe('limits list, show and top', () => {
  test('tell what a limit is, and what was counted', async () => {
    expect(await ok('list')).toMatch(/^name +action +limit .*\nlogins +block +10 in 60 s +ip\.src +local +120 +7 +1\n/);
    expect((await json('list')).items.map(({ name }: { name: string }) => name)).toEqual(['logins', 'shared']);
    expect(await ok('show', 'logins')).toMatch(/counted by +ip\.src\n[\s\S]*checked +120\n/);
    expect((await command(['show', 'nothing'])).exit).toBe(1);
  });

  test('top shows identities in a column of their own, and only where they are told', async () => {
    expect(await ok('top')).toBe('no keys are counted now\n');
    const one = { rule: 'logins', key: KEY, used: 4, refused: 2, penalty_ends: null };
    here.engine.top = [one];
    expect(await ok('top')).not.toContain('identity');
    here.engine.top = [{ ...one, identity: '192.0.2.7' }];
    const out = await ok('top', 'logins', '--most', '3');
    expect(out).toMatch(/^limit +key +identity +used/);
    expect(out).toContain('192.0.2.7');
    expect(here.engine.asked.at(-1)).toEqual({ rule: 'logins', most: 3 });
    for (const most of ['all', '0', '1001']) {
      const { exit, error } = await command(['top', '--most', most]);
      expect({ exit, error }).toEqual({ exit: 2, error: expect.stringContaining('--most: `') });
    }
  });

  test('what a limit in log would have refused counts as refused', async () => {
    here.engine.figures = [{ name: 'shared', checked: 9, would_refuse: 5 }];
    expect(await ok('list')).toMatch(/\nshared .* strict +9 +5 +0\n/);
  });
});

describe('limits exempt, unexempt and reset', () => {
  test('an exemption has an end and a reason, is listed, and taken away after a question', async () => {
    const now = Date.now();
    const done = await command(['exempt', 'logins', KEY, '--until', '7d', '--why', 'load test'], { now });
    expect(done.out).toMatch(new RegExp(`^logins does not hold for ${KEY} until 20`));
    expect(here.engine.exempt).toEqual([{ rule: 'logins', key: KEY, until: now + 7 * 86_400_000 }]);
    expect(await ok('exemptions')).toContain('load test');
    expect(await ok('exemptions', 'shared')).toBe('nobody is exempt\n');
    expect(await ok('show', 'logins')).toContain('load test');
    expect((await command(['unexempt', 'logins', KEY], { typed: ['n'] })).exit).toBe(1);
    expect(here.engine.exempt).toHaveLength(1);
    expect(await ok('unexempt', 'logins', KEY, '--yes')).toContain('holds for');
    expect(here.engine.exempt).toEqual([]);
  });

  test('what is no key is found before anything is asked', async () => {
    for (const verb of ['exempt', 'unexempt', 'reset']) {
      const ran = await command([verb, 'logins', '192.0.2.7']);
      expect(ran.exit).toBe(2);
      expect(ran.error).toContain('limits top');
    }
  });

  test('the first digits of a key do where they name one, of those that are counted or exempt', async () => {
    const one = { rule: 'logins', used: 4, refused: 2, penalty_ends: null };
    here.engine.top = [KEY, '9f2c4e1ab3700d5f'.repeat(2), 'ab'.repeat(16)].map(key => ({ ...one, key }));
    expect((await json('reset', 'logins', 'abababab')).key).toBe('ab'.repeat(16));
    for (const wrong of ['9f2c4e1a', 'cdcdcdcd', '9f2c']) {
      expect((await command(['exempt', 'logins', wrong])).exit, wrong).toBe(2);
    }
    expect((await json('exempt', 'logins', '9f2c4e1ab3700d5e')).key).toBe(KEY);
    here.engine.top = [];
    expect((await json('unexempt', 'logins', '9f2c4e1a', '--yes')).key).toBe(KEY);
  });

  test("a reset is told to the fleet's counters, and fails loudly when they do not answer", async () => {
    expect(await ok('reset', 'logins', KEY)).toContain('forgotten');
    expect((await json('reset', 'shared', KEY)).fleet).toBe('reset');
    fleet = false;
    const ran = await command(['reset', 'shared', KEY]);
    expect(ran).toMatchObject({ exit: 1 });
    expect(ran.error).toContain('did not answer');
    expect(here.engine.reset.at(-1)).toEqual({ rule: 'shared', key: KEY });
  });

  test('who may only look changes nothing', async () => {
    const env = { PORTCULLIS_TOKEN: admin.token('viewer') };
    expect((await command(['reset', 'logins', KEY], { env })).exit).toBe(3);
    expect((await command(['list'], { env })).exit).toBe(0);
  });
});

describe('limits recommend and simulate', () => {
  const START = 1_763_797_200_000;
  const requests = Array.from({ length: 60 }, (_, i) => ({ at: START + i * 50, session: String(i % 3), node: 'x' }));

  test('say so while nothing is recorded', async () => {
    const ran = await command(['recommend']);
    expect(ran).toMatchObject({ exit: 0, out: '' });
    expect(ran.error).toContain('nothing is recorded yet');
    expect((await json('recommend')).items).toEqual([]);
    expect((await command(['simulate', 'listOrders', '--requests', '5', '--period', '1m'])).exit).toBe(1);
  });

  test('a limit for every operation in a table, of one with its reasons, and as a configuration', async () => {
    here.engine.volumes = [...told(requests), ...told(requests.slice(0, 6), 'login', { statuses: { '401': 6 } })];
    expect(await ok('recommend')).toMatch(
      /^host .*\napi\.test +listOrders +20 +20 +20 +30 in 10 min +other +low\napi\.test +login +2 +2 +2 +5 in 10 min +login +low\n$/,
    );
    const one = await ok('recommend', 'login');
    expect(one).toMatch(/formula +max\(5, 1\.5 x p90 = 1\.5 x 2/);
    expect(one).toContain('looks like                            login: its name or path says `login`');
    expect(one).toContain("- name: 'login'");
    const ran = await command(['recommend', '--yaml']);
    expect(ran.out).toMatch(/^limits:\n {2}rules:\n/);
    expect(ran.error).toContain('action: block');
    expect((await json('recommend', 'login')).items[0].requests_per_period).toBe(5);
  });

  test('whom a draft would have refused, with what is not certain beside it', async () => {
    const args = ['listOrders', '--requests', '10', '--period', '1m'];
    const ran = await command(['simulate', ...args]);
    expect(ran.out).toMatch(/hit for certain +3 sessions, \d+ requests at least\n/);
    expect(ran.out).toMatch(new RegExp(`${sessionHash('0')} +certain +20 +\\d+ +2025-11-22 07:50:00`));
    expect((await json('simulate', 'listOrders', '--requests', '20', '--period', '1m')).sessions).toEqual({
      certain: 0,
      possible: 0,
      spared: 3,
    });
    const open = await command(['simulate', 'listOrders', '--requests', '10', '--burst', '8', '--period', '2s']);
    expect(open.error).toContain('counts and peaks');
    const first = await ok('simulate', ...args, '--most', '1');
    expect(first.match(/ certain +20 /g)).toHaveLength(1);
  });

  test('a period, a number or a choice that cannot be meant is found before anything is asked', async () => {
    for (const given of [
      ['--requests', '5', '--period', '2d'],
      ['--requests', '5', '--period', '100ms'],
      ['--requests', '0', '--period', '1m'],
      ['--requests', '5'],
      ['--requests', '5', '--period', '1m', '--burst', 'many'],
      ['--requests', '5', '--period', '1m', '--counters', 'all'],
      ['--requests', '5', '--period', '1m', '--most', '1001'],
    ]) {
      expect((await command(['simulate', 'listOrders', ...given])).exit, given.join(' ')).toBe(2);
    }
  });
});
