// The gateway process: starts everything in order, takes up changes whole or not at all, and ends within a bound.

import { type Contexts, makeContexts } from '../accept/tls/contexts.js';
import { type Loaded, type Lookups, load, type Parts } from '../config/load.js';
import type { EngineProblem, Policy } from '../config/policy.js';
import { flat, inOrder, type Problem } from '../config/problem.js';
import { every, Names } from '../forward/origins/refresh.js';
import { Destination } from '../journal/events/destination.js';
import type { Metrics } from '../journal/metrics/registry.js';
import type { Judge } from './admin/certificates.js';
import { AdminPort } from './admin/port.js';
import type { Managed, ReloadResult } from './admin/routes.js';
import type { StartThread } from './edge-thread.js';
import { Edges, type Plan } from './edges.js';
import type { Log } from './log.js';
import type { AnswerOwn } from './own-paths.js';
import { broughtBy } from './pki/brought.js';
import { endingOf } from './pki/expiry.js';
import { type InForce, RevocationFlow } from './pki/flow.js';
import type { Listening } from './pki/publish.js';

import { type Free, freePort } from './port.js';
import { keepHouse } from './store/housekeeping.js';
import { findKey } from './store/key.js';
import { Store } from './store/open.js';
import { StoreRefused } from './store/refused.js';
import { Watch } from './watch.js';

/** Exchanges at once in one edge thread; above, 503. A slot costs some KiB once it was used. */
const EXCHANGES = 4_096;
/** Between two looks at which certificates clients have shown: a responder is asked about a new one so soon. */
const SEEN_MS = 1_000;
/** For the last events at the end. */
const FLUSH_MS = 1_000;

