// What the admin API takes and says of keys.

import { z } from 'zod';
import { partnerName } from '../partners/name.js';
import { lifetime } from '../pki/lifetime.js';
import { readNetwork } from './networks.js';

/** RFC 6749, 3.3, NQCHAR: no space, no `"`, no `\`. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
const MAX_SCOPE = 128;
/** Of one key: what a partner's agreement names, not what it is spelled out into. */
const MAX_SCOPES = 64;
/** A certificate and its successor, of some devices. */
const MAX_CERTIFICATES = 16;
const MAX_NETWORKS = 32;
const MAX_HOSTS = 32;
const MAX_WHY = 256;

/** As in the configuration (src/config/load.ts); that it is served is looked up. */
const MAX_HOST = 255;

/** The longest that `overlap` and `deadline` may reach: two secrets are one more than anybody watches. */
export const MAX_OVERLAP = '90d';
/** Without a word about its end. */
export const DEFAULT_LIFETIME = '365d';
/** Longer is `allow_no_expiry`, and said so. */
export const MAX_LIFETIME = '730d';

export const STATES = ['active', 'expired', 'revoked'] as const;
export type State = (typeof STATES)[number];

export const time = z.iso.datetime({ offset: true }).meta({ example: '2027-01-31T00:00:00Z' });

/** Readable in logs and on command lines. */
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/)
  .meta({ description: 'What it is called; others may be called the same.', example: 'billing' });
export const partner = partnerName.describe('Name of the partner that it belongs to.');
const scopes = z
  .array(z.string().max(MAX_SCOPE).regex(SCOPE, { error: 'is no scope: printable ASCII without space, `"` and `\\`' }))
  .max(MAX_SCOPES)
  .describe('What it may do (RFC 6749, 3.3).');
const certificates = z
  .array(
    z.string().regex(/^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/, { error: 'is no SHA-256 fingerprint: 64 hex digits' }),
  )
  .max(MAX_CERTIFICATES)
  .describe('SHA-256 of client certificates: it counts only together with one of them. Empty: without any.');
const networks = z
  .array(
    z
      .string()
      .max(64)
      .superRefine((text, issues) => {
        const read = readNetwork(text);
        if ('fault' in read) issues.addIssue({ code: 'custom', message: read.fault });
      }),
  )
  .max(MAX_NETWORKS)
  .describe('Networks that it counts from: `192.0.2.0/24`. Empty: all.');
const hosts = z
  .array(z.string().min(1).max(MAX_HOST))
  .max(MAX_HOSTS)
  .describe('Hosts that it counts for, as in the configuration: `api.example.com`, `*.example.com`. Empty: all.');

const expiry = {
  expires_at: time.optional().meta({ description: 'When it ends; or `lifetime`.' }),
  lifetime: lifetime('1h', MAX_LIFETIME).optional().describe('How long from now on; or `expires_at`.'),
  allow_no_expiry: z.literal(true).optional().describe('It never ends by itself.'),
};

export const newKey = z.strictObject({
  name,
  kind: z.enum(['key', 'service']).default('key').describe('`service`: a client id and a client secret.'),
  partner: partner.optional(),
  scopes: scopes.default([]),
  certificates: certificates.default([]),
  networks: networks.default([]),
  hosts: hosts.default([]),
  ...expiry,
});

export const change = z.strictObject({
  name: name.optional(),
  scopes: scopes.optional(),
  certificates: certificates.optional(),
  networks: networks.optional(),
  hosts: hosts.optional(),
  ...expiry,
  end_previous: z.literal(true).optional().describe('After a rotation: the older secret counts no longer.'),
});

/** Of all keys of a partner. */
export const rotationOfAll = z.strictObject({
  overlap: lifetime('0h', MAX_OVERLAP)
    .optional()
    .describe('How long the secret so far counts beside the new one: `24h` unless given, `0h` for not at all.'),
  deadline: time.optional().meta({ description: 'Until when it counts; or `overlap`.' }),
  end_oldest: z
    .literal(true)
    .optional()
    .describe('Of a key that has two secrets already: the older one ends at once. Refused without it.'),
});

export type RotationOfAll = z.output<typeof rotationOfAll>;

export const rotation = rotationOfAll.extend(expiry);

export const revocation = z.strictObject({
  why: z
    .string()
    .min(1)
    .max(MAX_WHY)
    .refine(text => !/\p{Cc}/u.test(text), { error: 'holds a control character' })
    .optional()
    .describe('For whoever reads it later.'),
});

export const identification = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .describe('SHA-256 of the whole key, lower-case hex: the key itself need not travel.'),
});

const secret = z.object({
  created_at: time,
  valid_until: time.nullable().meta({ description: "A rotation's deadline; null for the one in use." }),
});

export const key = z
  .object({
    id: z.string().meta({ description: 'Public; of a service token, the client id.', example: '9f2c4e1ab370' }),
    name: z.string(),
    kind: z.enum(['key', 'service']),
    partner: z.string().nullable(),
    state: z.enum(STATES),
    scopes: z.array(z.string()),
    certificates: z.array(z.string()),
    networks: z.array(z.string()),
    hosts: z.array(z.string()),
    secrets: z.array(secret).meta({ description: 'That count: one, or two during a rotation. The newest first.' }),
    expires_at: time.nullable(),
    created_at: time,
    created_by: z.string(),
    last_used_at: time.nullable().meta({ description: 'To the minute.' }),
    revoked_at: time.nullable(),
    revoked_by: z.string().nullable(),
    revoked_why: z.string().nullable(),
  })
  .meta({ id: 'Key' });

export const madeKey = key
  .extend({
    key: z.string().optional().meta({ description: 'The key itself: it is shown only this once.' }),
    client_id: z.string().optional().meta({ description: 'Of a service token.' }),
    client_secret: z.string().optional().meta({ description: 'Of a service token: it is shown only this once.' }),
  })
  .meta({ id: 'NewKey' });

export const identified = key
  .extend({
    secret: z.enum(['current', 'previous', 'none']).meta({
      description: 'Which of its secrets: the newest, the older one of a rotation, or none of those that count.',
    }),
  })
  .meta({ id: 'IdentifiedKey' });

/** Fingerprints in one spelling. */
export function plainHex(written: string): string {
  return written.replaceAll(':', '').toLowerCase();
}
