// How keys come into force: from the store to the engine of this process.
//
// At the start everything, in pages, before the first request; then rows above the revision that the engine knows. What
// is expired or revoked is taken away from it, so that it holds no more than can count.

import type { KeyMetrics } from '../../journal/metrics/keys.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import type { KeySecretsTable, KeysTable } from '../store/tables.js';
import { counting, listsOf } from './keys.js';

/** Rows that are read, and told, at once: some megabytes. */
const PAGE = 10_000;
/** An expired key is told to its holder as such for so long; then it is unknown. */
const EXPIRED_MS = 30 * 86_400_000;
/** Keys that one line of the log names. */
const NAMED = 5;

/** The part of the native door that is told. */
export interface Admitting {
  /** JSON of `Change` in native/engine/src/keys/mod.rs. */
  changeKeys(change: string): void;
}

export interface EnforcingParts {
  store: Store;
  native: Admitting;
  log: Log;
  metrics: KeyMetrics;
  clock: Clock;
}

/** Of native/engine/src/keys/mod.rs. */
interface Written {
  id: string;
  secrets: { digest: string; not_after: number | null }[];
  partner: string | null;
  scopes: string[];
  expires_at: number | null;
  certificates: string[];
  networks: string[];
  hosts: string[];
}

interface Page {
  rows: KeysTable[];
  secrets: KeySecretsTable[];
}

export class Enforcing {
  readonly #parts: EnforcingParts;
  readonly #pulling: Pulling;

  constructor(parts: EnforcingParts) {
    const { store, log, clock, metrics } = parts;
    this.#parts = parts;
    this.#pulling = new Pulling({
      ...{ store, log, clock, topic: 'keys' },
      pull: (known, revision) => (known === -1 ? this.#all(revision) : this.#changes(known, revision)),
      older: (revision, known) => this.#older(revision, known),
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: keys that are known go on counting, changes of them are not seen',
        back: 'the store can be read again: keys are up to date',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { native, metrics } = this.#parts;
    native.changeKeys(JSON.stringify({ reset: true }));
    await this.#pulling.first();
    // What changed while a million of them were read.
    await this.#pulling.look();
    native.changeKeys(JSON.stringify({ ready: true }));
    metrics.lag(() => this.#pulling.lagMs / 1_000);
    this.#pulling.follow();
  }

  stop(): void {
    this.#pulling.stop();
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#pulling.look();
  }

  /** In the order of ids, as they lie; what changes meanwhile has a newer revision, and follows. */
  async #all(revision: number): Promise<void> {
    const { store, clock } = this.#parts;
    for (let after = ''; ; ) {
      const rows = await store.db
        .selectFrom('keys')
        .selectAll()
        .where('id', '>', after)
        .orderBy('id')
        .limit(PAGE)
        .execute();
      const last = rows.at(-1)?.id ?? after;
      const live = rows.filter(row => row.revision <= revision && row.revoked_at === null);
      const secrets = await store.db
        .selectFrom('key_secrets')
        .selectAll()
        .where('key_id', '>', after)
        .where('key_id', '<=', last)
        .execute();
      this.#tell(changeOf({ rows: live, secrets }, clock.now()));
      if (rows.length < PAGE) return;
      after = last;
    }
  }

  async #changes(known: number, revision: number): Promise<void> {
    const { store, clock, metrics } = this.#parts;
    for (let after = { revision: known, id: AFTER_ALL }; ; ) {
      const rows = await store.db
        .selectFrom('keys')
        .selectAll()
        // The first of the two finds the place, the second leaves out what was there before.
        .where('revision', '>=', after.revision)
        .where(it =>
          it.or([
            it('revision', '>', after.revision),
            it.and([it('revision', '=', after.revision), it('id', '>', after.id)]),
          ]),
        )
        .where('revision', '<=', revision)
        .orderBy('revision')
        .orderBy('id')
        .limit(PAGE)
        .execute();
      const ids = rows.map(({ id }) => id);
      if (ids.length === 0) return;
      const secrets = await store.db.selectFrom('key_secrets').selectAll().where('key_id', 'in', ids).execute();
      this.#tell(changeOf({ rows, secrets }, clock.now()));
      for (const { revoked_at } of rows) {
        if (revoked_at !== null) metrics.revoked((clock.now() - revoked_at) / 1_000);
      }
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) return;
      after = { revision: last.revision, id: last.id };
    }
  }

  /**
   * A row that the engine does not take keeps no other one from coming into force, least of all a revocation: it does
   * not count itself, and that is told.
   */
  #tell(change: { keys: Written[]; removed: string[] }): void {
    const { native, log, metrics } = this.#parts;
    try {
      native.changeKeys(JSON.stringify(change));
      return;
    } catch {
      native.changeKeys(JSON.stringify({ removed: change.removed }));
    }
    const faults: { id: string; error: string }[] = [];
    const halves = (keys: readonly Written[]): void => {
      if (keys.length === 0) return;
      try {
        native.changeKeys(JSON.stringify({ keys }));
      } catch (error) {
        const [key] = keys;
        if (keys.length > 1) {
          halves(keys.slice(0, keys.length / 2));
          halves(keys.slice(keys.length / 2));
        } else if (key) {
          native.changeKeys(JSON.stringify({ removed: [key.id] }));
          metrics.unusable();
          faults.push({ id: key.id, error: (error as Error).message });
        }
      }
    };
    halves(change.keys);
    if (faults.length > 0) {
      log.error({ keys: faults.slice(0, NAMED), count: faults.length }, 'keys cannot be used: they are refused');
    }
  }

  /**
   * Nothing is given back: what was revoked since the store's older state stays refused, though the store has it as
   * good again. What is changed from now on follows.
   */
  #older(revision: number, known: number): number {
    this.#parts.log.error(
      { revision, known },
      'the store is older than it was: keys count as they did, until they change or the gateway is started again',
    );
    return revision;
  }
}

/** Behind every id of hex digits. */
const AFTER_ALL = 'g';

function changeOf({ rows, secrets }: Page, now: number): { keys: Written[]; removed: string[] } {
  const of = new Map<string, KeySecretsTable[]>();
  for (const secret of counting(secrets, now)) {
    const known = of.get(secret.key_id);
    if (known) known.push(secret);
    else of.set(secret.key_id, [secret]);
  }
  const change = { keys: [] as Written[], removed: [] as string[] };
  for (const row of rows) {
    const { id, partner, expires_at, revoked_at } = row;
    const over = revoked_at !== null || (expires_at !== null && expires_at <= now - EXPIRED_MS);
    const valid = of.get(id) ?? [];
    if (over || valid.length === 0) change.removed.push(id);
    else {
      const digests = valid.map(({ digest, not_after }) => ({ digest, not_after }));
      change.keys.push({ id, secrets: digests, partner, expires_at, ...listsOf(row) });
    }
  }
  return change;
}
