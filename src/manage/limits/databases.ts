// What tells where an address is, from the file that the configuration names to the engine of this process: before the
// policy that reads it comes into force, and again when the file has changed. What cannot be read refuses the
// configuration; the database before stays.

import { DATABASE_KINDS, type DatabaseKind, type DatabasePlan } from '../../check/limits/databases.js';

/** The part of the native door that is used here. */
export interface Locating {
  /** Throws what an operator understands. */
  loadDatabase(kind: string, bytes: Buffer | null): void;
}

/** One of them cannot be read. */
export class DatabaseRefused extends Error {
  constructor(
    /** The value of the configuration that names it. */
    readonly at: string,
    message: string,
  ) {
    super(message);
  }
}

export class Databases {
  readonly #native: Locating;
  /** Digests of those that the engine has. */
  readonly #loaded = new Map<DatabaseKind, string>();

  constructor(native: Locating) {
    this.#native = native;
  }

  /** Throws DatabaseRefused. */
  take(plans: readonly DatabasePlan[]): void {
    for (const plan of plans) {
      if (this.#loaded.get(plan.kind) !== plan.digest) this.#load(plan);
      // The engine has its own by now; the plan lives as long as its configuration.
      plan.bytes = null;
    }
    for (const kind of DATABASE_KINDS) {
      if (plans.some(plan => plan.kind === kind) || !this.#loaded.delete(kind)) continue;
      this.#native.loadDatabase(kind, null);
    }
  }

  #load({ kind, digest, bytes }: DatabasePlan): void {
    try {
      this.#native.loadDatabase(kind, bytes);
    } catch (error) {
      throw new DatabaseRefused(`/limits/databases/${kind}`, (error as Error).message);
    }
    this.#loaded.set(kind, digest);
  }
}
