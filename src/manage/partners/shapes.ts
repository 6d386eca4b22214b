// What the admin API takes and tells of partners.

import { z } from 'zod';
import { visible } from '../pki/names.js';
import { time } from '../pki/shapes.js';
import { partnerName } from './name.js';

export { partnerName } from './name.js';

/** A partner has some certificates and identity providers; what was issued for it here needs no pattern. */
export const MAX_PATTERNS = 64;
/** Of all described operations; who needs more leaves the list out. */
const MAX_OPERATIONS = 1_000;
const MAX_TEXT = 256;
/** As certificates show their subjects, and the longest SPIFFE id. */
const MAX_PATTERN_CHARACTERS = 2_048;
/** A year of an allowance that nobody uses up. */
const MAX_REQUESTS = 1_000_000_000_000;

const owner = visible(MAX_TEXT).meta({ description: 'Who answers for the partner on this side.', example: 'Payments' });
const contact = visible(MAX_TEXT).meta({
  description: 'How the partner is reached: a mail address, a number, a page.',
  example: 'security@acme.example',
});
export const why = visible(MAX_TEXT).meta({ description: 'For whoever meets it later.', example: 'keys on a forum' });

const pattern = visible(MAX_PATTERN_CHARACTERS);
const configured = z.string().min(1).max(64);

const certificatePattern = z
  .strictObject({
    authority: configured.optional().meta({ description: 'Name of the authority that verifies it.' }),
    subject: pattern
      .refine(isSubject, { error: 'is no subject: between commas stands `TYPE=value`, or `*` alone' })
      .refine(saysSubject, { error: 'would fit any subject: leave it out, or say more than `*`' })
      .optional()
      .meta({
        description:
          'RFC 4514, as certificates are shown. `*` stands for any characters of one value, alone between commas for any number of names.',
      }),
    san: pattern.refine(says, { error: 'would fit any name: leave it out, or say more than `*`' }).optional().meta({
      description: 'DNS name, URI or mail address among its alternative names; `*` stands for any characters.',
    }),
    fingerprint: z
      .string()
      .regex(/^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/, { error: 'is no SHA-256 fingerprint: 64 hex digits' })
      .transform(written => written.replaceAll(':', '').toLowerCase())
      .optional()
      .meta({ description: 'SHA-256 of the certificate, hex.' }),
  })
  .refine(given, { error: 'says nothing: `authority`, `subject`, `san` or `fingerprint`' });

const tokenPattern = z
  .strictObject({
    configuration: configured.optional().meta({ description: 'Name below `jwt` of the configuration.' }),
    claim: pattern.optional().meta({ description: 'Name of a claim, with `value`.', example: 'azp' }),
    value: pattern.optional().meta({ description: 'What the claim has to be, to the letter.' }),
  })
  .refine(given, { error: 'says nothing: `configuration`, or `claim` with `value`' })
  .refine(({ claim, value }) => (claim === undefined) === (value === undefined), {
    error: '`claim` and `value` come together',
  });

const operation = visible(512).meta({
  description: '`operationId`, `GET /orders/{id}` or `api.example.com GET /orders/{id}`.',
  example: 'listOrders',
});

const PERIODS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;
const period = z
  .string()
  .regex(/^[1-9]\d{0,5}[smhd]$/, { error: 'is no period: a number with s, m, h or d, such as `1h`' })
  .meta({ example: '1h' });
/** What the engine counts by (native/engine/src/partners/mod.rs): a leap year. */
export const MAX_QUOTA_PERIOD_S = 366 * PERIODS.d;
const quota = z.strictObject({
  requests: z.int().min(1).max(MAX_REQUESTS),
  period: period.refine(written => secondsOf(written) <= MAX_QUOTA_PERIOD_S, { error: 'is longer than 366d' }),
});

const certificates = z.array(certificatePattern).max(MAX_PATTERNS);
const tokens = z.array(tokenPattern).max(MAX_PATTERNS);
const operations = z.array(operation).max(MAX_OPERATIONS);
const expires = time.meta({ description: 'In the future: from then on it is refused everywhere.' });

export const wantedPartner = z.strictObject({
  name: partnerName,
  owner,
  contact,
  expires_at: expires.optional(),
  certificates: certificates.default([]).meta({ description: 'One of them has to fit, all that it says.' }),
  tokens: tokens.default([]).meta({ description: 'One of them has to fit, all that it says.' }),
  operations: operations.default([]).meta({ description: 'All that it may call; empty: whatever others may.' }),
  quota: quota.optional().meta({ description: 'All its credentials together; above it, 429 `limits.quota`.' }),
});

