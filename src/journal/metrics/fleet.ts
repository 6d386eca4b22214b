// What is counted of the calls to the fleet's counters, by all threads of this process.

import { Counter, Gauge, type Registry } from 'prom-client';
import { exposed } from './family.js';

/** What a thread counted; its buckets are not cumulated, the last is beyond all bounds. */
export interface CountedCalls {
  answered: number;
  failed: number;
  late: number;
  buckets: readonly number[];
  seconds: number;
}

const SECONDS = 'portcullis_limits_shared_call_seconds';

export class FleetMetrics {
  readonly #calls: Counter<'result'>;
  readonly #buckets: number[] = [];
  #seconds = 0;
  #answered = 0;
  #bounds: readonly number[] = [];
  #up: () => boolean | null = () => null;

  constructor(registry: Registry) {
    const registers = [registry];
    const up = () => this.#up();
    this.#calls = new Counter({
      name: 'portcullis_limits_shared_calls_total',
      help: "Calls to the fleet's counters, each for all requests of a moment, by result; late: their bound was over, failed: they were refused, or nobody could be asked.",
      labelNames: ['result'],
      registers,
    });
    new Gauge({
      name: 'portcullis_limits_shared_up',
      help: "Whether all of the fleet's counters can be asked from all threads: 1, or 0. Absent without such counters.",
      registers,
      collect() {
        // Without labels, reset would leave a 0.
        this.remove();
        const now = up();
        if (now !== null) this.set(now ? 1 : 0);
      },
    });
    registry.registerMetric({ ...this.#histogram(), name: SECONDS } as never);
  }

  /** Told by who hears the threads: null when there are no such counters. */
  up(up: () => boolean | null): void {
    this.#up = up;
  }

  /** `bounds`: of the buckets, in seconds. */
  counted(bounds: readonly number[], { answered, failed, late, buckets, seconds }: CountedCalls): void {
    for (const [result, count] of Object.entries({ answered, failed, late })) this.#calls.inc({ result }, count);
    this.#bounds = bounds;
    for (const [place, count] of buckets.entries()) this.#buckets[place] = (this.#buckets[place] ?? 0) + count;
    this.#seconds += seconds;
    this.#answered += answered;
  }

  #histogram() {
    const get = () => {
      let sum = 0;
      const buckets = this.#bounds.map((bound, place): [number, number] => {
        sum += this.#buckets[place] ?? 0;
        return [bound, sum];
      });
      const samples = [{ labels: {}, buckets, sum: this.#seconds, count: this.#answered }];
      return exposed({
        name: SECONDS,
        help: HELP,
        type: 'histogram',
        samples: this.#answered > 0 ? samples : [],
      }).get();
    };
    return { get, reset: () => {} };
  }
}

const HELP = "How long calls to the fleet's counters took that were answered in time.";
