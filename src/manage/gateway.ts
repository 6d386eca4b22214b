// The gateway process: starts everything in order, takes up changes whole or not at all, and ends within a bound.

import { dirname } from 'node:path';
import { type Contexts, makeContexts } from '../accept/tls/contexts.js';
import type { Told } from '../check/limits/asking.js';
import { type Loaded, type Lookups, load, type Parts } from '../config/load.js';
import type { EngineProblem, Policy } from '../config/policy.js';
import { flat, inOrder, type Problem } from '../config/problem.js';
import { every, Names } from '../forward/origins/refresh.js';
import { Destination } from '../journal/events/destination.js';
import { Notices } from '../journal/events/notices.js';
import { Turn } from '../journal/events/turn.js';
import type { Metrics } from '../journal/metrics/registry.js';
import { Acceptor, type AcceptorDoor } from './acceptor.js';
import type { Opening } from './admin/port.js';
import type { Managed, ReloadResult } from './admin/routes.js';
import { Control, type ControlNative } from './control.js';
import type { StartThread } from './edge-thread.js';
import { Edges, type Plan } from './edges.js';
import { DatabaseRefused, Databases, type Locating } from './limits/databases.js';
import type { SettlingDoor } from './limits/settling.js';
import { Sharing } from './limits/sharing.js';
import type { Log } from './log.js';
import { nameOf, type Upgraded, type Wanted } from './messages.js';
import type { StorePlan } from './store/compile.js';
import { StoreRefused } from './store/refused.js';
import type { Given, TakeSocket } from './supervision.js';
import { Watch } from './watch.js';

/** Exchanges at once in one edge thread; above, 503. A slot costs some KiB once it was used. */
const EXCHANGES = 4_096;
/** For the last events at the end. */
const FLUSH_MS = 1_000;

/** The part of the native door that the main thread uses. */
export type Native = ControlNative &
  Locating &
  SettlingDoor &
  AcceptorDoor & {
    compile(policy: string, activate: boolean): string;
    drain(buffer: Uint8Array): number;
    sample(rate: number): void;
  };

export interface Surroundings {
  file: string;
  /** Private, for files of our own. */
  folder: string;
  /** The descriptor that stands for standard output. */
  stdout: number;
  native: Native;
  startThread: StartThread;
  metrics: Metrics;
  log: Log;
  lookups: Lookups;
  takeSocket: TakeSocket;
  /** Another gateway process serves, until this one does. */
  successor: boolean;
  /** Has another gateway process started, made of what is on the disk now, in the place of this one. */
  upgrade(): Promise<Upgraded>;
  /** Tells the supervisor. */
  report(what: 'reloading' | 'reloaded'): void;
}

/** The configuration cannot be used. Nothing has changed. */
export class Refused extends Error {
  constructor(readonly remarks: Problem[]) {
    super('the configuration was refused');
  }
}

/** What is in force. */
interface Force {
  parts: Parts;
  contexts: Contexts;
  names: Names;
}

