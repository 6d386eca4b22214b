// What is counted of limits beside requests: how fresh exemptions are, and what of the observed volume is recorded.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export class LimitMetrics {
  readonly #exemptions: Gauge;
  readonly #resets: Histogram;
  readonly #failures: Counter;
  readonly #rows: Counter;
  readonly #dropped: Counter;
  readonly #waiting: Gauge;
  #lag: () => number = () => 0;
  #volumesLag: () => number = () => 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const lag = () => this.#lag();
    const volumesLag = () => this.#volumesLag();
    this.#exemptions = new Gauge({
      name: 'portcullis_limits_exemptions',
      help: 'Keys that a limit does not hold for.',
      registers,
    });
    new Gauge({
      name: 'portcullis_limits_lag_seconds',
      help: 'Since when the store was last read for exemptions and resets; what is older than that is in force here.',
      registers,
      collect() {
        this.set(lag());
      },
    });
    this.#resets = new Histogram({
      name: 'portcullis_limits_reset_seconds',
      help: 'From the reset of a key to the moment when this process has forgotten what it spent.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 30],
      registers,
    });
    this.#failures = new Counter({
      name: 'portcullis_limits_read_failures_total',
      help: 'Looks at the store for exemptions and resets that failed.',
      registers,
    });
    this.#rows = new Counter({
      name: 'portcullis_limits_volumes_recorded_total',
      help: 'Rows of observed volume that were written to the store: one of each operation and ten minutes.',
      registers,
    });
    this.#dropped = new Counter({
      name: 'portcullis_limits_volumes_dropped_total',
      help: 'Rows of observed volume that were given up, because the store was away for too long or they were too large.',
      registers,
    });
    this.#waiting = new Gauge({
      name: 'portcullis_limits_volumes_waiting',
      help: 'Rows of observed volume that wait for the store.',
      registers,
    });
    new Gauge({
      name: 'portcullis_limits_volumes_lag_seconds',
      help: 'Since when all volume that was observed by then is in the store.',
      registers,
      collect() {
        this.set(volumesLag());
      },
    });
  }

  /** Told by who follows: seconds, at the moment of the scrape. */
  lag(seconds: () => number): void {
    this.#lag = seconds;
  }

  /** Told by who records. */
  volumesLag(seconds: () => number): void {
    this.#volumesLag = seconds;
  }

  exemptions(count: number): void {
    this.#exemptions.set(count);
  }

  reset(seconds: number): void {
    // Two machines' clocks may differ.
    this.#resets.observe(Math.max(0, seconds));
  }

  failed(): void {
    this.#failures.inc();
  }

  recorded(rows: number): void {
    this.#rows.inc(rows);
  }

  dropped(rows: number): void {
    this.#dropped.inc(rows);
  }

  waiting(rows: number): void {
    this.#waiting.set(rows);
  }
}
