// The edge threads: started together, replaced one by one, drained at the end.
//
// A place is one of the `threads` that the configuration asks for. At any time one thread serves it; while it is
// replaced, the fresh one listens before the old one drains, so that the port is never closed.

import type { EdgeOptions } from '../edge.js';
import { EdgeThread, type Failure, type HearCounters, type StartThread } from './edge-thread.js';
import type { Log } from './log.js';
import { type AnswerOwn, contained, notHere } from './own-paths.js';

/** Loading the addon and listening takes a fraction of a second. */
const START_MS = 15_000;
const FIRST_BACKOFF_MS = 100;
/** A thread that fails again and again is replaced this often, not more. */
const MAX_BACKOFF_MS = 5_000;
/** A thread that served for so long was not broken from the start. */
const STEADY_MS = 30_000;
/** From the end of the grace to a thread's end. */
const END_MARGIN_MS = 1_000;
/** How long a reload waits until the old threads take no new connections: one turn of their loops is usual. */
const STOP_MS = 5_000;

export interface Plan extends Omit<EdgeOptions, 'thread'> {
  threads: number;
  graceMs: number;
}

interface Place {
  thread: EdgeThread;
  since: number;
  backoff: number;
}

export class Edges {
  #plan: Plan;
  #places: Place[] = [];
  readonly #alive = new Set<EdgeThread>();
  readonly #start: StartThread;
  readonly #log: Log;
  readonly #replaced: (why: string) => void;
  readonly #own: AnswerOwn;
  readonly #told: HearCounters;
  #stopping = false;

  constructor(
    plan: Plan,
    start: StartThread,
    log: Log,
    replaced: (why: string) => void,
    own: AnswerOwn = notHere,
    told: HearCounters = () => {},
  ) {
    this.#plan = plan;
    this.#start = start;
    this.#log = log;
    this.#replaced = replaced;
    this.#own = contained(own, log);
    this.#told = told;
  }

  /** Whether every place is served. */
  get ready(): boolean {
    return (
      !this.#stopping &&
      this.#places.length === this.#plan.threads &&
      this.#places.every(({ thread }) => thread.state === 'listening')
    );
  }

  /** Where they listen; the port is the actual one when the plan left it to the system. */
  get listen(): Plan['listen'] {
    return this.#plan.listen;
  }

  /** Rejects when a thread cannot be started. */
  async start(): Promise<void> {
    this.#places = await this.#startAll();
  }

  /** A plan that changes nothing for running threads. */
  adopt(plan: Plan): void {
    this.#plan = plan;
  }

  /**
   * Fresh threads by another plan; the old ones take no new connections when it resolves. Rejects, and goes on with the
   * old ones, when the fresh ones cannot be started. `between` is done when the fresh ones serve, and before the old
   * ones drain.
   */
  async replaceAll(plan: Plan, why: string, between: () => Promise<void> = async () => {}): Promise<void> {
    const [before, old] = [this.#plan, this.#places];
    this.#plan = plan;
    try {
      this.#places = await this.#startAll();
    } catch (error) {
      this.#plan = before;
      throw error;
    }
    await between();
    for (const { thread } of old) {
      this.#log.info({ thread: thread.number, why }, 'an edge thread is replaced');
      this.#replaced(why);
      void thread.drain(before.graceMs);
    }
    // What connects from here on meets the new plan. A thread that hangs is not waited for.
    const stopped = Promise.all(old.map(({ thread }) => thread.stopped));
    await Promise.race([stopped, new Promise(resolve => setTimeout(resolve, STOP_MS).unref())]);
  }

  /** From now on each answer is the last of its connection; new connections are still taken. */
  announce(): void {
    for (const thread of this.#alive) thread.tell({ type: 'last' });
  }

  /** Drains all; how many exchanges were cut off, or null when not every thread ended by itself. */
  async stop(graceMs = this.#plan.graceMs): Promise<number | null> {
    this.#stopping = true;
    const threads = [...this.#alive];
    const cut = () => threads.reduce((sum, thread) => sum + (thread.cut ?? 0), 0);
    const ended = Promise.all(threads.map(thread => thread.drain(graceMs))).then(cut);
    const late = new Promise<null>(resolve => setTimeout(resolve, graceMs + END_MARGIN_MS, null).unref());
    return Promise.race([ended, late]);
  }

  async #startAll(): Promise<Place[]> {
    // The first settles which port is meant when the configuration leaves it to the system.
    const first = await this.#startOne();
    const others = await Promise.allSettled(Array.from({ length: this.#plan.threads - 1 }, () => this.#startOne()));
    const threads = [first, ...others.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))];
    const refused = others.find(one => one.status === 'rejected');
    if (refused) {
      for (const thread of threads) void thread.drain(0);
      throw refused.reason;
    }
    return threads.map(thread => ({ thread, since: Date.now(), backoff: 0 }));
  }

  async #startOne(): Promise<EdgeThread> {
    const { threads: _threads, graceMs: _graceMs, ...shared } = this.#plan;
    const thread = new EdgeThread(
      this.#freeNumber(),
      this.#start({ ...shared, thread: this.#freeNumber() }),
      failure => this.#failed(thread, failure),
      this.#own,
      this.#told,
    );
    this.#alive.add(thread);
    void thread.ended.then(() => this.#alive.delete(thread));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`an edge thread did not listen within ${START_MS} ms`)), START_MS);
    });
    try {
      const port = await Promise.race([thread.listening, late]);
      if (this.#plan.listen.port === 0) this.#plan = { ...this.#plan, listen: { ...this.#plan.listen, port } };
      return thread;
    } catch (error) {
      void thread.drain(0);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The smallest number that no living thread has. */
  #freeNumber(): number {
    const taken = new Set([...this.#alive].map(({ number }) => number));
    let number = 0;
    while (taken.has(number)) number += 1;
    return number;
  }

  #failed(thread: EdgeThread, { why, message }: Failure): void {
    const place = this.#places.find(candidate => candidate.thread === thread);
    this.#log.error({ thread: thread.number, why, error: message }, 'an edge thread failed');
    if (place && !this.#stopping) void this.#replace(place, why);
  }

  async #replace(place: Place, why: string): Promise<void> {
    const old = place.thread;
    const steady = Date.now() - place.since >= STEADY_MS;
    for (;;) {
      if (place.backoff > 0 && !steady) await new Promise(resolve => setTimeout(resolve, place.backoff));
      place.backoff = steady ? FIRST_BACKOFF_MS : Math.min(MAX_BACKOFF_MS, place.backoff * 2 || FIRST_BACKOFF_MS);
      // Meanwhile all may have been replaced by another plan, or be on their way out.
      if (this.#stopping || !this.#places.includes(place)) return;
      try {
        const fresh = await this.#startOne();
        if (this.#stopping || !this.#places.includes(place)) {
          void fresh.drain(0);
          return;
        }
        Object.assign(place, { thread: fresh, since: Date.now() });
        break;
      } catch (error) {
        this.#log.error({ error: (error as Error).message }, 'an edge thread could not be replaced yet');
      }
    }
    this.#replaced(why);
    this.#log.warn({ old: old.number, thread: place.thread.number, why }, 'an edge thread was replaced');
    void old.drain(this.#plan.graceMs);
  }
}
