// The main thread's part in the fleet's counters, with a door that says what was spent: leases are settled while somebody
// answers, nodes know how many they are, and what goes wrong is told once.

import { Registry } from 'prom-client';
import { beforeEach, expect, test } from 'vitest';
import type { Told } from '../../src/check/limits/asking.js';
import { nothingCounted } from '../../src/check/limits/counted.js';
import type { SharedPlan } from '../../src/check/limits/shared.js';
import type { EdgeOptions } from '../../src/edge.js';
import { FleetMetrics } from '../../src/journal/metrics/fleet.js';
import { EdgeThread } from '../../src/manage/edge-thread.js';
import type { SettlingDoor } from '../../src/manage/limits/settling.js';
import { Sharing } from '../../src/manage/limits/sharing.js';
import type { Log } from '../../src/manage/log.js';
import { FakeThread } from '../config/fakes.js';
import { atTheEnd } from '../support/cleanup.js';
import { counter, Node, records, settles, takes, verdicts } from '../support/fleet-node.js';
import { needsServer, Server } from '../support/valkey.js';
import { pause, until } from '../support/waiting.js';

/** Gives what was spent once, and keeps what came of it. */
class Door implements SettlingDoor {
  readonly calls: { keys: string[]; records: Buffer }[] = [];
  readonly settled: (number[] | null)[] = [];
  nodes = 0;

  spent() {
    return this.calls.shift() ?? null;
  }

  spendingSettled(reply: Buffer | null, nodes: number): void {
    this.settled.push(verdicts(reply));
    this.nodes = nodes;
  }
}

class Lines {
  readonly lines: [level: string, why: unknown, text: string][] = [];

  log(): Log {
    const line =
      (level: string) =>
      (...[fields, text]: [object | string, string?]) => {
        const why = typeof fields === 'string' ? null : (fields as { why?: unknown }).why;
        this.lines.push([level, why, text ?? String(fields)]);
      };
    return { info: line('info'), error: line('error') } as unknown as Log;
  }
}

