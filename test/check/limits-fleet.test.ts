// The client of a fleet's counters against servers of every kind and in every trouble: who gets in, what is noticed, how
// long anybody waits, and how all of it recovers.

import { beforeAll, describe, expect, test } from 'vitest';
import { FAULTS, faultOf } from '../../src/check/limits/faults.js';
import { Edge, Node, takes } from '../support/fleet-node.js';
import { type Authority, authority, type Identity, x509 } from '../support/pki.js';
import { freePort } from '../support/ports.js';
import { describeServers, needsServer, Server, startCluster, startSentinel } from '../support/valkey.js';
import { pause, until } from '../support/waiting.js';

/** The rights that docs/limits.md tells an operator to give. */
const RIGHTS = [
  'resetkeys',
  '~portcullis{*',
  'resetchannels',
  '-@all',
  ...['+fcall', '+function|load', '+info', '+time', '+get', '+set', '+del'],
  ...['+zadd', '+zcard', '+zremrangebyscore', '+pexpire'],
];
const RIGHTS_CLUSTER = ['+cluster|slots', '+asking'];
const BOUND_MS = 50;
/** Timers, and two busy cores. */
const SLACK_MS = 60;

describeServers('the counters of a fleet', program => {
  test('are asked as soon as the functions are there, which the first node loads', async () => {
    const server = await Server.start({ program });
    const nodes = await Promise.all([Node.up(server.plan()), Node.up(server.plan()), Node.up(server.plan())]);
    const answers = await Promise.all(nodes.map(node => node.ask(1, takes(400))));
    expect(answers.map(verdicts => verdicts?.[0] === 0).sort()).toEqual([false, true, true]);
    expect(await server.ask('FUNCTION', 'LIST')).toHaveLength(1);
  });

  test('are asked by a user with no more rights than the documented ones', async () => {
    const server = await Server.start({ program });
    await server.ask('ACL', 'SETUSER', 'gateway', 'on', '>secret', ...RIGHTS);
    await server.lock();
    const node = await Node.up(server.plan({ user: 'gateway', password: 'secret' }));
    expect(await node.ask(1)).toEqual([0]);
    expect(await node.fleet.present('node', 5_000, 1_000)).toBe(1);
    const other = new Node(server.plan({ user: 'gateway', password: 'secret', prefix: 'other' }));
    await other.fails('permission');
  });

  test('are asked in no database but theirs', async () => {
    const server = await Server.start({ program });
    await server.ask('ACL', 'SETUSER', 'gateway', 'on', '>secret', ...RIGHTS);
    await server.lock();
    const node = new Node(server.plan({ user: 'gateway', password: 'secret', database: 3 }));
    await node.fails('permission');
    await pause(1_000);
    expect(node.heard.filter(({ up, why }) => up || why !== 'permission')).toEqual([]);
    expect(await node.ask(1)).toBeNull();
    expect(await server.ask('INFO', 'keyspace')).not.toContain('db');

    await server.ask('ACL', 'SETUSER', 'gateway', '+select');
    await node.comesUp(4_000);
    expect(await node.ask(1)).toEqual([0]);
    await server.ask('CLIENT', 'KILL', 'USER', 'gateway');
    await until(() => !node.fleet.standing.up);
    await node.comesUp(4_000);
    expect(await node.ask(1)).toEqual([0]);
    expect(String(await server.ask('INFO', 'keyspace')).match(/^db\d+/gm)).toEqual(['db3']);
  });

  test('wait for nobody: a server that is gone is down at once, and asked again when it is back', async () => {
    const server = await Server.start({ program });
    const node = await Node.up(server.plan());
    await server.kill();
    await until(() => !node.fleet.standing.up, 500);
    const since = performance.now();
    expect(await node.ask(1)).toBeNull();
    expect(performance.now() - since).toBeLessThan(5);
    await node.fails('unreachable');
    await server.start();
    await node.comesUp(4_000);
    expect(await node.ask(1)).toEqual([0]);
  });

  test('wait no longer than the bound for a server that has stopped answering', async () => {
    const server = await Server.start({ program });
    const edge = new Edge(server.plan());
    await edge.asking.ready(5_000);
    const waits: number[] = [];
    const stop = performance.now() + 1_500;
    const client = async (name: number) => {
      while (performance.now() < stop) {
        waits.push((await edge.ask(name)).ms);
        await pause(1);
      }
    };
    const clients = Array.from({ length: 32 }, (_, name) => client(name));
    await pause(300);
    server.pause();
    await until(() => !edge.up, 1_000);
    await pause(300);
    server.resume();
    await until(() => edge.up, 3_000);
    await Promise.all(clients);
    expect(edge.unanswered).toBe(0);
    expect(Math.max(...waits)).toBeLessThan(BOUND_MS + SLACK_MS);
    // Only those who asked before it was noticed have waited at all.
    expect(waits.filter(ms => ms > BOUND_MS / 2).length).toBeLessThan(32 * 4);
  });

  test('notice one of their own answers that is late, and go on', async () => {
    const server = await Server.start({ program });
    const node = await Node.up(server.plan());
    await server.ask('CLIENT', 'PAUSE', 120);
    expect(await node.ask(1)).toBeNull();
    expect(node.fleet.standing.up).toBe(true);
    await pause(120);
    expect(await node.ask(1)).toEqual([0]);
    expect(node.fleet.counted()).toMatchObject({ late: 1, failed: expect.any(Number) });
  });

  test('notice a server that was started again with nothing, and load the functions anew', async () => {
    const server = await Server.start({ program });
    const node = await Node.up(server.plan());
    expect(await node.ask(1, takes(1_000))).toEqual([0]);
    await server.restart();
    await node.comesUp(4_000);
    expect(await node.ask(1, takes(1_000))).toEqual([0]);
  });

  test('load functions anew that somebody took away', async () => {
    const server = await Server.start({ program });
    const node = await Node.up(server.plan());
    await server.ask('FUNCTION', 'FLUSH');
    expect(await node.ask(1)).toBeNull();
    await node.comesUp(1_000);
    expect(await node.ask(1)).toEqual([0]);
  });

  test('fall back while the memory is full, and as soon as a right or a password is gone', async () => {
    const server = await Server.start({ program });
    const node = await Node.up(server.plan());
    const troubles: [() => Promise<unknown>, keyof typeof FAULTS, () => Promise<unknown>][] = [
      [
        () => server.ask('CONFIG', 'SET', 'maxmemory', '1'),
        'memory',
        () => server.ask('CONFIG', 'SET', 'maxmemory', '0'),
      ],
      [
        () => server.ask('ACL', 'SETUSER', 'default', '-fcall'),
        'permission',
        () => server.ask('ACL', 'SETUSER', 'default', '+fcall'),
      ],
      [
        () => server.ask('ACL', 'SETUSER', 'default', '-set'),
        'permission',
        () => server.ask('ACL', 'SETUSER', 'default', '+set'),
      ],
      [() => server.lock(), 'credentials', () => server.unlock()],
    ];
    for (const [trouble, why, mend] of troubles) {
      await trouble();
      await node.ask(1);
      await node.ask(1);
      await node.fails(why);
      expect(await node.ask(1)).toBeNull();
      await mend();
      await node.comesUp(4_000);
      expect((await node.ask(1))?.[0], why).toBe(0);
    }
  });

  test('a wrong password is told as such, and tried again less and less often', async () => {
    const server = await Server.start({ program });
    await server.ask('ACL', 'SETUSER', 'gateway', 'on', '>secret', ...RIGHTS);
    const node = new Node(server.plan({ user: 'gateway', password: 'wrong' }));
    await node.fails('credentials');
    await pause(3_000);
    expect(node.why).toBe('credentials');
    const log = (await server.ask('ACL', 'LOG')) as unknown[][];
    expect(Number(log[0]?.[1])).toBeLessThan(12);
    await server.ask('ACL', 'SETUSER', 'gateway', '>wrong');
    await node.comesUp(4_000);
  });

  test('are told apart from a server that is busy with a script', async () => {
    const server = await Server.start({ program, settings: [['busy-reply-threshold', '100']] });
    const node = await Node.up(server.plan());
    const busy = server.ask('EVAL', 'while true do end', 0).catch(() => {});
    await node.ask(1);
    await node.ask(2);
    await node.ask(3);
    await node.fails('busy');
    await server.ask('SCRIPT', 'KILL');
    await busy;
    await node.comesUp(4_000);
  });

  test('many nodes recover from a restart one by one', async () => {
    const server = await Server.start({ program });
    const nodes = await Promise.all(Array.from({ length: 40 }, () => Node.up(server.plan())));
    await server.kill();
    await until(() => nodes.every(node => !node.fleet.standing.up));
    await pause(1_500);
    await server.start();
    const backs: number[] = [];
    const since = performance.now();
    await Promise.all(
      nodes.map(async node => {
        await node.comesUp(8_000);
        backs.push(performance.now() - since);
      }),
    );
    backs.sort((a, b) => a - b);
    // Spread over the waits between two attempts; and nobody waits for longer than the longest two.
    expect((backs.at(-4) as number) - (backs[3] as number)).toBeGreaterThan(300);
    expect(backs.at(-1)).toBeLessThan(3_500);
    const stats = String(await server.ask('INFO', 'commandstats'));
    const calls = Number(/cmdstat_fcall:calls=(\d+)/.exec(stats)?.[1]);
    const loads = Number(/cmdstat_function\|load:calls=(\d+)/.exec(stats)?.[1]);
    expect(calls).toBeLessThan(40 * 4);
    expect(loads).toBeLessThan(40);
  });
});

