// Everything of rate limits that is not on the way of a request: who is exempt, what was asked of each operation, and
// the operations of the admin API.

import type { LimitMetrics } from '../../journal/metrics/limits.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import { type Clock, systemClock } from '../pki/clock.js';
import type { Store } from '../store/open.js';
import { Exemptions } from './exemptions.js';
import { LimitFollowing } from './following.js';
import { type LimitRouting, limitRoutes } from './routes.js';
import type { Limiting } from './told.js';

export interface LimitFlowParts extends Pick<LimitRouting, 'limits' | 'hosts'> {
  store: Store;
  native: Limiting;
  log: Log;
  metrics: LimitMetrics;
  /** Where a fleet shares its counters. */
  resetFleet?: LimitRouting['resetFleet'];
  clock?: Clock;
}

export class LimitFlow {
  readonly #parts: Required<LimitFlowParts>;
  readonly #exemptions: Exemptions;
  readonly #following: LimitFollowing;

  constructor(given: LimitFlowParts) {
    const parts = { clock: systemClock, resetFleet: null, ...given };
    this.#parts = parts;
    this.#exemptions = new Exemptions(parts.store, () => parts.clock.now());
    this.#following = new LimitFollowing(parts);
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    await this.#following.start();
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    limitRoutes(api, {
      ...this.#parts,
      exemptions: this.#exemptions,
      inForce: () => this.#following.look(),
    });
  }

  /** Before the store is closed. */
  async stop(): Promise<void> {
    this.#following.stop();
  }
}
