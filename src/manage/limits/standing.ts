// How all threads fare with the fleet's counters: one metric, and one line of the log for each change that lasts.

import type { Told } from '../../check/limits/asking.js';
import { CALL_SECONDS } from '../../check/limits/counted.js';
import { FAULTS, type Fault } from '../../check/limits/faults.js';
import type { Standing } from '../../check/limits/fleet.js';
import type { FleetMetrics } from '../../journal/metrics/fleet.js';
import type { Log } from '../log.js';

/** Connections are made, and functions loaded, in less: what is over by then was nothing. */
const LASTS_MS = 250;
/** A server that comes and goes is told of this often, not more. */
const BETWEEN_MS = 5_000;

export class Standings {
  readonly #log: Log;
  readonly #metrics: FleetMetrics;
  readonly #threads = new Map<number, Standing>();
  #told: Fault | null = null;
  #toldAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;

  constructor(log: Log, metrics: FleetMetrics) {
    this.#log = log;
    this.#metrics = metrics;
    metrics.up(() => (this.#threads.size === 0 ? null : this.#worst === null));
  }

  hear(thread: number, { standing, counted }: Told): void {
    this.#metrics.counted(CALL_SECONDS, counted);
    if (standing === null) this.#threads.delete(thread);
    else this.#threads.set(thread, standing);
    this.#look();
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#threads.clear();
  }

  /** Of all threads the first that has something to tell. */
  get #worst(): Standing | null {
    for (const standing of this.#threads.values()) if (standing.why !== null) return standing;
    return null;
  }

  #look(): void {
    if (this.#timer || (this.#worst?.why ?? null) === this.#told) return;
    const ms = Math.max(LASTS_MS, this.#toldAt + BETWEEN_MS - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#tell();
    }, ms);
    this.#timer.unref();
  }

  #tell(): void {
    const worst = this.#worst;
    const why = worst?.why ?? null;
    if (why === this.#told) return;
    this.#told = why;
    this.#toldAt = performance.now();
    if (worst === null || why === null) this.#log.info("the fleet's counters answer again");
    else if (worst.up) {
      this.#log.error(
        { why, parts: worst.down },
        `some of the fleet's counters do not answer: ${FAULTS[why]}. Limits of their keys do as their \`fallback\` says`,
      );
    } else {
      this.#log.error(
        { why },
        `the fleet's counters do not answer: ${FAULTS[why]}. Limits do as their \`fallback\` says`,
      );
    }
  }
}
