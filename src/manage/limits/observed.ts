// What is asked of the recorded volume: rows as they are, limits that would fit, and what a limit would have done.
//
// Each question reads all that it is about, page by page; they come one after the other, so that any number of them
// occupies the main thread as one does.

import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import { paged, readCursor } from '../admin/cursor.js';
import type { Store } from '../store/open.js';
import type { VolumesTable } from '../store/tables.js';
import { type Described, type Recommendation, Recommending } from './recommend.js';
import { placeOf, recorded, rowsBehind, type Wanted } from './recorded.js';
import { type Draft, type Simulated, Simulation } from './simulate.js';
import { Spread } from './spread.js';
import { unpack } from './volume.js';

/** Where a page ended. */
const PLACE = z.tuple([z.string(), z.string(), z.int(), z.string()]);
/** Sessions of a row that are told. */
const SHOWN_SESSIONS = 10;

/** Hosts with the operations of their descriptions. */
export type Operations = readonly {
  name: string;
  operations: readonly { id: string; method: string; path: string }[];
  /** It says what identifies a session. */
  sessions: boolean;
}[];

export class Observed {
  readonly #db: Store['db'];
  readonly #hosts: () => Operations;
  #turn: Promise<unknown> = Promise.resolve();

  constructor({ db }: Store, hosts: () => Operations) {
    this.#db = db;
    this.#hosts = hosts;
  }

  /** By host, operation, time and process. */
  async page(wanted: Wanted, cursor: string | undefined, limit: number) {
    const rows = await rowsBehind(this.#db, wanted, readCursor(PLACE, cursor), limit + 1);
    const { items, next } = paged(rows, limit, placeOf, shownRow);
    return { items: items.filter(item => item !== null), next };
  }

  /** One of each operation that was asked for, by host and operation. */
  recommend(wanted: Wanted): Promise<Recommendation[]> {
    return this.#inTurn(async () => {
      const all = new Map<string, { host: string; operation: string; recommending: Recommending }>();
      for await (const bucket of recorded(this.#db, wanted)) {
        const { host, operation } = bucket;
        const place = JSON.stringify([host, operation]);
        const one = all.get(place) ?? { host, operation, recommending: new Recommending() };
        all.set(place, one);
        one.recommending.add(bucket);
      }
      const hosts = this.#hosts();
      return [...all.values()].map(({ host, operation, recommending }) => {
        return recommending.result(host, operation, described(hosts, host, operation));
      });
    });
  }

  /** `most`: sessions that are told one by one. */
  simulate(draft: Draft, wanted: Wanted & { host: string; operation: string }, most: number): Promise<Simulated> {
    return this.#inTurn(async () => {
      const simulation = new Simulation(draft);
      for await (const bucket of recorded(this.#db, wanted)) simulation.add(bucket);
      return simulation.result(most);
    });
  }

  /** The host whose operation is meant. */
  async hostOf(operation: string): Promise<string> {
    const rows = await this.#db
      .selectFrom('volumes')
      .select('host')
      .distinct()
      .where('operation', '=', operation)
      .orderBy('host')
      .execute();
    const [first, ...others] = rows.map(({ host }) => host);
    if (first === undefined) {
      throw new Refusal(404, `Nothing is recorded of an operation ${JSON.stringify(operation)}.`, NOTHING_YET);
    }
    if (others.length === 0) return first;
    throw new Refusal(422, 'Several hosts have such an operation.', `Say \`host\`: ${[first, ...others].join(', ')}.`);
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(act);
    this.#turn = result.catch(() => {});
    return result;
  }
}

export const NOTHING_YET = 'Volume is recorded in steps of ten minutes, from the first request on.';

function described(hosts: Operations, host: string, operation: string): Described {
  const { operations = [], sessions = false } = hosts.find(({ name }) => name === host) ?? {};
  const { method = null, path = null } = operations.find(({ id }) => id === operation) ?? {};
  return { method, path, sessions };
}

function shownRow({ host, operation, bucket, node, data }: VolumesTable) {
  const volume = unpack(data);
  if (!volume) return null;
  const { requests, anonymous, sessions, share, methods, statuses, heaviest } = volume;
  const spread = new Spread();
  spread.add([volume]);
  return {
    ...{ host, operation, from: new Date(bucket).toISOString(), node, requests, anonymous, sessions, share },
    ...{ p50: spread.percentile(50), p90: spread.percentile(90), p99: spread.percentile(99), methods, statuses },
    heaviest: heaviest.slice(0, SHOWN_SESSIONS).map(([session, count, second, tenSeconds, minute]) => ({
      ...{ session, requests: count, peak_1s: second, peak_10s: tenSeconds, peak_60s: minute },
    })),
  };
}
