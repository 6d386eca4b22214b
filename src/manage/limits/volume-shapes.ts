// What the admin API takes and says of the observed volume, and of limits that come from it.

import { z } from 'zod';
import { paging } from '../admin/api.js';
import { visible } from '../pki/names.js';
import { time } from '../pki/shapes.js';
import { COUNTED } from './recommend.js';
import { CLASSES } from './sensitivity.js';

/** As in the configuration, and as operations are called there: an `operationId`, or method and template. */
const MAX_HOST = 255;
const MAX_OPERATION = 2_048;
/** As a limit's (src/check/limits/config.ts). */
const MAX_AMOUNT = 1_000_000_000;
const MAX_PERIOD_S = 86_400;
const MAX_HITS = 1_000;

const host = visible(MAX_HOST).meta({ description: 'As in the configuration.', example: 'api.example.com' });
const operation = visible(MAX_OPERATION).meta({
  description: '`operationId`, else `METHOD /template`; `-` is what no operation fits.',
  example: 'listOrders',
});
const since = time.optional().meta({ description: 'Ten minutes that began from then on.' });

export const volumesQuery = paging.extend({
  host: host.optional(),
  operation: operation.optional(),
  since,
  until: time.optional().meta({ description: 'Ten minutes that began before.' }),
});

export const recommendQuery = z.object({ host: host.optional(), operation: operation.optional(), since });

export const draft = z.strictObject({
  host: host.optional().meta({ description: 'Needed where several hosts have such an operation.' }),
  operation,
  requests_per_period: z.int().min(1).max(MAX_AMOUNT),
  period_seconds: z.int().min(1).max(MAX_PERIOD_S),
  burst: z
    .int()
    .min(1)
    .max(MAX_AMOUNT)
    .optional()
    .meta({ description: 'At once; `requests_per_period` unless given.' }),
  counters: z
    .enum(['local', 'fleet'])
    .default('local')
    .describe('`local`: each gateway counts by itself; `fleet`: all together, as in the modes `fast` and `strict`.'),
  since,
  most: z.int().min(1).max(MAX_HITS).default(20).describe('Sessions that are told one by one.'),
});

const count = z.int().min(0);
const share = z.number().meta({
  description: 'The share of sessions that was counted, the least of any ten minutes: 1, or less under very many.',
});
const percentiles = {
  p50: count.meta({ description: 'Requests of a session in ten minutes that half of them do not exceed.' }),
  p90: count,
  p99: count,
};

export const volume = z
  .object({
    ...{ host: z.string(), operation: z.string(), from: time, node: z.string() },
    requests: count,
    anonymous: count.meta({ description: 'Without a session: counted by their address.' }),
    sessions: count,
    share,
    ...percentiles,
    methods: z.record(z.string(), count),
    statuses: z.record(z.string(), count),
    heaviest: z
      .array(
        z.object({
          session: z.string().meta({ description: 'The first 16 digits of its hash.' }),
          requests: count,
          peak_1s: count,
          peak_10s: count,
          peak_60s: count,
        }),
      )
      .meta({ description: 'The ten heaviest; peaks are the most in one aligned span.' }),
  })
  .meta({ id: 'LimitVolume', description: 'Ten minutes of an operation, as one process saw them.' });

export const recommendation = z
  .object({
    ...{ host: z.string(), operation: z.string(), from: time, until: time },
    requests: count,
    anonymous: count,
    sessions: count.meta({ description: 'One of each ten minutes; a session of an hour counts six times.' }),
    buckets: count.meta({ description: 'Ten minutes in which something was asked.' }),
    days: count,
    nodes: count,
    share,
    ...percentiles,
    class: z.enum(CLASSES),
    reason: z.string().meta({ description: 'Why it is of this class.' }),
    requests_per_period: count,
    period_seconds: count,
    formula: z.string(),
    confidence: z.enum(['low', 'medium', 'high']),
    confidence_reason: z.string(),
    counted_by: z.enum(COUNTED).meta({
      description: '`caller`: key or certificate, where the host has no sessions; `address` where most have neither.',
    }),
  })
  .meta({ id: 'LimitRecommendation' });

export const recommendations = z.object({
  items: z.array(recommendation),
  yaml: z.string().meta({ description: 'The same as `limits.rules` of a configuration, in log mode.' }),
});

const verdict = z.enum(['certain', 'possible', 'spared']);

export const simulated = z
  .object({
    ...{ host: z.string(), operation: z.string(), from: time.nullable(), until: time.nullable() },
    buckets: count,
    requests: count,
    share,
    sessions: z
      .object({ certain: count, possible: count, spared: count })
      .meta({ description: 'Of those that are known by hash; spared ones would not have been refused once.' }),
    refused_at_least: count,
    hits: z.array(
      z.object({
        session: z.string(),
        verdict,
        requests: count.meta({ description: 'That are known of.' }),
        refused_at_least: count,
        first_refused_until: time
          .nullable()
          .meta({ description: 'By when the first refusal is certain; null while none is.' }),
      }),
    ),
    others: z
      .object({ sessions: count, certain: count, verdict })
      .meta({ description: 'Sessions, one of each ten minutes, that were not among the heaviest.' }),
    notes: z.array(z.string()).meta({ description: 'What makes the answer less than whole.' }),
  })
  .meta({ id: 'LimitSimulation' });
