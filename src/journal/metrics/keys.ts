// What is counted of API keys beside requests: how fresh what is enforced is, and what ends soon.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Days } from './revocation.js';

export class KeyMetrics {
  readonly #propagation: Histogram;
  readonly #failures: Counter;
  readonly #refused: Counter;
  readonly #expiring: Gauge<'within'>;
  #lag: () => number = () => 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const lag = () => this.#lag();
    new Gauge({
      name: 'portcullis_keys_lag_seconds',
      help: 'Since when the store was last read for keys; what is older than that is in force here.',
      registers,
      collect() {
        this.set(lag());
      },
    });
    this.#propagation = new Histogram({
      name: 'portcullis_keys_propagation_seconds',
      help: 'From the revocation of a key to the moment when this process refuses it.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 30],
      registers,
    });
    this.#failures = new Counter({
      name: 'portcullis_keys_read_failures_total',
      help: 'Looks at the store for keys that failed.',
      registers,
    });
    this.#refused = new Counter({
      name: 'portcullis_keys_unusable_total',
      help: 'Keys of the store that the engine would not take: more than it holds, or rows that nobody can read.',
      registers,
    });
    this.#expiring = new Gauge({
      name: 'portcullis_keys_expiring',
      help: 'Keys that expire within so many days and are not revoked.',
      labelNames: ['within'],
      registers,
    });
  }

  /** Told by the flow: seconds, at the moment of the scrape. */
  lag(seconds: () => number): void {
    this.#lag = seconds;
  }

  revoked(seconds: number): void {
    // Two machines' clocks may differ.
    this.#propagation.observe(Math.max(0, seconds));
  }

  failed(): void {
    this.#failures.inc();
  }

  unusable(): void {
    this.#refused.inc();
  }

  expiring(counts: readonly { days: Days; count: number }[]): void {
    for (const { days, count } of counts) this.#expiring.set({ within: `${days}d` }, count);
  }
}