describeServers('an edge thread', program => {
  test('asks once for all of a turn, and each exchange gets its own answer', async () => {
    const server = await Server.start({ program });
    const edge = new Edge(server.plan());
    await edge.asking.ready(5_000);
    const answers = await Promise.all(Array.from({ length: 100 }, (_, name) => edge.ask(name % 10, takes(150))));
    expect(edge.sizes).toEqual([100]);
    // Ten times 150 of 1,000, from ten counters: six of ten fit.
    expect(answers.filter(({ verdict }) => verdict === 0)).toHaveLength(60);
    expect(answers.slice(0, 60).every(({ verdict }) => verdict === 0)).toBe(true);
  });

  test('answers all who wait when it ends', async () => {
    const server = await Server.start({ program });
    const edge = new Edge(server.plan({ timeoutMs: 1_000 }));
    await edge.asking.ready(5_000);
    server.pause();
    const answer = edge.ask(1);
    await pause(20);
    edge.asking.close();
    expect((await answer).verdict).toBeNull();
    expect(edge.told.at(-1)).toMatchObject({ standing: null, counted: { late: 1 } });
  });

  test('tells how long calls took', async () => {
    const server = await Server.start({ program });
    const edge = new Edge(server.plan());
    await edge.asking.ready(5_000);
    for (let name = 0; name < 20; name++) await edge.ask(name);
    edge.asking.close();
    const total = edge.told.reduce((sum, { counted }) => sum + counted.buckets.reduce((all, one) => all + one, 0), 0);
    expect(total).toBeGreaterThanOrEqual(20);
    expect(edge.told.reduce((sum, { counted }) => sum + counted.answered, 0)).toBe(total);
  });
});

