// Everything of API keys and service tokens that is not on the way of a request: made and taken back through the admin
// API, in force in this process, when they were last used, and which end soon.

import type { Tell } from '../../journal/events/notices.js';
import type { KeyMetrics } from '../../journal/metrics/keys.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import { type Clock, systemClock } from '../pki/clock.js';
import type { By } from '../pki/service.js';
import type { Store } from '../store/open.js';
import { type Admitting, Enforcing } from './enforcing.js';
import { KeyExpiry } from './expiry.js';
import { Keys, shownOnce } from './keys.js';
import { keyRoutes } from './routes.js';
import type { RotationOfAll } from './shapes.js';
import { Uses, type Using } from './uses.js';

export interface KeyFlowParts {
  store: Store;
  native: Admitting & Using;
  log: Log;
  metrics: KeyMetrics;
  /** What is an event too. */
  tell: Tell;
  /** Names of the hosts that are served. */
  hosts(): readonly string[];
  clock?: Clock;
}

export class KeyFlow {
  readonly #keys: Keys;
  readonly #enforcing: Enforcing;
  readonly #uses: Uses;
  readonly #expiry: KeyExpiry;

  constructor(given: KeyFlowParts) {
    const parts = { clock: systemClock, ...given };
    const { store, hosts, clock } = parts;
    this.#keys = new Keys({ store, hosts, now: () => clock.now() });
    this.#enforcing = new Enforcing(parts);
    this.#uses = new Uses(parts);
    this.#expiry = new KeyExpiry(parts);
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(): Promise<void> {
    await this.#enforcing.start();
    this.#uses.start();
    this.#expiry.start();
  }

  /** Another secret of every live key of a partner; in force here when it resolves. */
  async rotateAll(partner: string, wanted: RotationOfAll, by: By) {
    const made = await this.#keys.rotateAll(partner, wanted, by);
    await this.#enforcing.look();
    return made.map(one => shownOnce(one, this.#keys.now()));
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    keyRoutes(api, this.#keys, () => this.#enforcing.look());
  }

  /** Before the store is closed. */
  async stop(): Promise<void> {
    this.#enforcing.stop();
    this.#expiry.stop();
    await this.#uses.stop();
  }
}