needsServer()('the main thread', () => {
  let server: Server;
  beforeEach(async () => {
    server = await Server.start();
  });

  async function share(plan: SharedPlan = server.plan()) {
    const [door, lines, registry] = [new Door(), new Lines(), new Registry()];
    const sharing = new Sharing({ door, log: lines.log(), metrics: new FleetMetrics(registry) });
    await sharing.adopt(plan);
    atTheEnd(() => sharing.stop());
    return { sharing, door, lines, metrics: () => registry.metrics() };
  }

  function spend(door: Door, ...all: Buffer[]): void {
    door.calls.push({ keys: ['portcullis{0}:born', ...all.map(() => counter(1))], records: records(...all) });
  }

  test('settles what was spent, call by call', async () => {
    const { door } = await share();
    await until(() => door.nodes === 1);
    spend(door, settles(10, 1_000));
    spend(door, settles(5, 1_000));
    await until(() => door.settled.filter(Boolean).length === 2);
    // Ten were spent before anything was granted; then all that was left is.
    expect(door.settled.filter(Boolean)).toEqual([[990], [0]]);
  });

  test('settles what is left when it ends', async () => {
    const { sharing, door } = await share();
    await until(() => door.nodes === 1);
    spend(door, settles(10, 0));
    await sharing.stop();
    expect(door.settled.at(-1)).toEqual([0]);
    const node = await Node.up(server.plan());
    expect(await node.ask(1, takes(991))).not.toEqual([0]);
    expect(await node.ask(1, takes(990))).toEqual([0]);
  });

  test('says that nobody has answered, and goes on when somebody does', async () => {
    const { door } = await share();
    await until(() => door.nodes === 1);
    await server.kill();
    spend(door, settles(10, 0));
    await until(() => door.settled.at(-1) === null && door.calls.length === 0);
    await server.start();
    await until(() => {
      if (door.calls.length === 0) spend(door, settles(10, 0));
      return door.settled.some((one, place) => one !== null && place > 1);
    });
  });

  test('learns how many nodes there are, and that one has gone', async () => {
    const first = await share();
    const second = await share();
    await until(() => first.door.nodes === 2 && second.door.nodes === 2);
    await second.sharing.stop();
    await until(() => first.door.nodes === 1, 8_000);
  });

  test('forgets a counter that is reset, penalty included', async () => {
    const { sharing, door } = await share();
    await until(() => door.nodes === 1);
    const node = await Node.up(server.plan());
    expect(await node.ask(1, takes(1_000))).toEqual([0]);
    const key = counter(1).split(':')[1] as string;
    expect(await sharing.reset(key)).toBe(true);
    expect(await sharing.reset(key)).toBe(false);
    expect(await node.ask(1, takes(1_000))).toEqual([0]);
    await server.kill();
    await expect(sharing.reset(key)).rejects.toThrow("the fleet's counters do not answer");
  });

  test('tells once what goes wrong, without a secret, and counts all calls', async () => {
    const { sharing, lines, metrics } = await share(server.plan({ password: 'a-secret', user: 'nobody' }));
    await until(() => lines.lines.length === 1);
    await pause(1_000);
    expect(lines.lines).toEqual([
      ['error', 'credentials', expect.stringContaining('user and password are not accepted')],
    ]);
    expect(JSON.stringify(lines.lines)).not.toContain('a-secret');
    expect(await metrics()).toContain('portcullis_limits_shared_up 0');

    await server.ask('ACL', 'SETUSER', 'nobody', 'on', '>a-secret', '~*', '+@all');
    await until(async () => (await metrics()).includes('portcullis_limits_shared_up 1'));
    // A change is told when it has lasted, and not sooner than some seconds after the one before.
    await until(() => lines.lines.length === 2);
    expect(lines.lines[1]).toEqual(['info', null, "the fleet's counters answer again"]);

    const counted = { ...nothingCounted(), answered: 3, late: 2, seconds: 0.0303 };
    [counted.buckets[0], counted.buckets[6]] = [2, 1];
    sharing.hear(0, { standing: { up: true, down: 0, why: null }, counted });
    const text = await metrics();
    expect(text).toMatch(/portcullis_limits_shared_call_seconds_bucket\{le="0.0001"\} \d+/);
    expect(text).toMatch(/portcullis_limits_shared_calls_total\{result="late"\} 2/);

    await sharing.adopt(null);
    sharing.hear(0, { standing: null, counted: nothingCounted() });
    expect(await metrics()).not.toMatch(/^portcullis_limits_shared_up/m);
  });

  test('tells that nodes cannot be counted for want of a right', async () => {
    await server.ask('ACL', 'SETUSER', 'default', '-zadd');
    const { lines } = await share();
    await until(() => lines.lines.length === 1);
    expect(lines.lines[0]?.[2]).toMatch(/^the nodes of the fleet cannot be counted/);
  });

  test('forgets how an edge thread fared that has died', async () => {
    const { sharing, door, metrics } = await share();
    await until(() => door.nodes === 1);
    const thread = new FakeThread({} as EdgeOptions);
    const hear = (number: number, told: Told) => sharing.hear(number, told);
    new EdgeThread(0, thread, () => {}, undefined, hear);
    const told: Told = { standing: { up: false, down: 1, why: 'unreachable' }, counted: nothingCounted() };
    thread.emit('message', { type: 'counters', told });
    expect(await metrics()).toContain('portcullis_limits_shared_up 0');
    thread.emit('error', new Error('on purpose'));
    thread.emit('exit', 1);
    expect(await metrics()).toContain('portcullis_limits_shared_up 1');
  });

  test('tells of a part of a cluster as of a part', async () => {
    const { sharing, lines, metrics } = await share();
    await pause(300);
    sharing.hear(0, { standing: { up: true, down: 5, why: 'unreachable' }, counted: nothingCounted() });
    expect(await metrics()).toContain('portcullis_limits_shared_up 0');
    await until(() => lines.lines.length === 1);
    expect(lines.lines[0]?.[2]).toMatch(/^some of the fleet's counters do not answer: nobody listens/);
  });
});