needsServer()('servers with TLS', () => {
  let ca: Authority;
  let server: Identity;
  beforeAll(async () => {
    ca = await authority('counters');
    const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
    server = await ca.server(['localhost'], { usages: [serverAuth, clientAuth] });
  });

  test('are verified by the authorities that are given', async () => {
    const secure = await Server.start({ tls: { server, authority: ca.pem } });
    const node = await Node.up(secure.plan());
    expect(await node.ask(1)).toEqual([0]);
    const stranger = await authority('stranger');
    const tls = { ca: stranger.pem, certificate: null, key: null, servername: null };
    await new Node(secure.plan({ tls })).fails('tls');
    await new Node(secure.plan({ tls: { ...tls, ca: ca.pem, servername: 'elsewhere' } })).fails('tls');
  });

  test('may ask for a certificate', async () => {
    const secure = await Server.start({ tls: { server, authority: ca.pem, clients: ca.pem } });
    const client = await ca.client('gateway');
    const tls = { ca: ca.pem, certificate: client.cert, key: client.key, servername: null };
    const node = await Node.up(secure.plan({ tls }));
    expect(await node.ask(1)).toEqual([0]);
    const bare = new Node(secure.plan());
    await until(() => bare.why === 'tls' || bare.why === 'closed');
    expect(bare.fleet.standing.up).toBe(false);
  });
});

