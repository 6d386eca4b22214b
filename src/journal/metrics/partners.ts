// What is counted of partners: how they stand, what ends soon, and how fresh what is enforced is.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Days } from './revocation.js';

export const PARTNER_STATUSES = ['active', 'suspended', 'expired'] as const;
export type PartnerStatus = (typeof PARTNER_STATUSES)[number];

export class PartnerMetrics {
  readonly #partners: Gauge<'status'>;
  readonly #expiring: Gauge<'within'>;
  readonly #propagation: Histogram;
  readonly #failures: Counter;
  #lag: () => number = () => 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const lag = () => this.#lag();
    this.#partners = new Gauge({
      name: 'portcullis_partners',
      help: 'Partners by status.',
      labelNames: ['status'],
      registers,
    });
    this.#expiring = new Gauge({
      name: 'portcullis_partners_expiring',
      help: 'Partners that expire within so many days and are not suspended.',
      labelNames: ['within'],
      registers,
    });
    new Gauge({
      name: 'portcullis_partners_lag_seconds',
      help: 'Since when the store was last read for partners; what is older than that is in force here.',
      registers,
      collect() {
        this.set(lag());
      },
    });
    this.#propagation = new Histogram({
      name: 'portcullis_partners_suspension_seconds',
      help: 'From the suspension of a partner to the moment when this process refuses what is its own.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 30],
      registers,
    });
    this.#failures = new Counter({
      name: 'portcullis_partners_read_failures_total',
      help: 'Looks at the store for partners that failed, or found what the engine does not take.',
      registers,
    });
  }

  /** Told by who follows: seconds, at the moment of the scrape. */
  lag(seconds: () => number): void {
    this.#lag = seconds;
  }

  suspended(seconds: number): void {
    // Two machines' clocks may differ.
    this.#propagation.observe(Math.max(0, seconds));
  }

  failed(): void {
    this.#failures.inc();
  }

  standing(counts: Readonly<Record<PartnerStatus, number>>): void {
    for (const status of PARTNER_STATUSES) this.#partners.set({ status }, counts[status]);
  }

  expiring(counts: readonly { days: Days; count: number }[]): void {
    for (const { days, count } of counts) this.#expiring.set({ within: `${days}d` }, count);
  }
}