/** What is not named stays as it is. */
export const changedPartner = z.strictObject({
  owner: owner.optional(),
  contact: contact.optional(),
  expires_at: expires.nullable().optional().meta({ description: 'Null: it does not expire.' }),
  certificates: certificates.optional().meta({ description: 'In place of those before.' }),
  tokens: tokens.optional().meta({ description: 'In place of those before.' }),
  operations: operations.optional().meta({ description: 'In place of those before; empty: all.' }),
  quota: quota.nullable().optional().meta({ description: 'Null: it has none.' }),
});

export type WantedPartner = z.output<typeof wantedPartner>;
export type ChangedPartner = z.output<typeof changedPartner>;
export type CertificatePattern = z.output<typeof certificatePattern>;
export type TokenPattern = z.output<typeof tokenPattern>;
export type Quota = z.output<typeof quota>;

export const STATUSES = ['active', 'suspended', 'expired'] as const;
export type Status = (typeof STATUSES)[number];

const text = z.string();
const count = z.object({ live: z.int().meta({ description: 'Neither revoked nor expired.' }), all: z.int() });

export const partner = z
  .object({
    name: text,
    owner: text,
    contact: text,
    status: z.enum(STATUSES),
    expires_at: time.nullable(),
    suspended: z.object({ at: time, why: text }).nullable(),
    certificates: z.array(
      z.object({
        authority: text.optional(),
        subject: text.optional(),
        san: text.optional(),
        fingerprint: text.optional(),
      }),
    ),
    tokens: z.array(z.object({ configuration: text.optional(), claim: text.optional(), value: text.optional() })),
    operations: z.array(text),
    quota: z.object({ requests: z.int(), period: text }).nullable(),
    created_at: time,
    created_by: text,
  })
  .meta({ id: 'Partner' });

export const shownPartner = partner
  .extend({
    holds: z.object({
      keys: count.meta({ description: 'API keys and service tokens.' }),
      certificates: count.meta({ description: 'That were issued here for it.' }),
      last_used_at: time.nullable().meta({ description: 'Of its keys and certificates; tokens leave no trace.' }),
    }),
  })
  .meta({ id: 'ShownPartner' });

export const madePartner = partner
  .extend({ warnings: z.array(text).meta({ description: 'What was taken, and may be meant otherwise.' }) })
  .meta({ id: 'MadePartner' });

export type Partner = z.output<typeof partner>;
export type ShownPartner = z.output<typeof shownPartner>;
export type MadePartner = z.output<typeof madePartner>;

/** Of the columns of a row. */
export function patternsOf({ certificates, tokens }: { certificates: string; tokens: string }) {
  return {
    certificates: JSON.parse(certificates) as CertificatePattern[],
    tokens: JSON.parse(tokens) as TokenPattern[],
  };
}

export function secondsOf(period: string): number {
  return Number(period.slice(0, -1)) * PERIODS[period.slice(-1) as keyof typeof PERIODS];
}

/** In the largest unit that it is whole in. */
export function periodOf(seconds: number): string {
  const [unit, length] = Object.entries(PERIODS)
    .reverse()
    .find(([, length]) => seconds % length === 0) as [string, number];
  return `${seconds / length}${unit}`;
}

function given(one: object): boolean {
  return Object.values(one).some(value => value !== undefined);
}

/** More than wildcards and what joins them. */
function says(pattern: string): boolean {
  return /[^*.@:/,+=\s]/.test(pattern);
}

/** As native/engine/src/partners/subject.rs takes it apart: what it could not, would fit nothing. */
function isSubject(pattern: string): boolean {
  const names = pattern.split(/(?<!\\)[,]/).map(name => name.trim());
  return names.every(name => name === '*' || name.split(/(?<!\\)[+]/).every(one => /^\s*[A-Za-z0-9.-]+\s*=/.test(one)));
}

/** `CN=*` and `*,O=*` are as good as `*`: attribute types are in every subject. */
function saysSubject(pattern: string): boolean {
  return says(pattern.replace(/(^|[,+*])\s*[A-Za-z][A-Za-z0-9-]*=|(^|[,+*])\s*\d+(\.\d+)+=/g, '$1'));
}
