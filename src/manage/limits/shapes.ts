// What the admin API takes and says of rate limits.

import { z } from 'zod';
import { visible } from '../pki/names.js';
import { time } from '../pki/shapes.js';

const MAX_TEXT = 256;
/** Keys of one answer of `top`. */
const MAX_TOP = 1_000;

/** As in the configuration (src/check/limits/config.ts). */
export const limitName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
  .meta({ description: 'Name of the limit.', example: 'logins' });
export const limitKey = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .meta({
    description: 'The keyed hash of what tells its counters apart, as `top` shows it; events have its first 8 digits.',
    example: '9f2c4e1ab3700d5e9f2c4e1ab3700d5e',
  });

export const topQuery = z.object({
  rule: limitName.optional(),
  most: z.coerce.number().int().min(1).max(MAX_TOP).default(20).meta({ description: 'How many keys.' }),
});

export const resetBody = z.strictObject({ key: limitKey });

export const exempting = z.strictObject({
  until: time.nullable().optional().meta({ description: 'When it ends; null, or left out: when it is taken away.' }),
  why: visible(MAX_TEXT)
    .optional()
    .meta({ description: 'For whoever meets it later.', example: 'load test until Friday' }),
});

const count = z.int().min(0);

export const figures = z
  .object({
    checked: count,
    refused: count,
    would_refuse: count.meta({ description: 'In `log`: what would have been refused.' }),
    delayed: count,
  })
  .meta({ id: 'LimitFigures', description: 'As this process counted since it started.' });

export const limit = z
  .object({
    name: z.string(),
    expression: z.string().nullable(),
    operation: z
      .object({ host: z.string(), operation: z.string() })
      .nullable()
      .meta({ description: 'Whose description it stands in.' }),
    counting_expression: z.string().nullable(),
    characteristics: z.array(z.string()),
    algorithm: z.enum(['gcra', 'sliding_window', 'concurrency']),
    amount: count.meta({ description: 'Requests, or score, in a period; with `concurrency`, requests under way.' }),
    period_seconds: z.number().nullable(),
    burst: count.nullable(),
    score: z
      .string()
      .nullable()
      .meta({ description: 'What a request costs: a header of the answer, or an expression.' }),
    mitigation_timeout_seconds: z.number(),
    action: z.enum(['off', 'log', 'block', 'delay']),
    delay_seconds: z.number().nullable(),
    mode: z.enum(['local', 'fast', 'strict']),
    fallback: z.enum(['local', 'open', 'closed']),
    advance: count.nullable().meta({ description: 'With the mode `fast`.' }),
    figures,
  })
  .meta({ id: 'Limit' });

export const limitedKey = z
  .object({
    limit: z.string(),
    key: z.string(),
    identity: z
      .string()
      .nullable()
      .meta({ description: 'What the key stands for; null unless `limits.allowIdentities` is on.' }),
    used: z.number().meta({ description: 'What counts of it now.' }),
    refused: count.meta({ description: 'How often, since this process has known the key.' }),
    penalty_ends: time.nullable(),
  })
  .meta({ id: 'LimitedKey' });

export const topAnswer = z.object({ items: z.array(limitedKey) });

export const resetAnswer = z
  .object({
    limit: z.string(),
    key: z.string(),
    at: time,
    fleet: z.enum(['none', 'reset', 'failed']).meta({
      description:
        "What became of the fleet's counter: `none` where the limit has none, `failed` when nobody answered.",
    }),
  })
  .meta({ id: 'LimitReset' });

export const exemption = z
  .object({
    limit: z.string(),
    key: z.string(),
    until: time.nullable(),
    why: z.string().nullable(),
    created_at: time,
    created_by: z.string(),
  })
  .meta({ id: 'LimitExemption' });
