// The observed volume goes from the engine into the store: one row of each operation, ten minutes and process. Limits are
// recommended and tried out by it.
//
// Rows wait while the store is away, up to a bound; then the oldest are given up, and counted.

import { setImmediate as others } from 'node:timers/promises';
import type { LimitMetrics } from '../../journal/metrics/limits.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import type { Store } from '../store/open.js';
import type { VolumesTable } from '../store/tables.js';
import type { Limiting } from './told.js';
import { BUCKET_MS, pack, readTold } from './volume.js';

/** Between two looks at which buckets have ended. */
const LOOK_MS = 15_000;
/** Of one statement: some 200 KiB. */
const ROWS = 50;
/** Some 20 MiB: fifty operations for as many hours as nobody leaves a store away. */
const MAX_WAITING = 5_000;
/** A row of 200 sessions and 16 statuses has 6 KiB; what is beyond this is something else. */
const MAX_ROW_BYTES = 32_768;
/** Calls of the engine in one look; it tells some hundred buckets in each. */
const MAX_CALLS = 100;

export interface VolumesParts {
  store: Store;
  native: Pick<Limiting, 'volumes'>;
  log: Log;
  metrics: Pick<LimitMetrics, 'recorded' | 'dropped' | 'waiting' | 'volumesLag'>;
  clock: Clock;
  /** Names this process among those that share the store. */
  node: string;
}

export class Volumes {
  readonly #parts: VolumesParts;
  #waiting: VolumesTable[] = [];
  #writing: Promise<void> | null = null;
  #writtenAt: number;
  #away = false;
  #stop = () => {};

  constructor(parts: VolumesParts) {
    this.#parts = parts;
    this.#writtenAt = parts.clock.elapsed();
  }

  start(): void {
    const { clock, metrics } = this.#parts;
    metrics.volumesLag(() => (clock.elapsed() - this.#writtenAt) / 1_000);
    this.#stop = clock.every(LOOK_MS, () => void this.look());
  }

  /** With the bucket that has only begun: nobody will tell of it later. */
  async stop(): Promise<void> {
    this.#stop();
    await this.#writing;
    await this.#once(this.#parts.clock.now() + BUCKET_MS);
  }

  /** Takes what has ended. Never rejects: what cannot be written waits. */
  look(): Promise<void> {
    return this.#once(this.#parts.clock.now());
  }

  #once(until: number): Promise<void> {
    this.#writing ??= this.#look(until).finally(() => {
      this.#writing = null;
    });
    return this.#writing;
  }

  async #look(until: number): Promise<void> {
    const { clock, log, metrics } = this.#parts;
    const at = clock.elapsed();
    try {
      this.#take(until);
      await this.#write();
      this.#writtenAt = at;
      this.#away = false;
    } catch (error) {
      if (!this.#away) log.warn({ error: (error as Error).message }, 'the observed volume cannot be written now');
      this.#away = true;
    }
    metrics.waiting(this.#waiting.length);
  }

  #take(until: number): void {
    const { native, metrics, node } = this.#parts;
    for (let call = 0; call < MAX_CALLS; call++) {
      const told = JSON.parse(native.volumes(until)) as unknown[];
      if (told.length === 0) break;
      for (const one of told) {
        const row = rowOf(one, node);
        if (row) this.#waiting.push(row);
        else metrics.dropped(1);
      }
      this.#bound();
    }
  }

  #bound(): void {
    const over = this.#waiting.length - MAX_WAITING;
    if (over <= 0) return;
    this.#waiting = this.#waiting.slice(over);
    this.#parts.metrics.dropped(over);
  }

  async #write(): Promise<void> {
    const { store, metrics } = this.#parts;
    while (this.#waiting.length > 0) {
      const some = this.#waiting.slice(0, ROWS);
      await store.db
        .insertInto('volumes')
        .values(some)
        // It was written already, and only the answer was lost.
        .onConflict(conflict =>
          conflict
            .columns(['host', 'operation', 'bucket', 'node'])
            .doUpdateSet(({ ref }) => ({ data: ref('excluded.data') })),
        )
        .execute();
      this.#waiting = this.#waiting.slice(some.length);
      metrics.recorded(some.length);
      // SQLite works on this thread.
      await others();
    }
  }
}

/** null: it is not what the engine is known to tell. */
function rowOf(told: unknown, node: string): VolumesTable | null {
  const read = readTold(told);
  if (!read) return null;
  const { host, operation, bucket, ...volume } = read;
  const data = pack(volume);
  return data.length > MAX_ROW_BYTES ? null : { host, operation, bucket, node, data };
}
