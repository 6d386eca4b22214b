import { z } from 'zod';
import { duration } from '../../config/units.js';

const expression = z.string().min(1);

export const limit = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
    .meta({ title: 'limit name', forms: ['logins'] })
    .describe(
      'Stable name: reason `limits.<name>`, log field and metric label. Letters, digits, `-`, `_`, `.`; at most 64.',
    ),
  expression: expression.optional().describe('Which requests it holds for (docs/rules.md); all unless given.'),
  characteristics: z
    .array(expression)
    .max(8)
    .default([])
    .describe('What tells counters apart; one counter unless given.'),
  requestsPerPeriod: z.int().min(1).max(1_000_000_000).describe('How many requests each may make in a period.'),
  period: duration('1s', '24h').describe('The time that `requestsPerPeriod` speaks of.'),
  action: z.enum(['off', 'log', 'block']).default('block').describe('What becomes of a request that goes over.'),
});

export const limits = z
  .strictObject({
    rules: z.array(limit).default([]).describe('Rate limits; all that hold for a request count it.'),
  })
  .describe('Rate limits.');

export type LimitsConfig = z.output<typeof limits>;
