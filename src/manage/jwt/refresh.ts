// All key sets that are fetched: which there are, when each is due, and which tokens asked for one.

import type { KeySetPlan } from '../../check/jwt/compile.js';
import type { Store } from '../store/open.js';
import { keep, readKept } from './kept.js';
import { KeySet, type KeySetNative, type KeySetParts, type KeySetState } from './key-set.js';

/** A token of a new key waits so long before its set is asked for, with the fetch itself well below a second. */
const TICK_MS = 250;
/** Fetches at once; each may bring 1 MiB. */
const CONCURRENT = 16;
/** How long the start waits for the sets: as long as a fetch may take. */
const FIRST_MS = 5_000;

/** The part of the native door that is used here. */
export interface RefreshNative extends KeySetNative {
  unknownKeyIds(): string;
}

export interface RefreshParts extends Omit<KeySetParts, 'keep' | 'native'> {
  store: Store;
  native: RefreshNative;
  /** Instead of `FIRST_MS`. */
  firstMs?: number;
}

export class Refresh {
  readonly #parts: RefreshParts;
  #sets = new Map<string, KeySet>();
  /** For a policy that is about to come into force. */
  #coming = new Map<string, KeySet>();
  #busy = 0;
  #stopTicking = () => {};
  #unkept = false;

  constructor(parts: RefreshParts) {
    this.#parts = parts;
    parts.metrics.sets(() => this.#gauges());
  }

  start(): void {
    this.#stopTicking = this.#parts.clock.every(TICK_MS, () => void this.tick());
  }

  stop(): void {
    this.#stopTicking();
    for (const set of [...this.#sets.values(), ...this.#coming.values()]) set.close();
  }

  /**
   * Fetches what a policy that is about to come into force needs and is not there yet, for a bounded time: so that its
   * tokens are not refused until a first fetch is over. Never rejects.
   */
  async prepare(plans: readonly KeySetPlan[]): Promise<void> {
    for (const set of this.#coming.values()) set.close();
    const missing = plans.filter(plan => !isOf(this.#sets.get(plan.name), plan));
    this.#coming = new Map(missing.map(plan => [plan.name, this.#made(plan)]));
    const coming = [...this.#coming.values()];
    await Promise.all(coming.map(set => this.#restore(set)));
    for (const set of coming) void set.fetch();
    await within(this.#parts.firstMs ?? FIRST_MS, Promise.all(coming.map(set => set.first)));
    const late = coming.filter(set => set.state().state === 'missing').map(({ plan }) => plan.name);
    if (late.length > 0) {
      this.#parts.log.warn(
        { configurations: late },
        'key sets are not there yet: tokens of these configurations are answered 503 until they are',
      );
    }
  }

  /** The configurations of the policy in force. Those whose set is the same keep it, and when it is due. */
  adopt(plans: readonly KeySetPlan[]): void {
    const before = this.#sets;
    this.#sets = new Map(
      plans.map(plan => {
        const set = [before, this.#coming].map(sets => sets.get(plan.name)).find(one => isOf(one, plan));
        set?.settle(plan);
        return [plan.name, set ?? this.#made(plan)];
      }),
    );
    const serving = new Set(this.#sets.values());
    for (const set of [...before.values(), ...this.#coming.values()]) if (!serving.has(set)) set.close();
    this.#coming = new Map();
  }

  /** Fetches what is due. Resolves when all of that has ended. */
  async tick(): Promise<void> {
    for (const name of JSON.parse(this.#parts.native.unknownKeyIds()) as string[]) this.#sets.get(name)?.want();
    const fetches: Promise<void>[] = [];
    for (const set of this.#sets.values()) {
      if (set.expire()) this.#drop(set.plan.name);
      if (this.#busy >= CONCURRENT || !set.isDue()) continue;
      this.#busy += 1;
      const fetch = set.fetch().finally(() => {
        this.#busy -= 1;
      });
      fetches.push(fetch);
    }
    await Promise.all(fetches);
  }

  states(): KeySetState[] {
    return [...this.#sets.values()].map(set => set.state());
  }

  find(name: string): KeySet | undefined {
    return this.#sets.get(name);
  }

  /** The engine forgets by name: also what is about to follow, which is then fetched when it does. */
  #drop(name: string): void {
    this.#coming.get(name)?.close();
    this.#coming.delete(name);
  }

  #made(plan: KeySetPlan): KeySet {
    return new KeySet(plan, {
      ...this.#parts,
      keep: (name, set) => {
        keep(this.#parts.store, name, set).then(
          () => {
            this.#unkept = false;
          },
          error => {
            if (!this.#unkept) {
              this.#parts.log.warn(
                { configuration: name, error: (error as Error).message },
                'a key set cannot be kept in the store: after a restart it has to be fetched',
              );
            }
            this.#unkept = true;
          },
        );
      },
    });
  }

  async #restore(set: KeySet): Promise<void> {
    const { store, log } = this.#parts;
    const { name, url } = set.plan;
    try {
      const kept = await readKept(store, name, url);
      if (kept && set.restore(kept)) log.info({ configuration: name }, 'the key set of the last run is used at first');
    } catch (error) {
      log.warn({ configuration: name, error: (error as Error).message }, 'the kept key set cannot be used');
    }
  }

  #gauges() {
    return [...this.#sets.values()].map(set => {
      const { name, keys, nextAt, error } = set.state();
      const { ageMs } = set;
      return {
        configuration: name,
        keys: keys.length,
        ageSeconds: ageMs === null ? null : ageMs / 1_000,
        nextFetch: nextAt / 1_000,
        failing: error !== null,
      };
    });
  }
}

/** Whether it is the set that the plan means. */
function isOf(set: KeySet | undefined, { url }: KeySetPlan): set is KeySet {
  return set?.plan.url === url;
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
