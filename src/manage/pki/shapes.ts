// What the admin API says about authorities and certificates, for its answers and its OpenAPI page.

import { z } from 'zod';
import { STANDINGS } from './certificates.js';

export const time = z.iso.datetime({ offset: true }).meta({ example: '2027-01-31T00:00:00Z' });
const pem = z.string().meta({ description: 'PEM' });
const names = {
  dns: z.array(z.string()),
  email: z.array(z.string()),
  uri: z.array(z.string()),
  ip: z.array(z.string()),
};

const generation = z.object({
  number: z.int(),
  state: z.enum(['issuing', 'trusted', 'ended', 'withdrawn']),
  subject: z.string().meta({ description: 'RFC 4514' }),
  key_id: z.string().meta({ description: 'SHA-256 of its public key, lower-case hex.' }),
  fingerprint: z.string().meta({ description: 'SHA-256 of the certificate, lower-case hex.' }),
  not_before: time,
  not_after: time,
  trusted_until: time.nullable().meta({ description: 'When a rotation ends its trust.' }),
  has_key: z.boolean(),
});

export const authority = z
  .object({
    name: z.string(),
    kind: z.enum(['hosted', 'imported']),
    state: z.enum(['active', 'retired']),
    created_at: time,
    issues: z.boolean().meta({ description: 'It has a key here and is in force.' }),
    key_type: z.string().nullable(),
    validity: z.string().nullable(),
    root: z.boolean().meta({ description: 'A root is kept above what issues.' }),
    name_constraints: z.unknown(),
    revocation: z.object({
      stale: z.enum(['hard', 'soft', 'grace']),
      grace_s: z.int(),
      fetch: z.boolean(),
      ocsp: z.boolean(),
    }),
    profiles: z.record(z.string(), z.unknown()).meta({ description: 'Its own and the built-in ones.' }),
    generations: z.array(generation),
  })
  .meta({ id: 'Authority' });

export const certificate = z
  .object({
    fingerprint: z.string(),
    serial: z.string(),
    key_id: z.string().meta({ description: 'SHA-256 of the public key that signed it.' }),
    authority: z.string(),
    generation: z.int(),
    name: z.string(),
    subject: z.string(),
    ...names,
    profile: z.string(),
    partner: z.string().nullable(),
    not_before: time,
    not_after: time,
    issued_at: time,
    issued_by: z.string(),
    renews: z.string().nullable().meta({ description: 'Fingerprint of the one before.' }),
    status: z.enum(STANDINGS),
    revocation: z.object({ state: z.enum(['revoked', 'held']), reason: z.string(), at: time }).nullable(),
  })
  .meta({ id: 'Certificate' });

export const shownCertificate = certificate.extend({ certificate: pem }).meta({ id: 'ShownCertificate' });

export const issuedCertificate = certificate
  .extend({
    certificate: pem,
    chain: pem.meta({ description: 'What stands above it, from its issuer to the root.' }),
    key: pem.nullable().meta({ description: 'Private key, PKCS#8; shown only this once. Null with a request.' }),
    dropped: z.array(z.string()).meta({ description: 'What the request asked for and did not get.' }),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'IssuedCertificate' });

export const retirement = z
  .object({
    name: z.string(),
    state: z.enum(['active', 'retired']),
    certificates_in_use: z.int().meta({ description: 'Certificates that came in the last 30 days.' }),
    certificates_valid: z.int().meta({ description: 'Issued here and not expired.' }),
    hosts: z.array(z.string()).meta({ description: 'That trust it by the configuration in force.' }),
    rules: z
      .array(z.object({ host: z.string(), path: z.string() }))
      .meta({ description: 'That trust it, of this API.' }),
    in_use: z
      .array(
        z.object({
          fingerprint: z.string(),
          subject: z.string(),
          last_seen: time,
          requests: z.int(),
          hosts: z.array(z.string()),
        }),
      )
      .meta({ description: 'At most 100, the latest first.' }),
  })
  .meta({ id: 'Retirement' });

export const enrolment = z
  .object({
    id: z.string().meta({ example: '9f2c4e1ab370' }),
    name: z.string(),
    authority: z.string(),
    profile: z.string(),
    uses_left: z.int().nullable().meta({ description: 'Null: any number.' }),
    expires_at: time,
    created_at: time,
    created_by: z.string(),
    revoked_at: time.nullable(),
  })
  .meta({ id: 'Enrolment' });

export const madeEnrolment = enrolment
  .extend({ secret: z.string().meta({ description: 'The password of HTTP Basic: it is shown only this once.' }) })
  .meta({ id: 'NewEnrolment' });
