// How a topic of the store comes into force in this process: within a fraction of a second of the commit, whichever
// process wrote it. While the store cannot be read, what is known stays in force.

import type { Log } from './log.js';
import type { Clock } from './pki/clock.js';
import type { Store } from './store/open.js';
import type { Topic } from './store/tables.js';

/** Beside the store's own notice: what came while the process started, or was missed, is seen this late at most. */
const LOOK_MS = 500;
/** A store that cannot be read for so long is worth a line. */
const AWAY_MS = 5_000;

export interface PullingParts {
  store: Store;
  topic: Topic;
  log: Log;
  clock: Clock;
  /**
   * Brings over what changed: rows above the revision `known`, up to `revision`; they are all committed, as writers of
   * a topic come one after the other. `known` is -1 when nothing is known yet.
   */
  pull(known: number, revision: number): Promise<void>;
  /** The store is at an older revision than what is known: it was put back. Answers from which one to go on. */
  older(revision: number, known: number): number;
  /** One more look that failed, for the metric. */
  failed(): void;
  /** For the log. */
  sentences: { away: string; back: string };
}

export class Pulling {
  readonly #parts: PullingParts;
  /** The revision that this process knows all about. */
  #known = -1;
  #pulling: Promise<void> | null = null;
  #again = false;
  #readAt: number;
  #away = false;
  #stops: (() => void)[] = [];
  #listeners: (() => void)[] = [];

  constructor(parts: PullingParts) {
    this.#parts = parts;
    this.#readAt = parts.clock.elapsed();
  }

  /** Everything there is. Rejects when it cannot be read. */
  async first(): Promise<void> {
    await this.#pull();
  }

  follow(): void {
    const { store, topic, clock } = this.#parts;
    this.#stops = [store.follow(topic, () => this.look()), clock.every(LOOK_MS, () => this.look())];
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Since when the store was last read: what other processes changed within that time may be unknown here. */
  get lagMs(): number {
    return this.#parts.clock.elapsed() - this.#readAt;
  }

  /** The revision that is in force in this process. */
  get revision(): number {
    return this.#known;
  }

  /** Calls after another revision came into force here. */
  onChange(act: () => void): void {
    this.#listeners.push(act);
  }

  /** Brings this process up to date. Never rejects: what fails is tried again. */
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
    const { store, topic, clock } = this.#parts;
    const row = await store.db.selectFrom('revisions').select('value').where('topic', '=', topic).executeTakeFirst();
    const revision = row?.value ?? 0;
    if (revision < this.#known) this.#known = this.#parts.older(revision, this.#known);
    if (revision > this.#known) {
      await this.#parts.pull(this.#known, revision);
      this.#known = revision;
      for (const listener of this.#listeners) listener();
    }
    this.#readAt = clock.elapsed();
  }

  #here(): void {
    if (this.#away) this.#parts.log.info(this.#parts.sentences.back);
    this.#away = false;
  }

  #gone(error: Error): void {
    this.#parts.failed();
    if (this.#away || this.lagMs < AWAY_MS) return;
    this.#away = true;
    const fields = { error: error.message, lagMs: Math.round(this.lagMs) };
    this.#parts.log.error(fields, this.#parts.sentences.away);
  }
}
