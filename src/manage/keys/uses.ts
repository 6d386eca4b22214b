// When keys were last used: in batches, to the minute, as it is no change that anybody waits for. It raises no revision,
// so that nobody reads a key again for it, and leaves nothing in the audit log.

import { setImmediate as others } from 'node:timers/promises';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import type { Store } from '../store/open.js';

/** Between two looks at what the engine saw. */
const LOOK_MS = 10_000;
/** What lies this close is the same use: a key that is used all the time is written once a minute. */
const SAME_MS = 60_000;
/** Times are written in steps of a look, so that one statement writes many keys. */
const STEP_MS = LOOK_MS;
/** Of one statement. */
const ROWS = 1_000;
/** Uses that wait while the store is away; beyond it they are forgotten, and the next use tells again. */
const MAX_WAITING = 100_000;

export interface Using {
  /** JSON `[{ id, at }]`: used since this was last asked. */
  usedKeys(): string;
}

export interface UsesParts {
  store: Store;
  native: Using;
  log: Log;
  clock: Clock;
}

export class Uses {
  readonly #parts: UsesParts;
  readonly #waiting = new Map<string, number>();
  #writing: Promise<void> | null = null;
  #away = false;
  #stop = () => {};

  constructor(parts: UsesParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#stop = this.#parts.clock.every(LOOK_MS, () => void this.look());
  }

  /** With what was used until now. */
  async stop(): Promise<void> {
    this.#stop();
    await this.#writing;
    await this.look();
  }

  /** Never rejects: what cannot be written waits. */
  look(): Promise<void> {
    this.#writing ??= this.#look().finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #look(): Promise<void> {
    try {
      this.#take();
      await this.#write();
      this.#away = false;
    } catch (error) {
      if (this.#away) return;
      this.#away = true;
      this.#parts.log.warn({ error: (error as Error).message }, 'when keys were last used cannot be written now');
    }
  }

  #take(): void {
    for (const { id, at } of JSON.parse(this.#parts.native.usedKeys()) as { id: string; at: number }[]) {
      const step = at - (at % STEP_MS);
      const known = this.#waiting.get(id);
      if (known === undefined && this.#waiting.size >= MAX_WAITING) continue;
      this.#waiting.set(id, Math.max(step, known ?? 0));
    }
  }

  async #write(): Promise<void> {
    const byTime = new Map<number, string[]>();
    for (const [id, at] of this.#waiting) {
      const some = byTime.get(at);
      if (some) some.push(id);
      else byTime.set(at, [id]);
    }
    for (const [at, ids] of byTime) {
      for (let from = 0; from < ids.length; from += ROWS) {
        const some = ids.slice(from, from + ROWS);
        await this.#parts.store.db
          .updateTable('keys')
          .set({ last_used_at: at })
          .where('id', 'in', some)
          .where(it => it.or([it('last_used_at', 'is', null), it('last_used_at', '<', at - SAME_MS)]))
          .execute();
        for (const id of some) this.#waiting.delete(id);
        // SQLite works on this thread.
        await others();
      }
    }
  }
}
