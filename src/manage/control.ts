// What of the control plane lives on the store: authorities and what they issued, what was taken back, rules made
// through the admin API, what traffic tells, and the admin port in front of it all. A gateway has one, from its start to
// its end.

import { hostname } from 'node:os';
import type { Stored } from '../check/mtls/stored.js';
import type { Parts } from '../config/load.js';
import { operationsOf } from '../config/operations.js';
import type { Listen } from '../config/units.js';
import type { Tell } from '../journal/events/notices.js';
import type { Metrics } from '../journal/metrics/registry.js';
import { AdminPort, type Opening } from './admin/port.js';
import type { Managed } from './admin/routes.js';
import { TokenFlow, type TokenFlowParts } from './jwt/flow.js';
import { KeyFlow, type KeyFlowParts } from './keys/flow.js';
import { LimitFlow, type LimitFlowParts } from './limits/flow.js';
import type { Log } from './log.js';
import { routes as mtlsRoutes } from './mtls/routes.js';
import { mtlsRules } from './mtls/rules.js';
import { TrafficRecorder } from './mtls/traffic.js';
import type { AnswerOwn } from './own-paths.js';
import { PartnerFlow, type PartnerFlowParts } from './partners/flow.js';
import { nextTrustEnd, storedAuthorities } from './pki/authorities.js';
import { broughtBy } from './pki/brought.js';
import type { Run } from './pki/commands.js';
import { DEFAULTS } from './pki/config.js';
import { endingOf } from './pki/expiry.js';
import { type FlowParts, type InForce, RevocationFlow } from './pki/flow.js';
import { ensureHosted } from './pki/hosted.js';
import { inspectRoutes } from './pki/inspect-routes.js';
import { answerOwn } from './pki/own.js';
import type { Listening } from './pki/publish.js';
import { routes as pkiRoutes } from './pki/routes.js';
import { Pki, type ServedHost } from './pki/service.js';
import type { StorePlan } from './store/compile.js';
import { keepHouse } from './store/housekeeping.js';
import { sessionKey } from './store/installation.js';
import { findKey } from './store/key.js';
import { Store } from './store/open.js';
import type { Topic } from './store/tables.js';
import type { TakeSocket } from './supervision.js';

/** The longest that a timer can wait is 24.8 days: an end of trust that lies further ahead is looked for again. */
const LOOK_AGAIN_MS = 86_400_000;

/** The part of the native door that is used here. */
export type ControlNative = FlowParts['native'] &
  TokenFlowParts['native'] &
  PartnerFlowParts['native'] &
  KeyFlowParts['native'] &
  LimitFlowParts['native'] & {
    pki: Run;
    judge(certificate: string, asked: string): string;
    seen(): string;
    metrics(): string;
  };

export interface Controlled {
  gateway: Managed;
  native: ControlNative;
  metrics: Metrics;
  log: Log;
  env: NodeJS.ProcessEnv;
  /** What becomes an event. */
  tell: Tell;
  /** Takes a counter out of those that a fleet shares; answers whether there was one. Rejects when nobody answers. */
  resetCounter(key: string): Promise<boolean>;
  takeSocket: TakeSocket;
  /** What the store adds to the policy has changed: it is to be read again. */
  changed(why: string): Promise<unknown>;
  /** What is in force; null until the first policy is. */
  parts(): Parts | null;
}

export class Control {
  readonly #store: Store;
  readonly #from: Controlled;
  /** Where the store's key came from. */
  readonly #keySource: string;
  readonly #pki: Pki;
  readonly #revocation: RevocationFlow;
  readonly #tokens: TokenFlow;
  readonly #partners: PartnerFlow;
  readonly #keys: KeyFlow;
  readonly #limits: LimitFlow;
  readonly #traffic: TrafficRecorder;
  readonly #admin: AdminPort;
  readonly #stopHouse: () => void;
  readonly own: AnswerOwn;
  /** As it was last read, and at which revisions. */
  #stored: Stored | null = null;
  #readAt: ReadonlyMap<Topic, number> = new Map();
  /** The last look found the store away. */
  #stale = false;
  #published: Listening | null = null;
  #publishedAt = '';
  #trustEnd: NodeJS.Timeout | undefined;

  /** Rejects with StoreRefused, or with what the system says, when the store cannot be opened. */
  static async open(plan: StorePlan, from: Controlled): Promise<Control> {
    const { log, metrics, env } = from;
    const { key, source, warning } = findKey(plan, env);
    if (warning) log.warn({ source }, warning);
    const standing = {
      up: (up: boolean, error: string | null) => {
        metrics.storeUp(up);
        if (up) log.info('the store is back');
        else log.error({ error }, 'the store does not answer: requests are served, changes are not taken');
      },
      failed: (topic: string, error: unknown) =>
        log.error({ topic, error: (error as Error).message }, 'a change in the store cannot be taken up yet'),
    };
    const store = await Store.open({ ...plan, key, standing });
    metrics.storeUp(true);
    return new Control(store, source, from);
  }

