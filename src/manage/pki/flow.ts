// Everything of revocation that is not on the way of a request: what operators take back, the lists and OCSP answers of
// brought authorities, and all of it in force in this process.

import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import { type Answering, Asking, type SeenCertificate } from './asking.js';
import { type Brought, type BroughtAuthority, Issuers } from './brought.js';
import { type Clock, systemClock } from './clock.js';
import type { Run } from './commands.js';
import { Enforcing, type Refusing } from './enforcing.js';
import { Fetching } from './fetching.js';
import { type Listing, Lists } from './lists.js';
import { listRoutes } from './lists-routes.js';
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
  clock?: Clock;
}

export class RevocationFlow {
  readonly #parts: Required<FlowParts>;
  readonly #enforcing: Enforcing;
  readonly #issuers: Issuers;
  readonly #lists: Lists;
  readonly #fetching: Fetching;
  readonly #asking: Asking;
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
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(authorities: readonly Brought[]): Promise<void> {
    await this.#enforcing.start();
    await this.#take(await this.#issuers.read(authorities));
    this.#lists.start();
    this.#fetching.start();
    this.#asking.start();
  }

  /** Of a policy that came into force. What fails is tried again. */
  async adopt(authorities: readonly Brought[]): Promise<void> {
    clearTimeout(this.#retry);
    try {
      await this.#take(await this.#issuers.read(authorities));
    } catch (error) {
      this.#parts.log.warn({ error: (error as Error).message }, 'kept revocation lists cannot be read yet');
      this.#retry = setTimeout(() => void this.adopt(authorities), RETRY_MS).unref();
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

  /** Its operations of the admin API. */
  routes(api: Api): void {
    const { store, clock } = this.#parts;
    revocationRoutes(api, new Revocations(store, name => this.#keysOf(name), clock.now));
    listRoutes(api, this.#lists);
  }

  stop(): void {
    clearTimeout(this.#retry);
    this.#enforcing.stop();
    this.#lists.stop();
    this.#fetching.stop();
    this.#asking.stop();
  }

  async #take(authorities: readonly BroughtAuthority[]): Promise<void> {
    this.#authorities = authorities;
    this.#fetching.adopt(authorities);
    this.#asking.adopt(authorities);
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
