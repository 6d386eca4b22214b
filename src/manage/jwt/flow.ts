// Everything of tokens that is not on the way of a request: the key sets they are verified with, which of them were taken
// back, and both in force in this process.

import type { KeySetPlan } from '../../check/jwt/compile.js';
import type { PolicyJwt } from '../../config/policy.js';
import type { Tell } from '../../journal/events/notices.js';
import type { JwtMetrics } from '../../journal/metrics/jwt.js';
import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import { type Clock, systemClock } from '../pki/clock.js';
import type { Store } from '../store/open.js';
import { Enforcing, type RevokingNative } from './enforcing.js';
import { Refresh, type RefreshNative } from './refresh.js';
import { TokenRevocations } from './revocations.js';
import { jwtRoutes } from './routes.js';

export interface TokenFlowParts {
  store: Store;
  native: RefreshNative & RevokingNative & { inspectToken(configuration: string, token: string): string };
  log: Log;
  metrics: JwtMetrics;
  /** What is an event too. */
  tell: Tell;
  /** Token configurations of the policy in force. */
  configurations(): readonly PolicyJwt[];
  clock?: Clock;
}

export class TokenFlow {
  readonly #parts: TokenFlowParts;
  readonly #refresh: Refresh;
  readonly #enforcing: Enforcing;
  readonly #revocations: TokenRevocations;

  constructor(given: TokenFlowParts) {
    const parts = { clock: systemClock, ...given };
    this.#parts = parts;
    this.#refresh = new Refresh(parts);
    this.#enforcing = new Enforcing(parts);
    this.#revocations = new TokenRevocations(parts.store, parts.configurations, () => parts.clock.now());
  }

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(plans: readonly KeySetPlan[]): Promise<void> {
    await this.#enforcing.start();
    await this.#refresh.prepare(plans);
    this.adopt(plans);
    this.#refresh.start();
  }

  /** Before a policy comes into force: its key sets that are not there yet are asked for. Never rejects. */
  prepare(plans: readonly KeySetPlan[]): Promise<void> {
    return this.#refresh.prepare(plans);
  }

  /** Of a policy that came into force. */
  adopt(plans: readonly KeySetPlan[]): void {
    this.#refresh.adopt(plans);
  }

  /** Its operations of the admin API. */
  routes(api: Api): void {
    const { store, native, configurations } = this.#parts;
    jwtRoutes(api, {
      store,
      configurations,
      refresh: this.#refresh,
      revocations: this.#revocations,
      inspectToken: (configuration, token) => native.inspectToken(configuration, token),
      inForce: () => this.#enforcing.look(),
    });
  }

  stop(): void {
    this.#enforcing.stop();
    this.#refresh.stop();
  }
}
