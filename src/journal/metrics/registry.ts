// What GET /metrics answers: the families counted in native code, those counted here, and the process's own.

import { type Counter, Counter as CounterMetric, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { exposed, type Family, type Labels } from './family.js';
import { FleetMetrics } from './fleet.js';
import { JwtMetrics } from './jwt.js';
import { KeyMetrics } from './keys.js';
import { LimitMetrics } from './limits.js';
import { PartnerMetrics } from './partners.js';
import { RevocationMetrics } from './revocation.js';

/** Gauges of prom-client whose names end in `_total`, which Prometheus reserves for counters. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export type Reload = 'applied' | 'refused';

export class Metrics {
  readonly #own = new Registry();
  readonly revocation = new RevocationMetrics(this.#own);
  readonly jwt = new JwtMetrics(this.#own);
  readonly keys = new KeyMetrics(this.#own);
  readonly partners = new PartnerMetrics(this.#own);
  readonly limits = new LimitMetrics(this.#own);
  readonly fleet = new FleetMetrics(this.#own);
  readonly #native: () => string;
  readonly #successful: Gauge;
  readonly #timestamp: Gauge;
  readonly #reloads: Counter<'result'>;
  readonly #replacements: Counter<'why'>;
  readonly #storeUp: Gauge;
  readonly #adminFailures: Counter<'why'>;

  constructor(native: () => string, build: Labels) {
    this.#native = native;
    const registers = [this.#own];
    this.#successful = new Gauge({
      name: 'portcullis_config_last_reload_successful',
      help: 'Whether the configuration was applied when it was last loaded: 1, or 0 when it was refused.',
      registers,
    });
    this.#timestamp = new Gauge({
      name: 'portcullis_config_last_reload_timestamp_seconds',
      help: 'When the configuration in force was loaded.',
      registers,
    });
    this.#reloads = new CounterMetric({
      name: 'portcullis_config_reloads_total',
      help: 'Loads of the configuration after the start, by result.',
      labelNames: ['result'],
      registers,
    });
    this.#replacements = new CounterMetric({
      name: 'portcullis_edge_replacements_total',
      help: 'Edge threads that were replaced by fresh ones, by cause.',
      labelNames: ['why'],
      registers,
    });
    this.#storeUp = new Gauge({
      name: 'portcullis_store_up',
      help: 'Whether the store answered when it was last asked: 1, or 0. Requests are served either way.',
      registers,
    });
    this.#adminFailures = new CounterMetric({
      name: 'portcullis_admin_authentication_failures_total',
      help: 'Credentials that the admin API refused, by what was wrong with them.',
      labelNames: ['why'],
      registers,
    });
    new Gauge({
      name: 'portcullis_build_info',
      help: 'What is running; always 1.',
      labelNames: Object.keys(build),
      registers,
    }).set(build, 1);
    for (const result of ['applied', 'refused']) this.#reloads.inc({ result }, 0);
    // Every 10 ms, the default, wakes an idle process a hundred times a second.
    collectDefaultMetrics({ register: this.#own, eventLoopMonitoringPrecision: 100 });
    for (const name of MISNAMED) this.#own.removeSingleMetric(name);
  }

  loaded(): void {
    this.#successful.set(1);
    this.#timestamp.setToCurrentTime();
  }

  reloaded(result: Reload): void {
    this.#reloads.inc({ result });
    if (result === 'applied') this.loaded();
    else this.#successful.set(0);
  }

  edgeReplaced(why: string): void {
    this.#replacements.inc({ why });
  }

  storeUp(up: boolean): void {
    this.#storeUp.set(up ? 1 : 0);
  }

  adminRefused(why: string): void {
    this.#adminFailures.inc({ why });
  }

  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;

  async text(): Promise<string> {
    const counted = new Registry();
    for (const family of JSON.parse(this.#native()) as Family[]) counted.registerMetric(exposed(family) as never);
    return `${await counted.metrics()}\n${await this.#own.metrics()}`;
  }
}
