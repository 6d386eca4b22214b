// What the admin API takes and says of token configurations, their key sets, and tokens that were taken back.

import { z } from 'zod';
import { time } from '../pki/shapes.js';

/** Above the longest that `maxBytes` lets through; what is longer is told as such by the engine. */
export const MAX_TOKEN_CHARACTERS = 64 * 1024;
/** Of a `jti` or a subject. OpenID Connect has 255 characters at most for a subject. */
const MAX_VALUE_CHARACTERS = 1_024;
const MAX_WHY_CHARACTERS = 500;

export const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);
export const kind = z
  .enum(['jti', 'subject'])
  .describe('`jti`: one token. `subject`: all tokens whose `sub` it is and that were issued until now.');
export const state = z.enum(['revoked', 'restored']);

const keySet = z
  .object({
    url: z.string().describe('Without its query.'),
    state: z
      .enum(['missing', 'good', 'failing', 'stale'])
      .describe(
        '`missing`: there never was a set. `failing`: the last good one serves. `stale`: it is too old and no longer does.',
      ),
    from: z.enum(['url', 'store']).nullable().describe('`store`: what was good before this gateway started.'),
    fetched_at: time.nullable().describe('When it was last fetched, or found unchanged.'),
    next_fetch_at: time,
    keys: z.array(
      z.object({
        kid: z.string().nullable(),
        algorithms: z.array(z.string()),
        thumbprint: z.string().describe('RFC 7638, SHA-256, base64url.'),
      }),
    ),
    skipped: z.array(z.object({ kid: z.string().nullable(), why: z.string() })).describe('Keys that cannot be used.'),
    error: z.object({ at: time, message: z.string() }).nullable().describe('Of the last fetch; null: it succeeded.'),
  })
  .meta({ id: 'KeySet' });

export const configuration = z
  .object({
    name: z.string(),
    issuer: z.string().nullable().describe('null: any.'),
    audiences: z.array(z.string()).describe('None: any.'),
    algorithms: z.array(z.string()),
    key_set: keySet.nullable().describe('null: the keys stand in the configuration.'),
  })
  .meta({ id: 'TokenConfiguration' });

export const inspected = z
  .object({
    accepted: z.boolean(),
    reason: z.string().nullable().describe('Of docs/reasons.md; null: accepted.'),
    steps: z.array(z.object({ step: z.string(), ok: z.boolean(), detail: z.string() })),
    header: z.unknown().describe('As the token says, whoever signed it.'),
    claims: z.unknown(),
  })
  .meta({ id: 'InspectedToken' });

export const revocation = z
  .object({
    id: z.string(),
    configuration: z.string(),
    kind,
    value: z.string(),
    state,
    at: time,
    until: time.nullable().describe('When no such token can be good any more; null: never.'),
    by: z.string(),
    why: z.string().nullable(),
  })
  .meta({ id: 'TokenRevocation' });

export const value = z
  .string()
  .min(1)
  .max(MAX_VALUE_CHARACTERS)
  // Neither is in a claim that the engine has read, nor the same in every database.
  .refine(text => !/[\p{Cc}\p{Cs}]/u.test(text), { error: 'holds a control character, or half of a surrogate pair' })
  .describe('As the claim has it, to the letter.');

export const revoking = z.strictObject({
  kind,
  value,
  until: time
    .nullable()
    .optional()
    .describe(
      'When it lapses; null: never. Unless given, when no token that is good now can be good any more by `maxLifetime`.',
    ),
  why: z
    .string()
    .min(1)
    .max(MAX_WHY_CHARACTERS)
    .refine(text => !/[\p{Cc}\p{Cs}]/u.test(text), { error: 'holds a control character' })
    .optional()
    .describe('For whoever reads the list.'),
});