export class Gateway implements Managed {
  readonly #from: Surroundings;
  readonly #acceptor: Acceptor;
  readonly #watch = new Watch(() => void this.reload('file'));
  #force: Force | null = null;
  #edges: Edges | null = null;
  #events: Destination | null = null;
  readonly #notices = new Notices();
  readonly #databases: Databases;
  /** From the start to the end; a configuration that names another store wants a restart. */
  #control: Control | null = null;
  readonly #sharing: Sharing;
  #stopNames = () => {};
  /** Loads come one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #handedOver = false;
  #warned = '';

  constructor(from: Surroundings) {
    this.#from = from;
    this.#databases = new Databases(from.native);
    this.#acceptor = new Acceptor(from.native);
    const { native: door, log, metrics } = from;
    this.#sharing = new Sharing({ door, log, metrics: metrics.fleet });
  }

  get port(): number {
    return this.#edges?.listen.port ?? 0;
  }

  get adminPort(): number {
    return this.#control?.adminPort ?? 0;
  }

  get graceMs(): number {
    return this.#force?.parts.config.drain.grace ?? 0;
  }

  /** Of the sockets that it needs, by what is in force. */
  get uses(): string[] {
    if (this.#force === null) return [];
    const { parts } = this.#force;
    const { admin, pki } = parts.config.listen;
    const others = Object.entries({ 'listen.admin': admin, ...(pki && { 'listen.pki': pki }) });
    const wanted = others.map(([what, at]): Wanted => ({ what, ...at, shared: false }));
    return [this.#httpsWanted(parts), ...wanted].map(nameOf);
  }

  /** After a hand-over it is the other process that is asked about, on connections that were made to this one. */
  ready(): boolean {
    return this.#handedOver || (!this.#stopping && (this.#edges?.ready ?? false));
  }

  upgrade(): Promise<Upgraded> {
    return this.#from.upgrade();
  }

  async metrics(): Promise<{ contentType: string; text: string }> {
    const { metrics } = this.#from;
    return { contentType: metrics.contentType, text: await metrics.text() };
  }

  /** Rejects with Refused when the configuration has problems or a port is taken. */
  async start(): Promise<void> {
    const { stdout, folder, startThread, metrics, log, successor } = this.#from;
    const { loaded, parts, names, control } = await this.#read();
    const https = await this.#takeHttps(parts, loaded);
    const listen = { address: https.address, port: https.port, h2: this.#h2(parts) };
    if (parts.config.listen.h2 && !listen.h2) {
      log.warn('HTTP/2 is off: connections have no identity here (docs/connections.md)');
    }
    const admin = await this.#openAdmin(control, parts, loaded);
    const answer = () => this.#blamingLater(loaded, '/listen/admin', admin.settle());
    // Who asks the admin port is answered by a process that serves.
    if (!successor) await answer();
    const turn = new Turn(dirname(folder));
    this.#events = this.#blaming(
      loaded,
      '/events/destination',
      () => new Destination(parts.destination, stdout, buffer => this.#drain(buffer), log, turn),
    );
    this.#locate(parts, loaded);
    this.#judge(parts.policy, loaded, true);
    const contexts = makeContexts(parts.tls, this.#from.folder);
    const plan = planOf(parts, contexts, listen);
    const replaced = (why: string) => metrics.edgeReplaced(why);
    const hear = (thread: number, told: Told) => this.#sharing.hear(thread, told);
    this.#edges = new Edges(plan, startThread, log, replaced, control.own, hear);
    this.#enforce({ parts, contexts, names });
    await control.introduce();
    await control.start(parts);
    await this.#blamingLater(loaded, '/listen/pki', control.publish(parts));
    await this.#sharing.adopt(parts.shared);
    if (listen.h2) this.#accept(parts, loaded, https);
    await this.#edges.start();
    if (successor) await answer();
    metrics.loaded();
    this.#stopNames = every(() => this.#inTurn(() => this.#resolveAgain()));
  }

  /** Takes the configuration up as it is now, or leaves everything as it was. */
  reload(why: string): Promise<ReloadResult> {
    return this.#inTurn(async () => {
      const { log, metrics, report } = this.#from;
      report('reloading');
      try {
        const generation = await this.#takeUp();
        metrics.reloaded('applied');
        log.info({ why, generation }, 'the configuration was applied');
        return { applied: true, generation };
      } catch (error) {
        metrics.reloaded('refused');
        const problems = error instanceof Refused ? error.remarks : [];
        for (const one of problems)
          log[one.severity === 'problem' ? 'error' : 'warn'](flat(one), 'in the configuration');
        const cause = error instanceof Refused ? {} : { error: (error as Error).message };
        log.error({ why, ...cause }, 'the configuration was refused; the one before stays in force');
        return { applied: false, problems };
      } finally {
        report('reloaded');
      }
    });
  }

  /** Opens the file of events anew, after it was moved away. */
  reopenEvents(): void {
    try {
      this.#events?.reopen();
    } catch (error) {
      this.#from.log.error({ error: (error as Error).message }, 'the file of events cannot be opened anew');
    }
  }

  /** Another process serves: what is under way here ends. As `stop`. */
  retire(): Promise<number | null> {
    this.#handedOver = true;
    this.#control?.handOver();
    return this.stop();
  }

  /** Drains. How many exchanges were cut off; null when only the end of the process will end them. */
  async stop(graceMs = this.graceMs): Promise<number | null> {
    const until = Date.now() + graceMs;
    this.#stopping = true;
    this.#watch.close();
    this.#stopNames();
    this.#acceptor.stop();
    this.#edges?.announce();
    // Who was accepted and has not spoken yet is served still.
    await this.#acceptor.settled(Math.min(graceMs, this.#force?.parts.config.listen.connections.helloTimeout ?? 0));
    const cut = this.#edges ? await this.#edges.stop(Math.max(0, until - Date.now())) : 0;
    await this.#sharing.stop();
    await this.#events?.close(FLUSH_MS);
    await this.#control?.stop();
    return cut;
  }

  async #takeUp(): Promise<number> {
    const [before, edges, events] = [this.#force, this.#edges, this.#events];
    if (this.#stopping || !before || !edges || !events) throw new Error('the gateway is not running');
    const { loaded, parts, names, control } = await this.#read();
    if (!same(parts.store, before.parts.store)) throw new Refused(inOrder([...loaded.remarks, ...otherStore(loaded)]));
    const { listen: now, threads, inspect } = parts.config;
    const { listen: then, ...was } = before.parts.config;
    const contexts = makeContexts(parts.tls, this.#from.folder);
    const moved = !same(now.https, then.https);
    const [h2, h2Before] = [this.#h2(parts), edges.listen.h2];
    if (h2 !== h2Before && !moved) throw new Refused(inOrder([...loaded.remarks, ...otherListener(loaded)]));
    const fresh =
      (moved && !h2) ||
      h2 !== h2Before ||
      !same([threads, inspect, parts.shared], [was.threads, was.inspect, before.parts.shared]) ||
      contexts.digest !== before.contexts.digest;
    const redirected = parts.destination !== before.parts.destination;
    const readmitted = control.readmits(parts, before.parts);
    // What can fail comes before what cannot be taken back; that where addresses are is known anew is no harm.
    this.#locate(parts, loaded);
    if (fresh || redirected || readmitted) this.#judge(parts.policy, loaded, false);
    const listened = edges.listen;
    const https = moved || h2 !== h2Before ? await this.#takeHttps(parts, loaded) : null;
    const listen = https ? { address: https.address, port: https.port, h2 } : listened;
    const admin = readmitted ? await this.#openAdmin(control, parts, loaded) : null;
    const plan = planOf(parts, contexts, listen);
    await control.prepare(parts);
    const closes = h2Before && (moved || !h2);
    const close = async () => {
      if (!closes) return;
      this.#acceptor.close(listened);
      await this.#acceptor.settled(then.connections.helloTimeout);
    };
    try {
      if (redirected) this.#blaming(loaded, '/events/destination', () => events.reopen(parts.destination));
      if (https?.handle) this.#accept(parts, loaded, https);
      if (fresh) await edges.replaceAll(plan, 'configuration', close);
      else await close();
    } catch (error) {
      if (https?.handle) this.#acceptor.close(https);
      if (redirected) events.reopen(before.parts.destination);
      await admin?.abandon();
      throw error;
    }
    const generation = this.#judge(parts.policy, loaded, true);
    if (!fresh) edges.adopt(plan);
    await admin?.settle();
    const { entries } = parts.policy.limits;
    if (entries !== before.parts.policy.limits.entries) {
      this.#from.log.warn({ entries }, '`limits.entries` takes effect when the gateway starts');
    }
    this.#enforce({ parts, contexts, names });
    await this.#sharing.adopt(parts.shared);
    await control.adopt(parts);
    return generation;
  }

  async #read(): Promise<{ loaded: Loaded; parts: Parts; names: Names; control: Control }> {
    const { file, lookups, log } = this.#from;
    const names = new Names(lookups.resolve);
    const since = Date.now();
    const loaded = await load(file, {
      ...lookups,
      resolve: names.resolve,
      stored: async (plan, hosted) => await (await this.#openControl(plan)).stored(hosted),
    });
    this.#watch.follow(loaded.files, since);
    const { parts, remarks } = loaded;
    if (!parts || remarks.some(({ severity }) => severity === 'problem')) {
      const deeper = parts ? loaded.place(this.#compile(parts.policy, false).problems) : [];
      throw new Refused(inOrder([...remarks, ...deeper]));
    }
    // Once, not at every reload.
    const warnings = JSON.stringify(remarks);
    if (warnings !== this.#warned) for (const warning of remarks) log.warn(flat(warning), 'in the configuration');
    this.#warned = warnings;
    // Without problems what the store holds was looked up.
    return { loaded, parts, names, control: this.#control as Control };
  }

  async #openControl(plan: StorePlan): Promise<Control> {
    const { native, metrics, log, lookups, takeSocket } = this.#from;
    this.#control ??= await Control.open(plan, {
      gateway: this,
      takeSocket,
      native,
      metrics,
      log,
      env: lookups.env,
      tell: (event, fields) => this.#notices.tell(event, fields),
      resetCounter: key => this.#sharing.reset(key),
      changed: async why => {
        if (this.#force && !this.#stopping) await this.reload(why);
      },
      parts: () => this.#force?.parts ?? null,
    });
    return this.#control;
  }

  #locate({ databases }: Parts, loaded: Loaded): void {
    try {
      this.#databases.take(databases);
    } catch (error) {
      throw error instanceof DatabaseRefused ? blame(loaded, error.at, error) : error;
    }
  }

  /** The engine's verdict on a policy: its generation, or Refused. */
  #judge(policy: Policy, loaded: Loaded, activate: boolean): number {
    const { generation, problems } = this.#compile(policy, activate);
    if (problems.length > 0) throw new Refused(inOrder([...loaded.remarks, ...loaded.place(problems)]));
    return generation;
  }

  #compile(policy: Policy, activate: boolean): { generation: number; problems: EngineProblem[] } {
    return JSON.parse(this.#from.native.compile(JSON.stringify(policy), activate));
  }

  #enforce(force: Force): void {
    const { config } = force.parts;
    this.#force = force;
    this.#acceptor.bound(config.listen.connections);
    this.#from.native.sample(config.events.sampleRate);
    this.#from.log.level = config.log.level;
    force.contexts.sweep();
  }

  async #resolveAgain(): Promise<void> {
    const { log } = this.#from;
    if (this.#stopping || !this.#force) return;
    const { names, parts } = this.#force;
    const { changed, failed } = await names.again();
    if (failed.length > 0) log.warn({ names: failed }, 'origins cannot be resolved; their last addresses stay in use');
    if (changed.length === 0) return;
    const { generation, problems } = this.#compile(await parts.resolved(names.remembered), true);
    log.info({ names: changed, generation, problems: problems.length }, 'origins have other addresses');
  }

  #takeHttps(parts: Parts, loaded: Loaded): Promise<Given> {
    return this.#blamingLater(loaded, '/listen/https', this.#from.takeSocket(this.#httpsWanted(parts)));
  }

  /** The acceptor is given the socket; edge threads that listen themselves share the port among each other. */
  #httpsWanted(parts: Parts): Wanted {
    return { what: 'listen.https', ...parts.config.listen.https, shared: !this.#h2(parts) };
  }

  /** Whether the acceptor listens, and not the edge threads themselves. */
  #h2({ config }: Parts): boolean {
    return config.listen.h2 && this.#acceptor.usable;
  }

  #accept({ config }: Parts, loaded: Loaded, socket: Given): void {
    this.#blaming(loaded, '/listen/https', () => this.#acceptor.listen(socket, config.listen.connections));
  }

