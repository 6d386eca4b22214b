// How revocations come into force: from the store to the engine of this process, within a fraction of a second of the
// commit, whichever process wrote it.
//
// The engine is told only what changed: rows above the revision it knows. While the store cannot be read, what is known
// stays in force.

import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { RevocationsTable } from '../store/tables.js';
import { type Clock, systemClock } from './clock.js';

/** Rows that are read, and told, at once. */
const PAGE = 10_000;
/** Beside the store's own notice: what came while the process started, or was missed, is seen this late at most. */
const LOOK_MS = 500;
/** A store that cannot be read for so long is worth a line. */
const AWAY_MS = 5_000;

/** The part of the native door that is told. */
export interface Refusing {
  revoke(change: string): void;
}

export interface EnforcingParts {
  store: Store;
  native: Refusing;
  log: Log;
  metrics: RevocationMetrics;
  clock?: Clock;
}

type Row = Pick<RevocationsTable, 'id' | 'key_id' | 'serial' | 'fingerprint' | 'state' | 'at' | 'revision'>;

export class Enforcing {
  readonly #parts: EnforcingParts;
  readonly #clock: Clock;
  /** The revision that the engine knows all about. */
  #known = -1;
  #pulling: Promise<void> | null = null;
  #again = false;
  #readAt: number;
  #away = false;
  #stops: (() => void)[] = [];
  #listeners: (() => void)[] = [];

  constructor(parts: EnforcingParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
    this.#readAt = this.#clock.elapsed();
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { store, native, metrics } = this.#parts;
    native.revoke(JSON.stringify({ reset: true, ...changeOf([]) }));
    await this.#pull();
    metrics.lag(() => this.lagMs / 1_000);
    this.#stops = [store.follow('revocations', () => this.look()), this.#clock.every(LOOK_MS, () => this.look())];
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Since when the store was last read: what other processes revoked within that time may be unknown here. */
  get lagMs(): number {
    return this.#clock.elapsed() - this.#readAt;
  }

  /** The revision that this process enforces. */
  get revision(): number {
    return this.#known;
  }

  /** Calls after other revocations came into force here. */
  onChange(act: () => void): void {
    this.#listeners.push(act);
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  async look(): Promise<void> {
    if (this.#pulling) {
      // It may have read past the change already.
      this.#again = true;
      return this.#pulling;
    }
    this.#pulling = this.#lookUntilStill();
    try {
      await this.#pulling;
    } finally {
      this.#pulling = null;
    }
  }

  async #lookUntilStill(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#pull();
        this.#here();
      } catch (error) {
        this.#gone(error as Error);
        return;
      }
    } while (this.#again);
  }

  async #pull(): Promise<void> {
    const { store, native, log, metrics } = this.#parts;
    const revision = await revisionOf(store);
    if (revision < this.#known) {
      // Nothing is taken back: what the engine refuses and this store does not know stays refused.
      log.error(
        { revision, known: this.#known },
        'the store is older than it was: revocations are read anew, and those it has lost stay in force until a restart',
      );
      this.#known = -1;
    }
    const first = this.#known === -1;
    if (revision > this.#known) {
      // Rows up to this revision are all committed: writers of a topic come one after the other.
      let after = '';
      for (;;) {
        const rows = await page(store, this.#known, revision, after);
        if (rows.length > 0) native.revoke(JSON.stringify(changeOf(rows)));
        if (!first) for (const { at } of rows) metrics.applied((this.#clock.now() - at) / 1_000);
        if (rows.length < PAGE) break;
        after = rows.at(-1)?.id ?? '';
      }
      this.#known = revision;
      for (const listener of this.#listeners) listener();
    }
    this.#readAt = this.#clock.elapsed();
  }

  #here(): void {
    if (this.#away) this.#parts.log.info('the store can be read again: revocations are up to date');
    this.#away = false;
  }

  #gone(error: Error): void {
    this.#parts.metrics.failed();
    if (this.#away || this.lagMs < AWAY_MS) return;
    this.#away = true;
    this.#parts.log.error(
      { error: error.message, lagMs: Math.round(this.lagMs) },
      'the store cannot be read: revocations that are known stay in force, new ones are not seen',
    );
  }
}

async function revisionOf(store: Store): Promise<number> {
  const row = await store.db
    .selectFrom('revisions')
    .select('value')
    .where('topic', '=', 'revocations')
    .executeTakeFirst();
  return row?.value ?? 0;
}

function page(store: Store, above: number, upTo: number, after: string): Promise<Row[]> {
  return store.db
    .selectFrom('revocations')
    .select(['id', 'key_id', 'serial', 'fingerprint', 'state', 'at', 'revision'])
    .where('revision', '>', above)
    .where('revision', '<=', upTo)
    .where('id', '>', after)
    .orderBy('id')
    .limit(PAGE)
    .execute();
}

/** As the door's `revoke` takes it. */
function changeOf(rows: Row[]) {
  const change = {
    revoked: [] as { key_id: string; serial: string }[],
    restored: [] as { key_id: string; serial: string }[],
    revoked_fingerprints: [] as string[],
    restored_fingerprints: [] as string[],
  };
  for (const { id, key_id, serial, fingerprint, state } of rows) {
    const restored = state === 'restored';
    if (!id.startsWith('sha256:') && key_id !== null && serial !== null) {
      (restored ? change.restored : change.revoked).push({ key_id, serial });
    } else if (fingerprint !== null) {
      (restored ? change.restored_fingerprints : change.revoked_fingerprints).push(fingerprint);
    }
  }
  return change;
}
