// What is counted of revocation and expiry: how fresh what is enforced is, how fetching goes, and what ends soon.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export type Fetched = 'replaced' | 'unchanged' | 'failed' | 'refused';
export type Days = 30 | 7 | 1;
export const DAYS: readonly Days[] = [30, 7, 1];

export interface Expiry {
  kind: 'authority' | 'server' | 'crl';
  name: string;
  /** Unix milliseconds. */
  at: number;
}

export class RevocationMetrics {
  readonly #propagation: Histogram;
  readonly #failures: Counter;
  readonly #fetches: Counter<'authority' | 'kind' | 'result'>;
  readonly #answers: Counter<'kind' | 'result'>;
  readonly #expiry: Gauge<'kind' | 'name'>;
  readonly #expiring: Gauge<'authority' | 'within'>;
  #lag: () => number = () => 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const lag = () => this.#lag();
    new Gauge({
      name: 'portcullis_revocation_lag_seconds',
      help: 'Since when the store was last read for revocations; what is older than that is in force here.',
      registers,
      collect() {
        this.set(lag());
      },
    });
    this.#propagation = new Histogram({
      name: 'portcullis_revocation_propagation_seconds',
      help: 'From a revocation to the moment when this process refuses the certificate.',
      buckets: [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 30],
      registers,
    });
    this.#failures = new Counter({
      name: 'portcullis_revocation_read_failures_total',
      help: 'Looks at the store for revocations that failed.',
      registers,
    });
    this.#fetches = new Counter({
      name: 'portcullis_revocation_fetches_total',
      help: 'Revocation lists (kind crl) and OCSP answers (kind ocsp) of brought authorities, by result.',
      labelNames: ['authority', 'kind', 'result'],
      registers,
    });
    this.#answers = new Counter({
      name: 'portcullis_published_answers_total',
      help: 'Answers of the listener for revocation lists, OCSP and certificates of authorities, by kind and result.',
      labelNames: ['kind', 'result'],
      registers,
    });
    this.#expiry = new Gauge({
      name: 'portcullis_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of an authority or server expires, or a revocation list is due; the earliest of a name.',
      labelNames: ['kind', 'name'],
      registers,
    });
    this.#expiring = new Gauge({
      name: 'portcullis_issued_certificates_expiring',
      help: 'Issued certificates that expire within so many days and are not revoked, by authority.',
      labelNames: ['authority', 'within'],
      registers,
    });
  }

  /** Told by the flow: seconds, at the moment of the scrape. */
  lag(seconds: () => number): void {
    this.#lag = seconds;
  }

  applied(seconds: number): void {
    // Two machines' clocks may differ.
    this.#propagation.observe(Math.max(0, seconds));
  }

  failed(): void {
    this.#failures.inc();
  }

  fetched(authority: string, kind: 'crl' | 'ocsp', result: Fetched): void {
    this.#fetches.inc({ authority, kind, result });
  }

  answered(kind: 'crl' | 'ocsp' | 'ca', result: string): void {
    this.#answers.inc({ kind, result });
  }

  /** All there are; names that are gone leave no gauge. */
  expiries(all: readonly Expiry[]): void {
    this.#expiry.reset();
    for (const { kind, name, at } of all) this.#expiry.set({ kind, name }, at / 1_000);
  }

  expiring(counts: readonly { authority: string; days: Days; count: number }[]): void {
    this.#expiring.reset();
    for (const { authority, days, count } of counts) this.#expiring.set({ authority, within: `${days}d` }, count);
  }
}
