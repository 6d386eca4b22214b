// Everything of revocation that is not on the way of a request: what operators take back, the lists and OCSP answers of
// brought authorities, and all of it in force in this process.

import type { Tell } from '../../journal/events/notices.js';
import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import type { Bound } from '../port.js';
import type { Store } from '../store/open.js';
import { type Answering, Asking, type SeenCertificate } from './asking.js';
import { type Brought, type BroughtAuthority, Issuers } from './brought.js';
import { type Clock, systemClock } from './clock.js';
import type { Run } from './commands.js';
import { Enforcing, type Refusing } from './enforcing.js';
import { type Ending, ExpiryWatch } from './expiry.js';
import { Fetching } from './fetching.js';
import { type Listing, Lists } from './lists.js';
import { listRoutes } from './lists-routes.js';
import { OwnLists } from './own-lists.js';
import { type Listening, publish, publishing } from './publish.js';
import { Responder } from './responder.js';
import { Revocations } from './revocation.js';
import { revocationRoutes } from './revocation-routes.js';

/** After the store could not be read for the lists of a new configuration. */
const RETRY_MS = 2_000;

export interface FlowParts {
  store: Store;
  native: Refusing & Listing & Answering;
  run: Run;
  log: Log;
  metrics: RevocationMetrics;
  /** What is an event too. */
  tell: Tell;
  clock?: Clock;
}

/** What of a configuration in force matters here. */
export interface InForce {
  authorities: readonly Brought[];
  /** Certificates that the gateway shows. */
  servers: readonly Ending[];
}

export class RevocationFlow {
  readonly #parts: Required<FlowParts>;
  readonly #enforcing: Enforcing;
  readonly #issuers: Issuers;
  readonly #lists: Lists;
  readonly #fetching: Fetching;
  readonly #asking: Asking;
  readonly #ownLists: OwnLists;
  readonly #responder: Responder;
  readonly #expiry: ExpiryWatch;
  #authorities: readonly BroughtAuthority[] = [];
  #retry: NodeJS.Timeout | undefined;

  constructor(given: FlowParts) {
    const parts = { clock: systemClock, ...given };
    const { store, native, run, log } = parts;
    this.#parts = parts;
    this.#enforcing = new Enforcing(parts);
    this.#issuers = new Issuers(run, log);
    this.#lists = new Lists(store, native, log);
    this.#fetching = new Fetching({ ...parts, lists: this.#lists });
    this.#asking = new Asking(parts);
    this.#ownLists = new OwnLists(parts);
    this.#responder = new Responder({ ...parts, revision: () => this.#enforcing.revision });
    this.#expiry = new ExpiryWatch(parts);
  }

  get #running() {
    return [this.#lists, this.#fetching, this.#asking, this.#ownLists, this.#responder, this.#expiry];
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(force: InForce): Promise<void> {
    await this.#enforcing.start();
    await this.#take(force);
    for (const part of this.#running) part.start();
  }

  /** Of a policy that came into force. What fails is tried again. */
  async adopt(force: InForce): Promise<void> {
    clearTimeout(this.#retry);
    try {
      await this.#take(force);
    } catch (error) {
      this.#parts.log.warn({ error: (error as Error).message }, 'kept revocation lists cannot be read yet');
      this.#retry = setTimeout(() => void this.adopt(force), RETRY_MS).unref();
    }
  }

  /** Certificates with new requests. */
  seen(certificates: readonly SeenCertificate[]): void {
    for (const certificate of certificates) {
      // What nobody verified may name anything.
      if (certificate.authority === null) continue;
      this.#fetching.seen(certificate.authority, certificate.crl_urls);
      this.#asking.seen(certificate);
    }
  }

  /** Publishes lists, OCSP and certificates. */
  listen(socket: Pick<Bound, 'handle' | 'port'>): Promise<Listening> {
    const parts = { ...this.#parts, lists: this.#ownLists, responder: this.#responder };
    return publish(publishing(parts), socket);
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    const { store, clock } = this.#parts;
    const revocations = new Revocations(store, name => this.#keysOf(name), clock.now);
    revocationRoutes(api, revocations, () => this.#enforcing.look());
    listRoutes(api, this.#lists);
  }

  stop(): void {
    clearTimeout(this.#retry);
    for (const part of [this.#enforcing, ...this.#running]) part.stop();
  }

  async #take({ authorities: brought, servers }: InForce): Promise<void> {
    const authorities = await this.#issuers.read(brought);
    this.#authorities = authorities;
    this.#fetching.adopt(authorities);
    this.#asking.adopt(authorities);
    this.#expiry.adopt(authorities, servers);
    await this.#lists.adopt(authorities);
  }

  /** Also of generations that are no longer trusted: what they issued can be trusted again. */
  async #keysOf(authority: string): Promise<string[]> {
    const rows = await this.#parts.store.db
      .selectFrom('generations')
      .select('key_id')
      .where('authority', '=', authority)
      .execute();
    const brought = this.#authorities.find(({ name }) => name === authority)?.issuers ?? [];
    return [...new Set([...rows.map(({ key_id }) => key_id), ...brought.map(({ keyId }) => keyId)])];
  }
}
