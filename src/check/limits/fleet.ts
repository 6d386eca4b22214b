// The counters of a fleet, asked from one thread: calls that are answered, refused, or given up, and never throw.
//
// A cluster has many servers, of which one may be gone: each partition of the keys has a health of its own. A partition
// that is down is not asked but by its own probe.

import { Connection } from './connection.js';
import { type Counted, countAnswered, nothingCounted } from './counted.js';
import { type Fault, faultOf } from './faults.js';
import { KNOWN_BYTES, NODE, RECORDS } from './functions.js';
import { Health } from './health.js';
import type { SharedPlan } from './shared.js';

/** Partitions of a cluster; native/engine/src/limits/shared.rs makes the keys. */
const PARTITIONS = 16;
/** Calls without an answer, on all connections: at some 50 ms each, 20,000 a second. */
const MOST_CALLS = 1_024;
/** A probe asks for no counter. */
const NOTHING = Buffer.alloc(KNOWN_BYTES);

/** What is told when it changes. */
export interface Standing {
  /** Some partition counts. */
  up: boolean;
  /** How many do not. */
  down: number;
  /** Of the first of them. */
  why: Fault | null;
}

/** A call that is under way. */
export interface Pending {
  /** Nobody waits for it any more: it is late. */
  giveUp(): void;
}

class Partition {
  probing = false;
  constructor(
    readonly birth: string,
    readonly health: Health,
  ) {}
}

const NOT_PENDING: Pending = { giveUp: () => {} };

export class FleetCounters {
  readonly #plan: SharedPlan;
  readonly #connection: Connection;
  readonly #partitions = new Map<string, Partition>();
  readonly #changed: (standing: Standing) => void;
  /** As it was told. */
  #known: Standing;
  #telling = false;
  #calls = 0;
  #counted = nothingCounted();
  /** Of the connection itself: why calls find none. */
  #cause: Fault | null = null;
  #loading = false;
  #closed = false;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(plan: SharedPlan, changed: (standing: Standing) => void) {
    this.#plan = plan;
    this.#changed = changed;
    this.#connection = new Connection(plan, {
      connected: () => {
        this.#cause = null;
      },
      failed: error => {
        const fault = faultOf(error);
        if (fault !== 'closed') this.#cause = fault;
      },
      lost: () => {
        for (const { health } of this.#partitions.values()) health.failed(this.#cause ?? 'closed');
      },
    });
    for (let number = 0; number < (plan.kind === 'cluster' ? PARTITIONS : 1); number++) {
      const birth = `${plan.prefix}{${number.toString(16)}}:born`;
      this.#partitions.set(birth, new Partition(birth, new Health(() => this.#tell())));
    }
    this.#known = this.standing;
    for (const partition of this.#partitions.values()) this.#probe(partition);
  }

  get standing(): Standing {
    const down = [...this.#partitions.values()].filter(({ health }) => !health.up);
    return { up: down.length < this.#partitions.size, down: down.length, why: down[0]?.health.why ?? null };
  }

  /** Whether something was counted since. */
  get counts(): boolean {
    const { answered, failed, late } = this.#counted;
    return answered + failed + late > 0;
  }

  /** What was counted since this was last asked. */
  counted(): Counted {
    const counted = this.#counted;
    this.#counted = nothingCounted();
    return counted;
  }

  /**
   * `keys`: the birth of a partition and its counters. `done` is called once, never within this call unless nobody can
   * be asked; null: nobody answered.
   */
  ask(keys: readonly string[], records: Buffer, done: (reply: Buffer | null) => void): Pending {
    const partition = this.#partitions.get(keys[0] as string);
    if (partition === undefined || !partition.health.up || this.#calls >= MOST_CALLS) {
      this.#counted.failed += 1;
      done(null);
      return NOT_PENDING;
    }
    return this.#call(partition, keys, records, done);
  }

  /** Says that this node lives; answers how many do, null when nobody knows. */
  present(node: string, goneMs: number, boundMs: number): Promise<number | null> {
    return new Promise(resolve => {
      const timer = this.#after(boundMs, () => resolve(null));
      this.#connection.call(NODE, [`${this.#plan.prefix}{0}:nodes`], [node, String(goneMs)], (error, reply) => {
        this.#clear(timer);
        resolve(error === null && typeof reply === 'number' ? reply : null);
      });
    });
  }

  /** Calls that are under way end as failed. */
  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#connection.close();
  }

  #call(
    { health }: Partition,
    keys: readonly string[],
    records: Buffer,
    done: (reply: Buffer | null) => void,
  ): Pending {
    const sent = performance.now();
    let open = true;
    this.#calls += 1;
    this.#connection.call(RECORDS, keys, [records], (error, reply) => {
      this.#calls -= 1;
      const buffer = error === null && Buffer.isBuffer(reply) ? reply : null;
      if (buffer === null) health.failed(this.#faultOf(error));
      else if (open) health.answered();
      if (!open) return;
      open = false;
      if (buffer === null) this.#counted.failed += 1;
      else {
        this.#connection.works();
        countAnswered(this.#counted, (performance.now() - sent) / 1_000);
      }
      done(buffer);
    });
    const giveUp = () => {
      if (!open) return;
      open = false;
      this.#counted.late += 1;
      health.late();
      done(null);
    };
    return { giveUp };
  }

  /** One at a time for each partition, as long as it is down. */
  #probe(partition: Partition): void {
    if (partition.probing || this.#closed) return;
    partition.probing = true;
    this.#after(partition.health.next(), () => {
      let timer: NodeJS.Timeout | undefined;
      const pending = this.#call(partition, [partition.birth], NOTHING, reply => {
        this.#clear(timer);
        partition.probing = false;
        if (reply !== null) return;
        const { why } = partition.health;
        if (why === 'functions') this.#load();
        else if (why === 'cluster' || why === 'closed' || why === 'unreachable' || why === 'late') {
          this.#connection.refresh();
        }
        this.#probe(partition);
      });
      timer = this.#after(this.#plan.timeoutMs, () => pending.giveUp());
    });
  }

  #load(): void {
    if (this.#loading) return;
    this.#loading = true;
    this.#connection.load(error => {
      this.#loading = false;
      if (error === null) return;
      const why = faultOf(error);
      for (const { health } of this.#partitions.values()) if (health.why === 'functions') health.failed(why);
    });
  }

  #faultOf(error: Error | null): Fault {
    if (error === null) return 'answer';
    const fault = faultOf(error);
    // Whom a server does not know it may still take for somebody else, until the connection is closed.
    if (this.#cause === 'credentials') return this.#cause;
    return fault === 'closed' ? (this.#cause ?? fault) : fault;
  }

  /** Once a turn, of all that changed in it; and what is down is probed. */
  #tell(): void {
    if (this.#telling || this.#closed) return;
    this.#telling = true;
    setImmediate(() => {
      this.#telling = false;
      if (this.#closed) return;
      for (const partition of this.#partitions.values()) if (!partition.health.up) this.#probe(partition);
      const { standing } = this;
      const { up, down, why } = this.#known;
      if (up === standing.up && down === standing.down && why === standing.why) return;
      this.#known = standing;
      this.#changed(standing);
    });
  }

  #after(ms: number, act: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer;
  }

  #clear(timer: NodeJS.Timeout | undefined): void {
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(timer);
  }
}
