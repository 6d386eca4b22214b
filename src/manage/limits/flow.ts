// Everything of rate limits that is not on the way of a request: what a fleet's nodes have spent, who is exempt, what
// was asked of each operation, and the operations of the admin API.

import type { Api } from '../admin/api.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';

export interface LimitFlowParts {
  store: Store;
  log: Log;
}

export class LimitFlow {
  constructor(_given: LimitFlowParts) {}

  /** To be awaited before the first request is served. Rejects when the store cannot be read. */
  async start(): Promise<void> {}

  /** Its operations of the admin API. */
  routes(_api: Api): void {}

  /** Before the store is closed. */
  async stop(): Promise<void> {}
}