  private constructor(store: Store, keySource: string, from: Controlled) {
    const { native, metrics, log, gateway, takeSocket } = from;
    this.#store = store;
    this.#from = from;
    this.#keySource = keySource;
    this.#stopHouse = keepHouse(store, log);
    this.#pki = new Pki({
      store,
      run: native.pki,
      log,
      settings: () => from.parts()?.config.pki ?? DEFAULTS,
      hosts: () => servedHosts(from.parts()),
      fileAuthorities: () => writtenAuthorities(from.parts()),
    });
    this.own = answerOwn(this.#pki);
    this.#revocation = new RevocationFlow({
      store,
      native,
      run: native.pki,
      log,
      metrics: metrics.revocation,
      tell: from.tell,
    });
    this.#tokens = new TokenFlow({
      store,
      native,
      log,
      metrics: metrics.jwt,
      tell: from.tell,
      configurations: () => from.parts()?.policy.jwt ?? [],
    });
    this.#keys = new KeyFlow({
      store,
      native,
      log,
      metrics: metrics.keys,
      tell: from.tell,
      hosts: () => hostsOf(from.parts()).map(({ name }) => name),
    });
    this.#partners = new PartnerFlow({
      store,
      native,
      log,
      metrics: metrics.partners,
      tell: from.tell,
      pki: this.#pki,
      keys: this.#keys,
      hosts: () => hostsOf(from.parts()),
      authorities: () => this.#authorities(),
      configurations: () => Object.keys(from.parts()?.config.jwt ?? {}),
    });
    this.#limits = new LimitFlow({
      store,
      native,
      log,
      metrics: metrics.limits,
      node: nodeName(),
      limits: () => from.parts()?.policy.limits.rules ?? [],
      resetFleet: (_, key) => from.resetCounter(key),
      hosts: () => hostsOf(from.parts()),
    });
    this.#traffic = new TrafficRecorder({
      store,
      seen: native.seen,
      metrics: native.metrics,
      node: nodeName(),
      told: sightings => this.#revocation.seen(sightings),
      log,
    });
    const { judge, pki: run } = native;
    this.#admin = new AdminPort({
      gateway,
      store,
      log,
      judge,
      counted: why => metrics.adminRefused(why),
      takeSocket,
      capabilities: [
        api => pkiRoutes(api, this.#pki),
        api => this.#revocation.routes(api),
        api => this.#tokens.routes(api),
        api => this.#partners.routes(api),
        api => this.#keys.routes(api),
        api => this.#limits.routes(api),
        api => inspectRoutes(api, { run, judge, hosts: () => hostsOf(from.parts()).map(({ name }) => name) }),
        api =>
          mtlsRoutes(api, {
            store,
            hosts: () => hostsOf(from.parts()),
            record: () => this.#traffic.record(),
            authorities: () => this.#authorities(),
          }),
      ],
    });
  }

  get adminPort(): number {
    return this.#admin.port;
  }

  /** What the store adds to a policy; `hosted` are authorities that the configuration expects, made when missing. */
  async stored(hosted: readonly string[]): Promise<Stored> {
    try {
      const made = await ensureHosted(this.#pki, hosted);
      if (made.length > 0) this.#from.log.info({ authorities: made }, 'hosted authorities were made');
      // Before the rows: what changes in between is read again.
      const readAt = await this.#store.revisions();
      this.#stored = {
        authorities: await storedAuthorities(this.#store),
        rules: await mtlsRules(this.#store),
        sessionKey: await sessionKey(this.#store),
      };
      [this.#readAt, this.#stale] = [readAt, false];
    } catch (error) {
      // A configuration can be taken up while the store is away: with what it held when it was last read.
      if (!this.#stored) throw error;
      this.#stale = true;
      this.#from.log.warn({ error: (error as Error).message }, 'what the store adds to the policy is what it last was');
    }
    return this.#stored;
  }

  /** Of the admin port, as the parts say. Rejects with a sentence when the address is taken. */
  openAdmin({ admin, policy }: Parts): Promise<Opening> {
    return this.#admin.open(admin, adminAuthorities({ admin, policy }));
  }

  /** Whether the admin port has to be opened anew. */
  readmits(now: Parts, before: Parts): boolean {
    return (
      JSON.stringify([now.admin, adminAuthorities(now)]) !== JSON.stringify([before.admin, adminAuthorities(before)])
    );
  }

  /** The first token of an empty store is shown. */
  introduce(): Promise<void> {
    return this.#admin.introduce();
  }

  /** To be awaited before the first request is served. */
  async start(parts: Parts): Promise<void> {
    this.#from.log.info({ kind: this.#store.kind, key: this.#keySource }, 'the store is open');
    await this.#revocation.start(inForce(parts));
    await this.#tokens.start(parts.keySets);
    // Before the keys that name them.
    await this.#partners.start();
    await this.#keys.start();
    await this.#limits.start();
    for (const topic of ['authorities', 'mtls_rules'] as const) {
      this.#store.follow(topic, async revision => {
        if (revision <= (this.#readAt.get(topic) ?? 0)) return;
        await this.#from.changed(topic);
        // It is told again until it could be read.
        if (this.#stale) throw new Error('the policy could not be read from the store');
      });
    }
    await this.#waitForTrustEnd();
  }

  /** A policy is about to come into force: what it needs from elsewhere is asked for, within a bound. Never rejects. */
  async prepare({ keySets }: Parts): Promise<void> {
    await this.#tokens.prepare(keySets);
  }

  /** A policy came into force. */
  async adopt(parts: Parts): Promise<void> {
    this.#tokens.adopt(parts.keySets);
    await this.#revocation.adopt(inForce(parts));
    await this.#waitForTrustEnd();
    try {
      await this.publish(parts);
    } catch (error) {
      // Everything else of the configuration is in force by now.
      this.#from.log.error({ error: (error as Error).message }, 'lists and OCSP are not published: `listen.pki`');
    }
  }

  /** Lists and OCSP, where `listen.pki` says. Rejects when the address is taken. */
  async publish({ config }: Parts): Promise<void> {
    const { pki } = config.listen;
    const wanted = JSON.stringify(pki ?? null);
    if (wanted === this.#publishedAt) return;
    const before = this.#published;
    this.#published = pki ? await this.#publishAt(pki) : null;
    this.#publishedAt = wanted;
    void before?.close();
  }

  async #publishAt(pki: Listen): Promise<Listening> {
    const { handle, port } = await this.#from.takeSocket({ what: 'listen.pki', ...pki, shared: false });
    if (handle === null) throw new Error('there is no socket for lists and OCSP');
    return await this.#revocation.listen({ handle, port });
  }

  /** Another process answers from now on; what traffic needs goes on until the end. */
  handOver(): void {
    this.#admin.retire();
    this.#published?.retire();
  }

  /** The last requests are over. */
  async stop(): Promise<void> {
    clearTimeout(this.#trustEnd);
    await this.#admin.close();
    await this.#published?.close();
    this.#revocation.stop();
    this.#tokens.stop();
    this.#partners.stop();
    await this.#keys.stop();
    await this.#limits.stop();
    await this.#traffic.stop();
    this.#stopHouse();
    await this.#store.close();
  }

  async #authorities(): Promise<string[]> {
    const stored = await this.#store.db.selectFrom('authorities').select('name').orderBy('name').execute();
    return [...new Set([...writtenAuthorities(this.#from.parts()), ...stored.map(({ name }) => name)])];
  }

  /** A generation that was rotated away is trusted until a date: nothing changes in the store then. */
  async #waitForTrustEnd(): Promise<void> {
    clearTimeout(this.#trustEnd);
    const next = await nextTrustEnd(this.#store).catch(() => null);
    const wait = next === null ? LOOK_AGAIN_MS : Math.min(LOOK_AGAIN_MS, Math.max(0, next - Date.now()) + 1);
    this.#trustEnd = setTimeout(() => void this.#from.changed('an authority is no longer trusted'), wait).unref();
  }
}

/** Certificates of the authorities whose clients the admin port lets in, PEM. */
function adminAuthorities({ admin, policy }: Pick<Parts, 'admin' | 'policy'>): string[] {
  return policy.authorities
    .filter(({ name }) => admin.clients?.trust.includes(name))
    .flatMap(({ certificates, intermediates }) => [certificates, intermediates].filter(pem => pem !== ''));
}

function inForce(parts: Parts): InForce {
  const servers = parts.tls.flatMap(({ host, shown }) => endingOf('server', host, shown) ?? []);
  return { authorities: broughtBy(parts), servers };
}

/** Among the processes that share the store. */
function nodeName(): string {
  return `${hostname()}/${process.pid}`;
}

function hostsOf(parts: Parts | null) {
  return (parts?.policy.hosts ?? []).map(host => ({
    ...{ name: host.name, operations: operationsOf(host) },
    sessions: (host.credentials?.session.length ?? 0) > 0,
  }));
}

function servedHosts(parts: Parts | null): ServedHost[] {
  if (!parts) return [];
  const { port } = parts.config.listen.https;
  return parts.policy.hosts.map(({ name, mtls }) => ({
    name,
    url: `https://${name}${port === 443 ? '' : `:${port}`}`,
    trust: mtls.trust,
  }));
}

function writtenAuthorities(parts: Parts | null): string[] {
  const written = Object.entries(parts?.config.authorities ?? {});
  return written.flatMap(([name, { hosted }]) => (hosted ? [] : [name]));
}
