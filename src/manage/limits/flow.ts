// Everything of rate limits that is not on the way of a request: who is exempt, what was asked of each operation, and
// the operations of the admin API.

import type { LimitMetrics } from '../../journal/metrics/limits.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import { type Clock, systemClock } from '../pki/clock.js';
import type { Store } from '../store/open.js';
import { Exemptions } from './exemptions.js';
import { LimitFollowing } from './following.js';
import { Observed, type Operations } from './observed.js';
import { type LimitRouting, limitRoutes } from './routes.js';
import type { Limiting } from './told.js';
import { volumeRoutes } from './volume-routes.js';
import { Volumes } from './volumes.js';

export interface LimitFlowParts extends Pick<LimitRouting, 'limits'> {
  store: Store;
  native: Limiting;
  log: Log;
  metrics: LimitMetrics;
  hosts(): Operations;
  /** Names this process among those that share the store. */
  node: string;
  /** Where a fleet shares its counters. */
  resetFleet?: LimitRouting['resetFleet'];
  clock?: Clock;
}

export class LimitFlow {
  readonly #parts: Required<LimitFlowParts>;
  readonly #exemptions: Exemptions;
  readonly #following: LimitFollowing;
  readonly #volumes: Volumes;
  readonly #observed: Observed;

  constructor(given: LimitFlowParts) {
    const parts = { clock: systemClock, resetFleet: null, ...given };
    this.#parts = parts;
    this.#exemptions = new Exemptions(parts.store, () => parts.clock.now());
    this.#following = new LimitFollowing(parts);
    this.#volumes = new Volumes(parts);
    this.#observed = new Observed(parts.store, parts.hosts);
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    await this.#following.start();
    this.#volumes.start();
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    limitRoutes(api, {
      ...this.#parts,
      exemptions: this.#exemptions,
      inForce: () => this.#following.look(),
    });
    volumeRoutes(api, this.#observed, () => this.#volumes.look());
  }

  /** Before the store is closed. */
  async stop(): Promise<void> {
    this.#following.stop();
    await this.#volumes.stop();
  }
}
