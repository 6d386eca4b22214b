// What is counted of key sets that are fetched, and of tokens taken back.

import { Counter, Gauge, type Registry } from 'prom-client';

export type KeySetFetched = 'replaced' | 'unchanged' | 'failed' | 'refused';

/** Of a configuration whose keys are fetched, at the moment of the scrape. */
export interface KeySetGauges {
  configuration: string;
  keys: number;
  /** Since the provider last said so; null: no set serves. */
  ageSeconds: number | null;
  /** Unix seconds. */
  nextFetch: number;
  failing: boolean;
}

export class JwtMetrics {
  readonly #fetches: Counter<'configuration' | 'result'>;
  readonly #failures: Counter;
  #sets: () => readonly KeySetGauges[] = () => [];
  #lag: () => number = () => 0;

  constructor(registry: Registry) {
    const registers = [registry];
    const lag = () => this.#lag();
    this.#fetches = new Counter({
      name: 'portcullis_jwt_key_set_fetches_total',
      help: 'Key sets that were fetched, by configuration and result; failed: there was no answer that could be read; refused: it held no usable set.',
      labelNames: ['configuration', 'result'],
      registers,
    });
    this.#gauge(
      registry,
      'portcullis_jwt_key_set_keys',
      'Keys of the set that serves; 0: tokens cannot be checked.',
      it => it.keys,
    );
    this.#gauge(
      registry,
      'portcullis_jwt_key_set_age_seconds',
      'Since when the set that serves was last fetched, or found unchanged; absent while none serves.',
      it => it.ageSeconds,
    );
    this.#gauge(
      registry,
      'portcullis_jwt_key_set_next_fetch_timestamp_seconds',
      'When the set is fetched again, unless a token of an unknown key comes first.',
      it => it.nextFetch,
    );
    this.#gauge(
      registry,
      'portcullis_jwt_key_set_last_fetch_successful',
      'Whether the set could be had when it was last asked for: 1, or 0.',
      it => (it.failing ? 0 : 1),
    );
    new Gauge({
      name: 'portcullis_jwt_revocation_lag_seconds',
      help: 'Since when the store was last read for tokens taken back; what is older than that is in force here.',
      registers,
      collect() {
        this.set(lag());
      },
    });
    this.#failures = new Counter({
      name: 'portcullis_jwt_revocation_read_failures_total',
      help: 'Looks at the store for tokens taken back that failed.',
      registers,
    });
  }

  /** Told by the flow. */
  sets(sets: () => readonly KeySetGauges[]): void {
    this.#sets = sets;
  }

  /** Told by the flow: seconds, at the moment of the scrape. */
  lag(seconds: () => number): void {
    this.#lag = seconds;
  }

  fetched(configuration: string, result: KeySetFetched): void {
    this.#fetches.inc({ configuration, result });
  }

  failed(): void {
    this.#failures.inc();
  }

  #gauge(registry: Registry, name: string, help: string, of: (set: KeySetGauges) => number | null): void {
    const sets = () => this.#sets();
    new Gauge({
      name,
      help,
      labelNames: ['configuration'],
      registers: [registry],
      collect() {
        // Configurations that are gone leave no gauge.
        this.reset();
        for (const set of sets()) {
          const value = of(set);
          if (value !== null) this.set({ configuration: set.configuration }, value);
        }
      },
    });
  }
}