describeServers('a cluster', program => {
  test('counts each partition where its slot is, and goes on without a server that is gone', async () => {
    const user = ['user', 'gateway', 'on', '>secret', ...RIGHTS, ...RIGHTS_CLUSTER] as [string, ...string[]];
    const servers = await startCluster(3, { program, settings: [user] });
    const [first] = servers as [Server];
    const { node: _, database: __, ...common } = first.plan() as { node: unknown; database: unknown };
    const nodes = [{ host: '127.0.0.1', port: first.port }];
    const plan = { ...common, kind: 'cluster', nodes, user: 'gateway', password: 'secret' } as never;
    const node = await Node.up(plan);
    const digits = [...'0123456789abcdef'];
    const all = () => Promise.all(digits.map(digit => node.ask(1, takes(600), digit)));
    expect(await all()).toEqual(digits.map(() => [0]));
    const keys = await Promise.all(servers.map(server => server.ask('DBSIZE')));
    expect(keys.every(count => Number(count) > 0)).toBe(true);
    expect(keys.reduce<number>((sum, count) => sum + Number(count), 0)).toBe(32);

    const [, second] = servers as [Server, Server];
    await second.kill();
    await until(async () => (await all()).some(answer => answer === null) && node.fleet.standing.down > 0);
    await until(() => node.fleet.standing.down === Number(keys[1]) / 2, 3_000);
    expect(node.fleet.standing.up).toBe(true);
    const answered = (await all()).filter(answer => answer !== null);
    expect(answered).toHaveLength(16 - Number(keys[1]) / 2);
    expect(answered.every(verdicts => (verdicts?.[0] as number) > 0)).toBe(true);

    await second.start();
    await node.comesUp(10_000);
    expect((await all()).filter(verdicts => verdicts?.[0] === 0)).toHaveLength(Number(keys[1]) / 2);
  });
});

needsServer()('sentinels', () => {
  test('tell who leads after the one that led has died', async () => {
    const { leader, follower, plan } = await startSentinel();
    const node = await Node.up(plan());
    expect(await node.ask(1, takes(600))).toEqual([0]);
    await until(async () => Number(await follower.ask('DBSIZE')) >= 2);
    await leader.kill();
    await until(() => !node.fleet.standing.up, 1_000);
    await node.comesUp(15_000);
    // What was replicated is counted on.
    expect((await node.ask(1, takes(600)))?.[0]).toBeGreaterThan(0);
    expect(Number(await follower.ask('DBSIZE'))).toBeGreaterThanOrEqual(2);
  });

  test('tell who leads after the one that led has gone silent', async () => {
    const { leader, plan } = await startSentinel();
    const node = await Node.up(plan());
    leader.pause();
    // Its connection stays: only what does not come back on it tells.
    for (let name = 0; name < 3; name++) expect(await node.ask(name)).toBeNull();
    expect(node.why).toBe('late');
    await node.comesUp(15_000);
    expect(await node.ask(1)).toEqual([0]);
  });

  test('tell who leads after the one that led follows now', { timeout: 60_000 }, async () => {
    const { leader, sentinel, plan } = await startSentinel();
    const node = await Node.up(plan());
    // As soon as it has heard of the one that follows.
    const promotes = () => sentinel.ask('SENTINEL', 'FAILOVER', 'counters').then(Boolean, () => false);
    await until(promotes);
    await until(async () => String(await leader.ask('INFO', 'replication')).includes('role:slave'), 25_000);
    await until(async () => (await node.ask(2)) !== null, 10_000);
    expect(node.fleet.standing.up).toBe(true);
  });
});

describe('what servers and libraries say', () => {
  test('nobody listens: told as such, whichever way it is found out', async () => {
    const node = new Node({
      ...{ kind: 'single', node: { host: '127.0.0.1', port: await freePort() }, database: 0, user: null },
      ...{ password: null, tls: null, timeoutMs: BOUND_MS, prefix: 'portcullis' },
    });
    await node.fails('unreachable');
    expect(await node.ask(1)).toBeNull();
  });

  test('is a fault of the catalogue, and never shown as it is', () => {
    const said: Record<string, keyof typeof FAULTS> = {
      'NOAUTH Authentication required.': 'credentials',
      'WRONGPASS invalid username-password pair or user is disabled.': 'credentials',
      "ERR unknown command 'AUTH', with args beginning with: 'secret'": 'credentials',
      "NOPERM User gateway has no permissions to run the 'fcall' command": 'permission',
      "ERR The user executing the script can't run this command or subcommand script: x, on @user_function:37.":
        'permission',
      "READONLY You can't write against a read only replica.": 'readonly',
      'LOADING Redis is loading the dataset in memory': 'loading',
      "OOM command not allowed when used memory > 'maxmemory'.": 'memory',
      'BUSY Redis is busy running a script.': 'busy',
      'ERR Function not found': 'functions',
      "ERR unknown command 'fcall', with args beginning with: 'secret'": 'version',
      'CLUSTERDOWN Hash slot not served': 'cluster',
      'Connection is closed.': 'closed',
      'something else': 'other',
    };
    for (const [message, fault] of Object.entries(said)) expect(faultOf(new Error(message)), message).toBe(fault);
    for (const sentence of Object.values(FAULTS)) expect(sentence).not.toContain('secret');
  });
});
