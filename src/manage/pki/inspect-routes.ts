// POST /admin/v1/pki/inspect: what a file is, and whether this gateway would accept the certificates in it, and if not
// why, step by step.

import { z } from 'zod';
import { type Api, Refusal } from '../admin/api.js';
import { inspect, PkiError, type Run } from './commands.js';

export interface InspectParts {
  run: Run;
  /** The native door's: a certificate, PEM, and for whom, JSON in; steps and reason, JSON out. */
  judge(certificate: string, asked: string): string;
  /** Names of the hosts that are served now. */
  hosts(): readonly string[];
}

/** A revocation list of some 100,000 serials; larger ones are explained by the command line, without a gateway. */
const MAX_FILE_BYTES = 4 * 2 ** 20;
/** Base64, and the JSON around it. */
const MAX_BODY_BYTES = Math.ceil((MAX_FILE_BYTES * 4) / 3) + 16 * 1024;
/** A bundle with more certificates than a path may have is explained in full and judged in part. */
const MAX_JUDGED = 16;
/** Hosts that are told one by one; a gateway with more is asked about one. */
const MAX_HOSTS = 100;

const request = z.strictObject({
  file: z
    .string()
    .min(1)
    .max(MAX_BODY_BYTES)
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, { error: 'is no base64' })
    .describe('PEM or DER of any kind, as base64.'),
  password: z.string().max(256).optional().describe('Of PKCS#12.'),
  host: z.string().min(1).max(255).optional().describe('Judge for this host only.'),
  path: z.string().min(1).max(2048).startsWith('/').default('/').describe('And this path of it.'),
});

const judged = z.object({
  host: z.string(),
  accepted: z.boolean(),
  reason: z.string().nullable().describe('Of docs/reasons.md; null: accepted.'),
  steps: z.array(z.object({ step: z.string(), ok: z.boolean(), detail: z.string() })),
});

export type Judged = z.output<typeof judged>;

const answer = z
  .object({
    kind: z.string().describe('certificate, csr, crl, pkcs12, pkcs7, key, ocsp_request, ocsp_response, several'),
    items: z.array(
      z.object({
        title: z.string(),
        rows: z.array(z.tuple([z.string(), z.string()])),
        warnings: z.array(z.string()),
        pem: z.string().optional(),
        judged: z.array(judged).nullable().describe('By host; null for what no client presents.'),
      }),
    ),
  })
  .meta({ id: 'Inspected' });

export function inspectRoutes(api: Api, { run, judge, hosts }: InspectParts): void {
  api.operation(
    {
      id: 'inspect',
      method: 'post',
      path: '/pki/inspect',
      summary: 'Explains a certificate, request, list or bundle, and whether this gateway would accept it.',
      role: 'viewer',
      tag: 'pki',
      body: request,
      maxBytes: MAX_BODY_BYTES,
      answer,
      changes: false,
    },
    async ({ body: { file, password, host, path } }) => {
      const explained = await inspect(run, { bytes: file, ...(password !== undefined && { password }) }).catch(refused);
      const named = host === undefined ? hosts().slice(0, MAX_HOSTS) : [host];
      let left = MAX_JUDGED;
      const items = explained.items.map(({ facts, ...item }) => {
        const client = item.pem !== undefined && facts !== undefined && !facts.is_authority && left-- > 0;
        return { ...item, judged: client ? named.map(one => judgedFor(judge, item.pem as string, one, path)) : null };
      });
      return { body: { kind: explained.kind, items } };
    },
  );
}

function judgedFor(judge: InspectParts['judge'], pem: string, host: string, path: string): Judged {
  try {
    const { steps, reason } = JSON.parse(judge(pem, JSON.stringify({ host, path })));
    return { host, accepted: reason === null, reason, steps };
  } catch (error) {
    throw new Refusal(422, `${sentence((error as Error).message)}.`, 'Hosts are named as in the configuration.');
  }
}

function refused(error: unknown): never {
  if (error instanceof PkiError) throw new Refusal(422, `${sentence(error.message)}.`, error.hint);
  throw error;
}

function sentence(message: string): string {
  return `${message[0]?.toUpperCase() ?? ''}${message.slice(1).replace(/\.$/, '')}`;
}
