// How exemptions and resets come into force: from the store to the engine of this process, within a fraction of a second
// of the commit, whichever process wrote them.
//
// The engine is told all exemptions at once; a reset only when it came while this process ran, as one that starts has
// counted nothing yet.

import type { LimitMetrics } from '../../journal/metrics/limits.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import { MAX_EXEMPTIONS } from './exemptions.js';
import type { Limiting } from './told.js';

/** Rows that are read at once. */
const PAGE = 2_000;
/** Between two looks for exemptions that have ended. */
const ENDS_MS = 1_000;

export interface FollowingParts {
  store: Store;
  native: Pick<Limiting, 'exemptLimited' | 'resetLimited'>;
  log: Log;
  metrics: Pick<LimitMetrics, 'lag' | 'failed' | 'exemptions' | 'reset'>;
  clock: Clock;
}

interface Exempt {
  rule: string;
  key: string;
  until: number | null;
}

export class LimitFollowing {
  readonly #parts: FollowingParts;
  readonly #pulling: Pulling;
  #exempt: readonly Exempt[] = [];
  #stop = () => {};

  constructor(parts: FollowingParts) {
    this.#parts = parts;
    this.#pulling = new Pulling({
      ...parts,
      topic: 'limits',
      pull: (known, revision) => this.#pull(known, revision),
      older: (revision, known) => this.#older(revision, known),
      failed: () => parts.metrics.failed(),
      sentences: {
        away: 'the store cannot be read: exemptions from limits stay as they are known, resets are not seen',
        back: 'the store can be read again: exemptions from limits are up to date',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { metrics, clock } = this.#parts;
    await this.#pulling.first();
    metrics.lag(() => this.#pulling.lagMs / 1_000);
    this.#pulling.follow();
    this.#stop = clock.every(ENDS_MS, () => this.#end());
  }

  stop(): void {
    this.#stop();
    this.#pulling.stop();
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#pulling.look();
  }

  async #pull(known: number, revision: number): Promise<void> {
    const { store, clock } = this.#parts;
    // Those that are gone leave no row: all are read.
    this.#exempt = await store.db
      .selectFrom('limit_exemptions')
      .select(['rule', 'key', 'until'])
      .where(it => it.or([it('until', 'is', null), it('until', '>', clock.now())]))
      .limit(MAX_EXEMPTIONS)
      .execute();
    this.#tell();
    if (known >= 0) await this.#resetAll(known, revision);
  }

  async #resetAll(known: number, revision: number): Promise<void> {
    const { store, native, metrics, clock } = this.#parts;
    for (let [rule, key] = ['', '']; ; ) {
      const rows = await store.db
        .selectFrom('limit_resets')
        .select(['rule', 'key', 'at'])
        .where('revision', '>', known)
        .where('revision', '<=', revision)
        .where(it => it.or([it('rule', '>', rule), it.and([it('rule', '=', rule), it('key', '>', key)])]))
        .orderBy('rule')
        .orderBy('key')
        .limit(PAGE)
        .execute();
      for (const row of rows) {
        native.resetLimited(JSON.stringify({ rule: row.rule, key: row.key }));
        metrics.reset((clock.now() - row.at) / 1_000);
      }
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) return;
      [rule, key] = [last.rule, last.key];
    }
  }

  /** Its exemptions count; what was reset since is reset, and stays so. */
  #older(back: number, known: number): number {
    this.#parts.log.warn({ revision: back, known }, 'the store is older than it was: exemptions are those that it has');
    return -1;
  }

  #tell(): void {
    const { native, metrics } = this.#parts;
    native.exemptLimited(JSON.stringify(this.#exempt));
    metrics.exemptions(this.#exempt.length);
  }

  /** One that ended takes up no place in the engine any more. */
  #end(): void {
    const now = this.#parts.clock.now();
    const left = this.#exempt.filter(({ until }) => until === null || until > now);
    if (left.length === this.#exempt.length) return;
    this.#exempt = left;
    try {
      this.#tell();
    } catch (error) {
      this.#parts.metrics.failed();
      this.#parts.log.error({ error: (error as Error).message }, 'exemptions that ended cannot be taken back');
    }
  }
}