  #openAdmin(control: Control, parts: Parts, loaded: Loaded): Promise<Opening> {
    return this.#blamingLater(loaded, '/listen/admin', control.openAdmin(parts));
  }

  #blaming<T>(loaded: Loaded, at: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw blame(loaded, at, error);
    }
  }

  #blamingLater<T>(loaded: Loaded, at: string, act: Promise<T>): Promise<T> {
    return act.catch(error => {
      throw blame(loaded, at, error);
    });
  }

  /** Notices first: they are few, and exchanges may fill every buffer. */
  #drain(buffer: Uint8Array): number {
    const filled = this.#notices.drain(buffer);
    return filled + this.#from.native.drain(buffer.subarray(filled));
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(act);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** A fault of the system as a problem of the value that asked for it. */
function blame(loaded: Loaded, at: string, error: unknown): Refused {
  const hint = error instanceof StoreRefused ? { hint: error.hint } : {};
  return new Refused(loaded.place([{ at, message: (error as Error).message, ...hint }]));
}

function otherStore(loaded: Loaded): Problem[] {
  const message = 'a change of the store, or of the file with its key, takes effect when the gateway starts';
  return loaded.place([{ at: '/store', message, hint: 'restart it, or take this change back' }]);
}

/** One that is shared (SO_REUSEPORT) and one that is not cannot be bound to the same port at once. */
function otherListener(loaded: Loaded): Problem[] {
  const message = 'a change of `listen.h2` takes effect when the service starts, as long as `listen.https` stays';
  return loaded.place([{ at: '/listen/h2', message, hint: 'stop and start it, or take this change back' }]);
}

function planOf({ config, shared }: Parts, { tls }: Contexts, listen: Plan['listen']): Plan {
  const { threads, inspect, drain } = config;
  return { threads, listen, tls, inspect, exchanges: EXCHANGES, counters: shared, graceMs: drain.grace };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
