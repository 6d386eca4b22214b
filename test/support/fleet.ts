// Three gateways that count together, what befalls them and their counters, and how they are seen to stand it.

import { join } from 'node:path';
import { temporaryFolder } from './cleanup.js';
import { type Gateway, startTogether } from './gateway.js';
import type { Caller } from './https.js';
import { authority } from './pki.js';
import { type Shot, type Steady, steady } from './steady.js';
import type { Server } from './valkey.js';
import { pause, until } from './waiting.js';

export const HOST = 'api.test';
/** How long a fault lasts that does not say it itself. */
const FAULT_MS = 1_500;
const STOPPED_MS = 3_000;
/** Between two faults: a period of every limit, so that what was forgotten has come back. */
const BETWEEN_MS = 1_200;
/** Probes are a second apart at most, and a gateway starts in two. */
const RECOVERY_MS = 20_000;

export const FAULTS = ['kill', 'stop', 'restart', 'noauth'] as const;
export type Fault = (typeof FAULTS)[number];

export interface Load {
  /** By the path they asked for. */
  shots: Map<string, Shot[]>;
  stop(): Promise<void>;
}

/** What was seen of a fault. */
export interface Recovered {
  fault: Fault;
  /** Since it was over, until every gateway counted with the fleet again. */
  ms: number;
}

export class Fleet {
  private constructor(
    readonly gateways: readonly Gateway[],
    readonly server: Server,
    private readonly ca: string,
  ) {}

  /** They share a store, and so the key that counters are named with. */
  static async start(count: number, counters: Server, origin: string, limits: object): Promise<Fleet> {
    const servers = await authority('servers');
    const server = await servers.server([HOST]);
    const config = {
      store: { folder: join(temporaryFolder(), 'state') },
      hosts: { [HOST]: { tls: { certificate: 'server.pem', key: 'server.key' }, mtls: { mode: 'off' }, origin } },
      events: { destination: 'stdout', sampleRate: 0 },
      limits,
    };
    const files = { 'server.pem': server.cert, 'server.key': server.key };
    const gateways = await startTogether(count, config, { files });
    return new Fleet(gateways, counters, servers.pem);
  }

  /** Asks all gateways for each path at that rate, all together, over some connections to each. */
  async load(perSecond: Record<string, number>, connections: number): Promise<Load> {
    const all = new Map<string, Steady[]>();
    for (const [path, rate] of Object.entries(perSecond)) {
      const request = () => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
      const each = this.gateways.map(gateway =>
        steady(Array(connections).fill(this.#caller(gateway)), {
          ...{ request, perSecond: rate / this.gateways.length, atOnce: 4 },
        }),
      );
      all.set(path, await Promise.all(each));
    }
    const shots = new Map<string, Shot[]>();
    const stop = async () => {
      for (const [path, each] of all) shots.set(path, (await Promise.all(each.map(one => one.stop()))).flat());
    };
    return { shots, stop };
  }

  /** A fault, and how long it took until all was as before. */
  async suffer(fault: Fault, victim: number): Promise<Recovered> {
    const gateway = this.gateways[victim % this.gateways.length] as Gateway;
    const { server } = this;
    if (fault === 'kill') {
      const before = gateway.pid;
      process.kill(before, 'SIGKILL');
      await until(() => gateway.pid !== before, RECOVERY_MS);
    } else if (fault === 'stop') {
      server.pause();
      await pause(STOPPED_MS);
      server.resume();
    } else if (fault === 'restart') {
      await server.restart();
    } else {
      await server.lock();
      // Who is in already would stay.
      await server.ask('CLIENT', 'KILL', 'USER', 'default');
      await pause(FAULT_MS);
      await server.unlock();
    }
    const since = performance.now();
    await this.up();
    const ms = Math.round(performance.now() - since);
    await pause(BETWEEN_MS);
    return { fault, ms };
  }

  /** All threads of all gateways count with the fleet. */
  async up(): Promise<void> {
    const counts = async (gateway: Gateway) =>
      (await gateway.count('portcullis_limits_shared_up').catch(() => 0)) === 1;
    await until(async () => (await Promise.all(this.gateways.map(counts))).every(each => each), RECOVERY_MS);
  }

  /** The sum of a metric over all gateways. */
  async count(name: string, labels = ''): Promise<number> {
    const counts = await Promise.all(this.gateways.map(gateway => gateway.count(name, labels)));
    return counts.reduce((sum, each) => sum + each, 0);
  }

  #caller({ https }: Gateway): Caller {
    return { port: https, host: HOST, ca: this.ca };
  }
}
