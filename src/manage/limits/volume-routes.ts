// /limits/volumes, /limits/recommendations and /limits/simulations: what was asked, and what limits would make of it.

import { type Api, page, Refusal } from '../admin/api.js';
import { timeOf } from './exemptions.js';
import type { Observed } from './observed.js';
import { PERIOD_S, type Recommendation } from './recommend.js';
import type { Hit, Simulated } from './simulate.js';
import { snippet } from './snippet.js';
import { BUCKET_MS } from './volume.js';
import * as shapes from './volume-shapes.js';

const tag = 'limits';

/** `record`: brings what has ended into the store, so that an answer lacks nothing that is known here. */
export function volumeRoutes(api: Api, observed: Observed, record: () => Promise<void>): void {
  api.operation(
    {
      id: 'listLimitVolumes',
      method: 'get',
      path: '/limits/volumes',
      summary: 'What was asked of each operation, in steps of ten minutes, for seven days.',
      role: 'viewer',
      tag,
      query: shapes.volumesQuery,
      answer: page(shapes.volume),
    },
    async ({ query: { cursor, limit, since, until, ...rest } }) => {
      await record();
      return { body: await observed.page({ ...rest, since: at(since), until: at(until) }, cursor, limit) };
    },
  );

  api.operation(
    {
      id: 'recommendLimits',
      method: 'get',
      path: '/limits/recommendations',
      summary: 'Limits that fit what was asked of each operation, with their reasons, and as a configuration.',
      role: 'viewer',
      tag,
      query: shapes.recommendQuery,
      answer: shapes.recommendations,
    },
    async ({ query: { since, ...rest } }) => {
      await record();
      const all = await observed.recommend({ ...rest, since: at(since) });
      return { body: { items: all.map(shownRecommendation), yaml: snippet(all) } };
    },
  );

  api.operation(
    {
      id: 'simulateLimit',
      method: 'post',
      path: '/limits/simulations',
      summary: 'Tell which sessions a limit would have refused.',
      role: 'viewer',
      tag,
      body: shapes.draft,
      answer: shapes.simulated,
      changes: false,
    },
    async ({ body }) => {
      const { operation, requests_per_period: amount, period_seconds: periodS, counters, since, most } = body;
      if (body.burst !== undefined && body.burst > amount) {
        throw new Refusal(422, 'The burst is above the requests of a period.', 'Leave it out, or lower it.', [
          { pointer: '/burst', detail: `is above ${amount}` },
        ]);
      }
      await record();
      const host = body.host ?? (await observed.hostOf(operation));
      const draft = { amount, periodS, burst: body.burst ?? amount, counters };
      const found = await observed.simulate(draft, { host, operation, since: at(since) }, most);
      return { body: { host, operation, ...shownSimulation(found) } };
    },
  );
}

function at(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

function shownRecommendation({ from, until, sensitivity, limit, confidenceReason, counted, ...rest }: Recommendation) {
  return {
    ...rest,
    ...{ from: timeOf(from), until: timeOf(until), ...sensitivity },
    ...{ requests_per_period: limit, period_seconds: PERIOD_S },
    ...{ confidence_reason: confidenceReason, counted_by: counted },
  };
}

function shownSimulation({ from, until, refused, hits, ...rest }: Simulated) {
  return {
    ...{ from: timeOf(from), until: timeOf(until), ...rest },
    ...{ refused_at_least: refused, hits: hits.map(shownHit), notes: notesOf(rest) },
  };
}

function shownHit({ refused, first, ...rest }: Hit) {
  return { ...rest, refused_at_least: refused, first_refused_until: timeOf(first && first + BUCKET_MS) };
}

function notesOf({
  buckets,
  share,
  sessions,
  others,
}: Omit<Simulated, 'from' | 'until' | 'refused' | 'hits'>): string[] {
  if (buckets === 0) return ['Nothing is recorded of it.'];
  return [
    ...(share < 1
      ? [
          `In some ten minutes only one of ${Math.round(1 / share)} sessions was counted: of the others nothing is known.`,
        ]
      : []),
    ...(sessions.possible > 0
      ? ['Possible: it depends on how the requests lay within ten minutes, of which only counts and peaks are kept.']
      : []),
    ...(others.verdict === 'spared'
      ? []
      : ['Of sessions beyond the 200 heaviest of ten minutes only their number is kept, not who they were.']),
  ];
}
