// Everything of partners that is not on the way of a request: made and suspended through the admin API, in force in this
// process, and which end soon.

import type { Tell } from '../../journal/events/notices.js';
import type { PartnerMetrics } from '../../journal/metrics/partners.js';
import type { Api } from '../admin/api.js';
import type { KeyFlow } from '../keys/flow.js';
import type { Log } from '../log.js';
import { type Clock, systemClock } from '../pki/clock.js';
import type { Pki } from '../pki/service.js';
import type { Store } from '../store/open.js';
import { doubtsOf, inherited, type Surroundings } from './doubts.js';
import { PartnerExpiry } from './expiry.js';
import { PartnerFollowing, type Tied } from './following.js';
import { Partners } from './partners.js';
import { partnerRoutes } from './routes.js';

export interface PartnerFlowParts extends Surroundings {
  store: Store;
  native: Tied;
  log: Log;
  metrics: PartnerMetrics;
  pki: Pki;
  keys: Pick<KeyFlow, 'rotateAll'>;
  /** What is an event too. */
  tell: Tell;
  clock?: Clock;
}

export class PartnerFlow {
  readonly #parts: Required<PartnerFlowParts>;
  readonly #partners: Partners;
  readonly #following: PartnerFollowing;
  readonly #expiry: PartnerExpiry;

  constructor(given: PartnerFlowParts) {
    const parts = { clock: systemClock, ...given };
    this.#parts = parts;
    this.#partners = new Partners(parts.store, () => parts.clock.now());
    this.#following = new PartnerFollowing(parts);
    this.#expiry = new PartnerExpiry(parts);
  }

  /** To be awaited before keys are told, and before the first request is served. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    await this.#following.start();
    this.#expiry.start();
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    const { store, pki, keys, clock } = this.#parts;
    partnerRoutes(api, {
      partners: this.#partners,
      doubts: async (row, made) => [
        ...(await doubtsOf(row, this.#parts)),
        ...(made ? await inherited(store, row.name, clock.now()) : []),
      ],
      inForce: () => this.#following.look(),
      rotateAll: (name, wanted, by) => keys.rotateAll(name, wanted, by),
      pki,
      now: () => clock.now(),
    });
  }

  stop(): void {
    this.#following.stop();
    this.#expiry.stop();
  }
}
