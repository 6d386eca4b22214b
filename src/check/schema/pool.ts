// Bodies that are too large to be inspected in place go to threads of their own.
//
// Tickets of one turn of the loop travel as one task, because a task costs more than a small body's check. Every
// ticket that was taken comes back exactly once, through `done` or `failed`: an exchange never waits for good.
//
// A thread that dies takes its task along. Its tickets are tried once more, each by itself, so that one body that kills
// threads takes no other with it; such a body then fails for good.

import { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';

export interface InspectOptions {
  /** Threads of this edge thread's pool; at least one. */
  threads: number;
  /** These tickets were inspected: their verdicts lie in native memory. */
  done: (tickets: Iterable<number>) => void;
  /** These were not, or not in time; `done` when absent: a ticket without a verdict is a refusal there. */
  failed?: (tickets: Iterable<number>) => void;
  /** Most tickets waiting or under inspection. */
  depth?: number;
  /** From `submit` to the verdict. */
  timeoutMs?: number;
  /** What the threads run; another one in tests. */
  worker?: URL;
}

/** Half of the places that native memory has for the whole process (native/door/src/tickets.rs). */
const DEPTH = 512;
/** A verdict has a bound of steps that is reached within half a second: what takes longer waits for a thread. */
const TIMEOUT_MS = 5_000;
/** How often overdue tasks are looked for. */
const WATCH_MS = 250;

interface Task {
  tickets: Uint32Array;
  submittedMs: number;
  /** A first attempt failed already. */
  again: boolean;
  /** piscina ends the thread of a running task when this says `abort`, and starts another. */
  signal: EventEmitter;
}

/** Sums since the start, for metrics. */
export interface Waits {
  tasks: number;
  tickets: number;
  /** Of tasks: from the first ticket's `submit` to the moment a thread began. */
  seconds: number;
  failed: number;
  /** Tickets that were tried a second time. */
  retried: number;
}

export class InspectPool {
  readonly waits: Waits = { tasks: 0, tickets: 0, seconds: 0, failed: 0, retried: 0 };
  readonly #piscina: Piscina<Uint32Array, number>;
  readonly #options: InspectOptions;
  readonly #limit: number;
  readonly #timeoutMs: number;
  readonly #watch: NodeJS.Timeout;
  readonly #running = new Set<Task>();
  #gathered: number[] = [];
  #gatheredMs = 0;
  #depth = 0;
  #closing: Promise<void> | null = null;

  constructor(options: InspectOptions) {
    this.#options = options;
    this.#limit = options.depth ?? DEPTH;
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    const threads = Math.max(1, options.threads);
    this.#piscina = new Piscina({
      filename: fileURLToPath(options.worker ?? new URL('./inspect.js', import.meta.url)),
      minThreads: threads,
      maxThreads: threads,
      closeTimeout: this.#timeoutMs,
      // Two calls of performance.now() and a histogram per task, for figures that `waits` has already.
      recordTiming: false,
    });
    // A thread that dies takes its task along, whose promise tells of it; without a listener it would end the process.
    this.#piscina.on('error', () => {});
    this.#watch = setInterval(() => this.#overdue(), WATCH_MS).unref();
  }

  /** Tickets waiting or under inspection. */
  get depth(): number {
    return this.#depth;
  }

  /** Takes a ticket, or answers false when the queue is full: the exchange is then refused as overload. */
  submit(ticket: number): boolean {
    if (this.#depth >= this.#limit || this.#closing !== null) return false;
    this.#depth += 1;
    if (this.#gathered.push(ticket) === 1) {
      this.#gatheredMs = now();
      // Behind the poll phase: everything that this turn of the loop has read is gathered by then.
      setImmediate(() => this.#send());
    }
    return true;
  }

  /** Waits for what is under way, then ends the threads. Every ticket has come back when it resolves. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  #send(): void {
    if (this.#gathered.length === 0) return;
    const tickets = Uint32Array.from(this.#gathered);
    this.#gathered = [];
    this.#run({ tickets, submittedMs: this.#gatheredMs, again: false, signal: new EventEmitter() });
  }

  #run(task: Task): void {
    this.#running.add(task);
    this.#piscina.run(task.tickets, { signal: task.signal }).then(
      begunMs => this.#finish(task, begunMs),
      () => this.#died(task),
    );
  }

  /** A task that was given up for its time is finished already, and one that ends with the pool has no thread left. */
  #died(task: Task): void {
    if (task.again || this.#closing !== null) {
      this.#finish(task, null);
    } else if (this.#running.delete(task)) {
      this.waits.retried += task.tickets.length;
      for (const ticket of task.tickets) {
        this.#run({ ...task, tickets: Uint32Array.of(ticket), again: true, signal: new EventEmitter() });
      }
    }
  }

  /** `begunMs` is null when the task failed. A task that was given up is finished already. */
  #finish(task: Task, begunMs: number | null): void {
    if (!this.#running.delete(task)) return;
    this.#depth -= task.tickets.length;
    this.waits.tasks += 1;
    this.waits.tickets += task.tickets.length;
    if (begunMs === null) {
      this.waits.failed += task.tickets.length;
      (this.#options.failed ?? this.#options.done)(task.tickets);
    } else {
      this.waits.seconds += Math.max(0, begunMs - task.submittedMs) / 1_000;
      this.#options.done(task.tickets);
    }
  }

  #overdue(): void {
    const limit = now() - this.#timeoutMs;
    for (const task of this.#running) {
      // Those that are tried again stand behind younger ones.
      if (task.submittedMs > limit) continue;
      this.#finish(task, null);
      task.signal.emit('abort');
    }
  }

  async #end(): Promise<void> {
    this.#send();
    // What piscina cannot finish within `closeTimeout` it gives up: those promises then tell of it.
    await this.#piscina.close().catch(() => {});
    await this.#piscina.destroy().catch(() => {});
    for (const task of this.#running) this.#finish(task, null);
    clearInterval(this.#watch);
  }
}

/** Comparable between threads, unlike performance.now() alone. */
function now(): number {
  return performance.timeOrigin + performance.now();
}