/** The part of the native door that the main thread uses. */
export interface Native {
  compile(policy: string, activate: boolean): string;
  drain(buffer: Uint8Array): number;
  sample(rate: number): void;
  pki(request: string): Promise<string>;
  revoke(change: string): void;
  loadRevocationList(authority: string, list: Buffer): Promise<string>;
  ocspAnswer(answer: string): void;
  seen(): string;
  judge: Judge;
}

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
  /** Answers requests to the gateway's own paths; without it they are 404. */
  own?: AnswerOwn;
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
  readonly #watch = new Watch(() => void this.reload('file'));
  #force: Force | null = null;
  #edges: Edges | null = null;
  #events: Destination | null = null;
  #admin: AdminPort | null = null;
  /** From the start to the end; a configuration that names another one wants a restart. */
  #store: Store | null = null;
  #revocation: RevocationFlow | null = null;
  #published: Listening | null = null;
  #stopHouse = () => {};
  #stopNames = () => {};
  #seen: NodeJS.Timeout | undefined;
  /** Loads come one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #warned = '';

  constructor(from: Surroundings) {
    this.#from = from;
  }

  get port(): number {
    return this.#edges?.listen.port ?? 0;
  }

  get adminPort(): number {
    return this.#admin?.port ?? 0;
  }

  get graceMs(): number {
    return this.#force?.parts.config.drain.grace ?? 0;
  }

  ready(): boolean {
    return !this.#stopping && (this.#edges?.ready ?? false);
  }

  async metrics(): Promise<{ contentType: string; text: string }> {
    const { metrics } = this.#from;
    return { contentType: metrics.contentType, text: await metrics.text() };
  }

  /** Rejects with Refused when the configuration has problems or a port is taken. */
  async start(): Promise<void> {
    const { native, stdout, startThread, metrics, log, own } = this.#from;
    const { loaded, parts, names } = await this.#read();
    const listen = await this.#freeListen(parts, loaded);
    this.#store = await this.#openStore(parts, loaded);
    this.#stopHouse = keepHouse(this.#store, log);
    this.#revocation = new RevocationFlow({
      store: this.#store,
      native,
      run: native.pki,
      log,
      metrics: metrics.revocation,
    });
    this.#admin = this.#makeAdmin(this.#store, this.#revocation);
    const port = await this.#openAdmin(parts, loaded);
    await port.settle();
    this.#events = this.#blaming(
      loaded,
      '/events/destination',
      () => new Destination(parts.destination, stdout, buffer => native.drain(buffer), log),
    );
    this.#judge(parts.policy, loaded, true);
    const contexts = makeContexts(parts.tls, this.#from.folder);
    const plan = planOf(parts, contexts, listen);
    this.#edges = new Edges(plan, startThread, log, why => metrics.edgeReplaced(why), own);
    this.#enforce({ parts, contexts, names });
    await this.#admin.introduce();
    await this.#revocation.start(inForce(parts));
    this.#published = await this.#publish(parts, loaded);
    await this.#edges.start();
    metrics.loaded();
    this.#seen = setInterval(() => this.#drainSeen(), SEEN_MS).unref();
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

  /** Drains. True when everything ended by itself; false when only the end of the process will end it. */
  async stop(graceMs = this.graceMs): Promise<boolean> {
    this.#stopping = true;
    this.#watch.close();
    this.#stopNames();
    const drained = (await this.#edges?.stop(graceMs)) ?? true;
    await this.#events?.close(FLUSH_MS);
    await this.#admin?.close();
    clearInterval(this.#seen);
    await this.#published?.close();
    this.#revocation?.stop();
    this.#stopHouse();
    await this.#store?.close();
    return drained;
  }

  async #takeUp(): Promise<number> {
    const [before, edges, events] = [this.#force, this.#edges, this.#events];
    if (this.#stopping || !before || !edges || !events) throw new Error('the gateway is not running');
    const { loaded, parts, names } = await this.#read();
    if (!same(parts.store, before.parts.store)) throw new Refused(inOrder([...loaded.remarks, ...otherStore(loaded)]));
    const { listen: now, threads, inspect } = parts.config;
    const { listen: then, ...was } = before.parts.config;
    const contexts = makeContexts(parts.tls, this.#from.folder);
    const moved = !same(now.https, then.https);
    const fresh =
      moved || !same([threads, inspect], [was.threads, was.inspect]) || contexts.digest !== before.contexts.digest;
    const redirected = parts.destination !== before.parts.destination;
    const readmitted = !same(
      [parts.admin, adminAuthorities(parts)],
      [before.parts.admin, adminAuthorities(before.parts)],
    );
    // What can fail comes before what cannot be taken back.
    if (fresh || redirected || readmitted) this.#judge(parts.policy, loaded, false);
    const listen = moved ? await this.#freeListen(parts, loaded) : edges.listen;
    const admin = readmitted ? await this.#openAdmin(parts, loaded) : null;
    const plan = planOf(parts, contexts, listen);
    try {
      if (redirected) this.#blaming(loaded, '/events/destination', () => events.reopen(parts.destination));
      if (fresh) await edges.replaceAll(plan, 'configuration');
    } catch (error) {
      if (redirected) events.reopen(before.parts.destination);
      await admin?.abandon();
      throw error;
    }
    const generation = this.#judge(parts.policy, loaded, true);
    if (!fresh) edges.adopt(plan);
    if (!same(now.pki, then.pki)) await this.#publishElsewhere(parts, loaded);
    await this.#revocation?.adopt(inForce(parts));
    await admin?.settle();
    this.#enforce({ parts, contexts, names });
    return generation;
  }

  async #read(): Promise<{ loaded: Loaded; parts: Parts; names: Names }> {
    const { file, lookups, log } = this.#from;
    const names = new Names(lookups.resolve);
    const since = Date.now();
    const loaded = await load(file, { ...lookups, resolve: names.resolve });
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
    return { loaded, parts, names };
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

  async #freeListen({ config }: Parts, loaded: Loaded): Promise<Free> {
    try {
      return await freePort(config.listen.https, 'listen.https');
    } catch (error) {
      throw blame(loaded, '/listen/https', error);
    }
  }

  async #openStore({ store }: Parts, loaded: Loaded): Promise<Store> {
    const { log, metrics, lookups } = this.#from;
    try {
      const { key, source, warning } = findKey(store, lookups.env);
      if (warning) log.warn({ source }, warning);
      const opened = await Store.open({
        ...store,
        key,
        standing: {
          up: (up, error) => {
            metrics.storeUp(up);
            if (up) log.info('the store is back');
            else log.error({ error }, 'the store does not answer: requests are served, changes are not taken');
          },
          failed: (topic, error) =>
            log.error({ topic, error: (error as Error).message }, 'a change in the store cannot be taken up yet'),
        },
      });
      metrics.storeUp(true);
      log.info({ kind: opened.kind, key: source }, 'the store is open');
      return opened;
    } catch (error) {
      throw blame(loaded, '/store', error);
    }
  }

  #makeAdmin(store: Store, revocation: RevocationFlow): AdminPort {
    const { log, metrics, native } = this.#from;
    return new AdminPort({
      gateway: this,
      store,
      log,
      judge: native.judge,
      counted: why => metrics.adminRefused(why),
      capabilities: [api => revocation.routes(api)],
    });
  }

  async #openAdmin(parts: Parts, loaded: Loaded) {
    try {
      return await (this.#admin as AdminPort).open(parts.admin, adminAuthorities(parts));
    } catch (error) {
      throw blame(loaded, '/listen/admin', error);
    }
  }

  /** Each is told once: whoever wants to know of them is told here. */
  #drainSeen(): void {
    const certificates = JSON.parse(this.#from.native.seen());
    if (certificates.length > 0) this.#revocation?.seen(certificates);
  }

  async #publish({ config }: Parts, loaded: Loaded): Promise<Listening | null> {
    const { pki } = config.listen;
    if (!pki) return null;
    try {
      await freePort(pki, 'listen.pki');
      return (await this.#revocation?.listen(pki.address, pki.port)) ?? null;
    } catch (error) {
      throw blame(loaded, '/listen/pki', error);
    }
  }

  /** Everything else of the configuration is in force: what goes wrong here is told, and takes nothing back. */
  async #publishElsewhere(parts: Parts, loaded: Loaded): Promise<void> {
    await this.#published?.close();
    this.#published = null;
    try {
      this.#published = await this.#publish(parts, loaded);
    } catch (error) {
      for (const one of (error as Refused).remarks) this.#from.log.error(flat(one), 'listen.pki cannot be listened on');
    }
  }

  #blaming<T>(loaded: Loaded, at: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw blame(loaded, at, error);
    }
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

/** Certificates of the authorities whose clients the admin port lets in, PEM. */
function adminAuthorities({ admin, policy }: Parts): string[] {
  return policy.authorities
    .filter(({ name }) => admin.clients?.trust.includes(name))
    .flatMap(({ certificates, intermediates }) => [certificates, intermediates].filter(pem => pem !== ''));
}

function inForce(parts: Parts): InForce {
  const servers = parts.tls.flatMap(({ host, shown }) => endingOf('server', host, shown) ?? []);
  return { authorities: broughtBy(parts), servers };
}

function planOf({ config }: Parts, { tls }: Contexts, listen: Plan['listen']): Plan {
  const { threads, inspect, drain } = config;
  return { threads, listen, tls, inspect, exchanges: EXCHANGES, graceMs: drain.grace };
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
