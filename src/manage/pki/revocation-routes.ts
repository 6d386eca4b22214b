// POST and GET /admin/v1/pki/revocations.

import { z } from 'zod';
import { type Api, page, paging } from '../admin/api.js';
import { rfc3339 } from './lifetime.js';
import { type Hit, HOLD, REASONS, type Revocations } from './revocation.js';

/** 20 octets (RFC 5280, 4.1.2.2), colons between, a leading zero that a sign needs. */
const serial = z.string().regex(/^(00:?)?([0-9A-Fa-f]:?){0,39}[0-9A-Fa-f]$/, { error: 'is no serial number in hex' });
const fingerprint = z
  .string()
  .regex(/^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$/, { error: 'is no SHA-256 fingerprint: 64 hex digits' });
const name = z.string().min(1).max(64);

const WAYS = ['serial', 'fingerprint', 'subject', 'partner'] as const;

const request = z
  .strictObject({
    authority: name.optional().describe('Whose certificate it is: with `serial`; narrows `subject` and `partner`.'),
    serial: serial.optional().describe('Serial number in hex, with `authority`.'),
    fingerprint: fingerprint.optional().describe('SHA-256 of the certificate, hex. It need never have been seen here.'),
    subject: z
      .string()
      .min(1)
      .max(2048)
      .optional()
      .describe('Whole subject as RFC 4514 text, as certificates show it.'),
    partner: z.string().min(1).max(128).optional().describe('Every certificate that was issued to this partner.'),
    action: z
      .enum(['revoke', 'hold', 'restore'])
      .default('revoke')
      .describe('`hold` can be lifted by `restore`; what is revoked stays revoked.'),
    reason: z.enum(REASONS).default('unspecified').describe('RFC 5280, 5.3.1. Of a hold it is certificateHold.'),
    dry_run: z.boolean().default(false).describe('Only tells what would be hit.'),
  })
  .superRefine((body, issues) => {
    const given = WAYS.filter(way => body[way] !== undefined);
    const one = given.length === 1 && (body.serial === undefined || body.authority !== undefined);
    if (one && (body.fingerprint === undefined || body.authority === undefined)) return;
    issues.addIssue({
      code: 'custom',
      message: 'say which: `serial` with `authority`, `fingerprint`, `subject`, or `partner`; one of them',
    });
  });

const state = z.enum(['revoked', 'held', 'restored']);
const time = z.string().meta({ format: 'date-time' });

const hit = z.object({
  id: z.string().describe('Of the revocation: `<key id>:<serial>`, or `sha256:<fingerprint>`.'),
  authority: z.string().nullable(),
  key_id: z.string().nullable(),
  serial: z.string().nullable(),
  fingerprint: z.string().nullable(),
  subject: z.string().nullable(),
  not_after: time.nullable(),
  known: z.enum(['issued', 'seen', 'unknown']).describe('Where the certificate was found.'),
  before: state.nullable(),
  after: state.nullable(),
});

const outcome = z.object({
  dry_run: z.boolean(),
  hits: z.array(hit),
  changed: z.int().describe('How many of them are not what they were.'),
  revision: z.int().describe('What every gateway that shares the store knows within a second.'),
});

const revocation = z.object({
  id: z.string(),
  authority: z.string().nullable(),
  key_id: z.string().nullable(),
  serial: z.string().nullable(),
  fingerprint: z.string().nullable(),
  state,
  reason: z.enum([...REASONS, HOLD]),
  at: time,
  by: z.string(),
});

export type Outcome = z.output<typeof outcome>;
export type ShownRevocation = z.output<typeof revocation>;

/** `inForce`: brings this process up to date, so that an answer is never ahead of what is refused here. */
export function revocationRoutes(
  api: Api,
  revocations: Revocations,
  inForce: () => Promise<void> = async () => {},
): void {
  api.operation(
    {
      id: 'revokeCertificates',
      method: 'post',
      path: '/pki/revocations',
      summary: 'Revokes, holds or restores certificates.',
      role: 'operator',
      tag: 'pki',
      body: request,
      answer: outcome,
    },
    async ({ body, principal, audit }) => {
      const { action, reason, dry_run: dryRun, ...selection } = body;
      const done = await revocations.apply({ selection, action, reason, dryRun, by: principal.name, audit });
      if (!dryRun) await inForce();
      return { body: { dry_run: dryRun, ...done, hits: done.hits.map(shownHit) }, ...(dryRun && { unchanged: true }) };
    },
  );
  api.operation(
    {
      id: 'listRevocations',
      method: 'get',
      path: '/pki/revocations',
      summary: 'Lists revocations, the newest change first.',
      role: 'viewer',
      tag: 'pki',
      query: paging.extend({ authority: name.optional(), state: state.optional() }),
      answer: page(revocation),
    },
    async ({ query: { cursor, limit, ...only } }) => {
      const { items, next } = await revocations.page(cursor, limit, only);
      const shown = items.map(({ at, revision: _, ...row }) => ({ ...row, at: rfc3339(at) }));
      return { body: { items: shown, next } };
    },
  );
}

function shownHit({ keyId, notAfter, ...hit }: Hit) {
  return { ...hit, key_id: keyId, not_after: notAfter === null ? null : rfc3339(notAfter) };
}
