// The main thread's part in the fleet's counters: settles what all threads have spent of their leases, says that this
// node lives and learns how many do, and forgets a counter that an operator resets.

import { randomUUID } from 'node:crypto';
import type { Call } from '../../../native/door/index.js';
import type { Told } from '../../check/limits/asking.js';
import { spread } from '../../check/limits/backoff.js';
import { FleetCounters, type Standing } from '../../check/limits/fleet.js';
import { recordOf, wasThere } from '../../check/limits/functions.js';
import type { SharedPlan } from '../../check/limits/shared.js';
import type { Log } from '../log.js';

/** What is spent unsettled until then is the fleet's error: docs/limits.md. */
const SETTLE_MS = 100;
/** Nobody waits for a settlement; one whose answer is not waited for is settled again, and counts twice. */
const ANSWER_MS = 1_000;
const PRESENT_MS = 1_000;
/** A node that said nothing for so long is gone, and the others' shares grow. */
const GONE_MS = 5_000;
/** So often in a row nodes could not be counted, although the counters answer: that is no accident. */
const UNCOUNTED = 5;
/** Bytes of a key that tell its partition in a cluster; native/engine/src/limits/shared/record.rs. */
const PARTITIONS = 16;
const RESET = 9;

/** The part of the native door that is asked. */
export interface SettlingDoor {
  spent(): Call | null;
  spendingSettled(reply: Buffer | null, nodes: number): void;
}

export interface SettlingParts {
  plan: SharedPlan;
  door: SettlingDoor;
  log: Log;
  tell(told: Told): void;
}

export class Settling {
  readonly #parts: SettlingParts;
  readonly #fleet: FleetCounters;
  readonly #node = randomUUID();
  readonly #timers: NodeJS.Timeout[] = [];
  #settling = false;
  /** As the server last said; 0: it never has. */
  #nodes = 0;
  /** In a row. */
  #uncounted = 0;
  #stopped = false;

  constructor(parts: SettlingParts) {
    this.#parts = parts;
    this.#fleet = new FleetCounters({ ...parts.plan, timeoutMs: ANSWER_MS }, standing => this.#tell(standing));
    // Nodes that were started by one hand do not all come in the same millisecond.
    this.#every(spread(SETTLE_MS), () => this.settle());
    this.#every(spread(PRESENT_MS), () => this.#present());
  }

  /** Of all that was spent until now. Never rejects. */
  async settle(): Promise<void> {
    const { door } = this.#parts;
    if (this.#settling) return;
    this.#settling = true;
    try {
      for (let call = door.spent(); call !== null && !this.#stopped; call = door.spent()) {
        const reply = await this.#ask(call.keys, call.records);
        door.spendingSettled(reply, this.#nodes);
      }
    } finally {
      this.#settling = false;
    }
  }

  /** Takes a counter away, penalty included; answers whether there was one. Rejects when nobody answers. */
  async reset(key: string): Promise<boolean> {
    const { plan } = this.#parts;
    const partition = plan.kind === 'cluster' ? Number.parseInt(key.slice(0, 2), 16) % PARTITIONS : 0;
    const slot = `${plan.prefix}{${partition.toString(16)}}`;
    const reply = await this.#ask([`${slot}:born`, `${slot}:${key}`], recordOf(RESET));
    if (reply === null) throw new Error("the fleet's counters do not answer");
    return wasThere(reply);
  }

  /** What is spent until now is settled, unless nobody answers. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    if (this.#fleet.standing.up) await this.settle();
    this.#stopped = true;
    this.#parts.tell({ standing: null, counted: this.#fleet.counted() });
    this.#fleet.close();
  }

  async #present(): Promise<void> {
    this.#tell(this.#fleet.standing);
    if (!this.#fleet.standing.up) return;
    const nodes = await this.#fleet.present(this.#node, GONE_MS, ANSWER_MS);
    if (nodes === null) this.#misses();
    else this.#uncounted = 0;
    if (nodes === null || nodes === this.#nodes || this.#stopped) return;
    this.#nodes = nodes;
    // Beside a settlement that is under way this would be its answer, which brings the number as well.
    if (!this.#settling) this.#parts.door.spendingSettled(null, nodes);
  }

  /** Shares of limits would be too large, and nobody would know. */
  #misses(): void {
    this.#uncounted += 1;
    if (this.#uncounted !== UNCOUNTED) return;
    this.#parts.log.error(
      { nodes: this.#nodes },
      'the nodes of the fleet cannot be counted: look at the rights of the ACL user (docs/limits.md)',
    );
  }

  #ask(keys: readonly string[], records: Buffer): Promise<Buffer | null> {
    return new Promise(resolve => {
      let timer: NodeJS.Timeout | undefined;
      const pending = this.#fleet.ask(keys, records, reply => {
        clearTimeout(timer);
        resolve(reply);
      });
      timer = setTimeout(() => pending.giveUp(), ANSWER_MS);
    });
  }

  #tell(standing: Standing): void {
    if (!this.#stopped) this.#parts.tell({ standing, counted: this.#fleet.counted() });
  }

  #every(ms: number, act: () => Promise<void>): void {
    const timer = setInterval(() => {
      act().catch(error => this.#parts.log.error({ error: (error as Error).message }, "the fleet's counters"));
    }, ms);
    timer.unref();
    this.#timers.push(timer);
  }
}
