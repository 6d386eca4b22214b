// How revocations come into force: from the store to the engine of this process, within a fraction of a second of the
// commit, whichever process wrote it.
//
// The engine is told only what changed: rows above the revision it knows. While the store cannot be read, what is known
// stays in force.

import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import type { Log } from '../log.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import type { RevocationsTable } from '../store/tables.js';
import { type Clock, systemClock } from './clock.js';

/** Rows that are read, and told, at once. */
const PAGE = 10_000;

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
  readonly #pulling: Pulling;

  constructor(parts: EnforcingParts) {
    const { store, log, metrics, clock = systemClock } = parts;
    this.#parts = parts;
    this.#clock = clock;
    this.#pulling = new Pulling({
      ...{ store, log, clock, topic: 'revocations' },
      pull: (known, revision) => this.#pull(known, revision),
      older: (revision, known) => this.#older(revision, known),
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: revocations that are known stay in force, new ones are not seen',
        back: 'the store can be read again: revocations are up to date',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { native, metrics } = this.#parts;
    native.revoke(JSON.stringify({ reset: true, ...changeOf([]) }));
    await this.#pulling.first();
    metrics.lag(() => this.#pulling.lagMs / 1_000);
    this.#pulling.follow();
  }

  stop(): void {
    this.#pulling.stop();
  }

  /** The revision that this process enforces. */
  get revision(): number {
    return this.#pulling.revision;
  }

  /** Calls after other revocations came into force here. */
  onChange(act: () => void): void {
    this.#pulling.onChange(act);
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#pulling.look();
  }

  async #pull(known: number, revision: number): Promise<void> {
    const { store, native, metrics } = this.#parts;
    const first = known === -1;
    for (let after = ''; ; ) {
      const rows = await page(store, known, revision, after);
      if (rows.length > 0) native.revoke(JSON.stringify(changeOf(rows)));
      if (!first) for (const { at } of rows) metrics.applied((this.#clock.now() - at) / 1_000);
      if (rows.length < PAGE) break;
      after = rows.at(-1)?.id ?? '';
    }
  }

  /** Nothing is taken back: what the engine refuses and this store does not know stays refused. */
  #older(revision: number, known: number): number {
    this.#parts.log.error(
      { revision, known },
      'the store is older than it was: revocations are read anew, and those it has lost stay in force until a restart',
    );
    return -1;
  }
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
