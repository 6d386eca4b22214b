// A thread's connection to the servers that count: the only importer of iovalkey.
//
// Nothing is queued while there is no connection, and nothing is sent twice: a call that may have been counted already
// would be counted again, when whoever asked has given up long before.

import { Cluster, Command, Redis, type RedisOptions } from 'iovalkey';
import { backoff, spread } from './backoff.js';
import { LIBRARY } from './functions.js';
import type { SharedPlan } from './shared.js';

/** TCP and TLS. A server further away does not count within any bound. */
const CONNECT_MS = 2_000;
/** A connection on which nothing comes back for so long leads nowhere: a machine that went without a word. */
const SILENT_MS = 2_000;
/** How long one that is given up may take to say goodbye. */
const GOODBYE_MS = 100;
const FIRST_RETRY_MS = 50;
const MOST_RETRY_MS = 2_000;
/** A slot that has moved is asked for at its new place, where it may have moved on. */
const REDIRECTIONS = 4;
/** The map of a cluster's slots is read again; and as soon as a call goes wrong. */
const SLOTS_MS = 30_000;

/** What is told of connections; calls are told of apart. */
interface Hearing {
  connected(): void;
  failed(error: Error): void;
  /** There is none any more. */
  lost(): void;
}

export type Done = (error: Error | null, reply?: unknown) => void;

export class Connection {
  readonly #client: Redis | Cluster;
  /** Calls are made where the plan says, and nowhere else: not before the server has said that this is so. */
  #ready = false;
  /** Since a call was answered: a server that lets nobody in takes connections all the same. */
  #attempts = 0;

  constructor(plan: SharedPlan, { connected, failed, lost }: Hearing) {
    const retry = () => {
      this.#attempts += 1;
      return spread(backoff(this.#attempts, FIRST_RETRY_MS, MOST_RETRY_MS));
    };
    this.#client = plan.kind === 'cluster' ? cluster(plan, retry) : new Redis(server(plan, retry));
    this.#client.on('error', failed);
    this.#client.on('node error', failed);
    this.#client.on('close', () => {
      this.#ready = false;
      lost();
    });
    const ready = () => {
      this.#ready = true;
      connected();
    };
    const database = plan.kind === 'cluster' ? 0 : plan.database;
    this.#client.on('connect', () => (database === 0 ? ready() : this.#select(database, ready, failed)));
    this.#client.on('+node', (node: Redis) => node.on('connect', connected));
  }

  /** Calls a function. `done` is called once, never within this call. */
  call(name: string, keys: readonly string[], args: readonly (string | Buffer)[], done: Done): void {
    if (!this.#ready) {
      setImmediate(done, new Error("Connection isn't ready."));
      return;
    }
    const command = new Command('fcall', [name, String(keys.length), ...keys, ...args], {}, done as never);
    this.#client.sendCommand(command);
  }

  /** Loads the functions on every server that leads. `done` is told of the first that would not take them. */
  load(done: Done): void {
    const servers = this.#client instanceof Cluster ? this.#client.nodes('master') : [this.#client];
    let left = servers.length;
    let failed: Error | null = left === 0 ? new Error('Connection is closed.') : null;
    if (left === 0) setImmediate(done, failed);
    for (const server of servers) {
      const loaded = (error: Error | null) => {
        // Another node of the fleet was faster.
        if (error && !/already exists/.test(error.message)) failed ??= error;
        left -= 1;
        if (left === 0) done(failed);
      };
      server.sendCommand(new Command('function', ['LOAD', LIBRARY], {}, loaded as never));
    }
  }

  /** A call was answered: the next attempt to connect is a first one. */
  works(): void {
    this.#attempts = 0;
  }

  /** Looks again which server leads. */
  refresh(): void {
    if (this.#client instanceof Cluster) this.#client.refreshSlotsCache(() => {});
  }

  close(): void {
    this.#client.disconnect();
  }

  /** The library asks for the database too, and makes its calls in database 0 where that is refused. */
  #select(database: number, ready: () => void, failed: (error: Error) => void): void {
    const selected = (error: Error | null) => {
      if (error === null) return ready();
      if (this.#client.status !== 'ready') return;
      failed(error);
      // What was refused may be allowed when it is asked for again.
      this.#client.disconnect(true);
    };
    this.#client.sendCommand(new Command('select', [String(database)], {}, selected as never));
  }
}

function server(plan: Exclude<SharedPlan, { kind: 'cluster' }>, retry: () => number): RedisOptions {
  const options: RedisOptions = {
    ...every(plan),
    db: plan.database,
    enableOfflineQueue: false,
    retryStrategy: retry,
    // A server that leads no more: at the same address, or by the sentinels, there is another one.
    reconnectOnError: error => /\bREADONLY\b/.test(error.message),
  };
  if (plan.kind === 'single') return { ...options, ...plan.node };
  return {
    ...options,
    name: plan.name,
    sentinels: plan.nodes,
    ...(plan.sentinelUser !== null && { sentinelUsername: plan.sentinelUser }),
    ...(plan.sentinelPassword !== null && { sentinelPassword: plan.sentinelPassword }),
    ...(options.tls && { sentinelTLS: options.tls, enableTLSForSentinelMode: true }),
    sentinelCommandTimeout: CONNECT_MS,
    sentinelRetryStrategy: retry,
  };
}

function cluster(plan: Extract<SharedPlan, { kind: 'cluster' }>, retry: () => number): Cluster {
  return new Cluster(plan.nodes, {
    redisOptions: every(plan),
    enableOfflineQueue: false,
    enableReadyCheck: false,
    clusterRetryStrategy: retry,
    maxRedirections: REDIRECTIONS,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshInterval: spread(SLOTS_MS),
    slotsRefreshTimeout: CONNECT_MS,
    // By certificates names are verified: addresses that the cluster tells of are taken as they are.
    ...(plan.tls !== null && { dnsLookup: (address, callback) => callback(null, address) }),
  });
}

/** What holds for a connection to any server. */
function every({ user, password, tls }: SharedPlan): RedisOptions {
  return {
    ...(user !== null && { username: user }),
    ...(password !== null && { password }),
    ...(tls !== null && { tls: tlsOf(tls) }),
    family: 0,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: GOODBYE_MS,
    socketTimeout: SILENT_MS,
    keepAlive: 10_000,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    // It would need the right to INFO: a call says as well whether the server is ready.
    enableReadyCheck: false,
  };
}

function tlsOf({ ca, certificate, key, servername }: NonNullable<SharedPlan['tls']>) {
  return {
    ...(ca !== null && { ca }),
    ...(certificate !== null && { cert: certificate }),
    ...(key !== null && { key }),
    ...(servername !== null && { servername }),
    minVersion: 'TLSv1.2' as const,
  };
}
