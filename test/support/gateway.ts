// A gateway process with a configuration of the test's own, on ports of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { atTheEnd, temporaryFolder } from './cleanup.js';
import { freePort } from './ports.js';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
/** Two edge threads show what one alone would hide, and start fast. */
const THREADS = 2;
const READY_WITHIN_MS = 20_000;
const STOP_WITHIN_MS = 40_000;

/** One record of an exchange (docs/events.md). */
export type Event = Record<string, unknown>;

export interface Started {
  /** Edge threads. */
  threads?: number;
  environment?: Record<string, string>;
  /** Files that the configuration names, written beside it before the start. */
  files?: Record<string, string>;
  /** Clients may come by IPv6 too. */
  everyAddress?: boolean;
}

/**
 * Starts a gateway and waits until it is ready.
 *
 * `config` is portcullis.yaml as a value (JSON is YAML); ports and `threads` are added to it, and paths in it are
 * relative to the gateway's folder, where `files` go.
 */
export async function startGateway(config: object, started: Started = {}): Promise<Gateway> {
  const gateway = await launchGateway(config, started);
  await gateway.ready();
  return gateway;
}

/** Several, over the store that `config` names: the first one makes it, and the key of its secrets is known to all. */
export async function startTogether(count: number, config: object, started: Started = {}): Promise<Gateway[]> {
  const environment = { PORTCULLIS_STORE_KEY: randomBytes(32).toString('base64'), ...started.environment };
  const gateways: Gateway[] = [];
  while (gateways.length < count) gateways.push(await startGateway(config, { ...started, environment }));
  return gateways;
}

/** The same without waiting: for configurations that are refused. */
export async function launchGateway(
  config: object,
  { threads = THREADS, environment = {}, files = {}, everyAddress = false }: Started = {},
) {
  if (!existsSync(MAIN)) throw new Error('dist/ is missing: npm run build');
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content, { mode: 0o600 });
  const [https, admin] = [await freePort(), await freePort()];
  const { listen: more, ...others } = config as { listen?: object };
  const listen = { https: everyAddress ? https : `127.0.0.1:${https}`, admin: `127.0.0.1:${admin}`, ...more };
  return new Gateway(folder, https, admin, { listen, threads, ...others }, environment);
}

export class Gateway {
  /** Standard output, line by line: the records of exchanges. */
  readonly events: Event[] = [];
  /** Standard error: the program's own log. */
  log = '';
  /** Exit code, or the signal's name. */
  readonly ended: Promise<number | string>;
  readonly process: ChildProcess;
  readonly configFile: string;
  #running = true;
  #eventArrived = () => {};

  constructor(
    readonly folder: string,
    readonly https: number,
    readonly admin: number,
    private readonly config: { listen: object; [key: string]: unknown },
    environment: Record<string, string>,
  ) {
    this.configFile = join(folder, 'portcullis.yaml');
    this.writeConfig({});
    this.process = spawn(process.execPath, [MAIN, 'run', '--config', this.configFile], {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.ended = new Promise(resolve => {
      this.process.once('close', (code, signal) => {
        this.#running = false;
        resolve(signal ?? code ?? 'unknown');
      });
    });
    this.process.stderr?.setEncoding('utf8').on('data', piece => {
      this.log += piece;
    });
    if (this.process.stdout) {
      createInterface({ input: this.process.stdout }).on('line', line => {
        this.events.push(JSON.parse(line));
        this.#eventArrived();
      });
    }
    atTheEnd(() => this.stop());
  }

  /** Writes the configuration with some of its top-level keys replaced. The gateway watches the file. */
  writeConfig(changes: object): void {
    writeFileSync(this.configFile, JSON.stringify({ ...this.config, ...changes }, null, 2));
  }

  /** Of the configuration that it was started with. */
  get listen(): object {
    return this.config.listen;
  }

  async ready(): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (this.#running && Date.now() < deadline) {
      const answer = await this.ask('/readyz').catch(() => null);
      if (answer?.ok) return;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    throw new Error(this.#running ? `not ready in time:\n${this.log}` : `ended before it was ready:\n${this.log}`);
  }

  /** The admin token that the first start prints. */
  get token(): string {
    return /^ {4}(pct_\S+)$/m.exec(this.log)?.[1] ?? '';
  }

  /** Asks the admin port, as an admin. */
  ask(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token !== '' && !headers.has('authorization')) headers.set('authorization', `Bearer ${this.token}`);
    const signal = AbortSignal.timeout(5000);
    return fetch(`http://127.0.0.1:${this.admin}${path}`, { signal, ...init, headers });
  }

  async metrics(): Promise<string> {
    return (await this.ask('/metrics')).text();
  }

  /** The sum over all samples of a metric that have all of these labels, in any order; 0 while there are none. */
  async count(name: string, labels = ''): Promise<number> {
    const samples = (await this.metrics()).matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm);
    const wanted = labels.split(',');
    let sum = 0;
    for (const [, sample, written = '', value] of samples) {
      if (sample === name && wanted.every(label => written.includes(label))) sum += Number(value);
    }
    return sum;
  }

  /** Waits until a metric has come to a value. */
  async counted(name: string, least: number, labels = '', withinMs = 10_000): Promise<void> {
    for (const deadline = Date.now() + withinMs; ; ) {
      const count = await this.count(name, labels).catch(() => 0);
      if (count >= least) return;
      if (Date.now() > deadline) throw new Error(`${name}{${labels}} is ${count}, not ${least}:\n${this.log}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }

  /** The gateway process itself, under its supervisor: the one that told last of itself in the log. */
  get pid(): number {
    const told = [...this.log.matchAll(/^\{.*"part":"gateway".*$/gm)].at(-1)?.[0];
    if (told === undefined) throw new Error(`the gateway has not told its process id:\n${this.log}`);
    return JSON.parse(told).pid;
  }

  /** The first record, past or to come, that `fits`. */
  async event(fits: (event: Event) => boolean, withinMs = 5000): Promise<Event> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const found = this.events.find(fits);
      if (found) return found;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no such event among ${JSON.stringify(this.events, null, 1)}`);
      await new Promise<void>(resolve => {
        this.#eventArrived = resolve;
        setTimeout(resolve, left);
      });
    }
  }

  /** Waits until the program's log holds the text. */
  async logged(text: string, withinMs = 5000): Promise<void> {
    const deadline = Date.now() + withinMs;
    while (!this.log.includes(text)) {
      if (Date.now() > deadline) throw new Error(`${JSON.stringify(text)} is not in the log:\n${this.log}`);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }

  /** SIGTERM, and how the process ended; one that does not end in time is killed. */
  async stop(): Promise<number | string> {
    if (!this.#running) return this.ended;
    this.process.kill('SIGTERM');
    const late = setTimeout(() => this.process.kill('SIGKILL'), STOP_WITHIN_MS);
    const how = await this.ended;
    clearTimeout(late);
    return how;
  }
}
