// /pki/certificates: what was issued, and issuing.

import { z } from 'zod';
import { type Api, BASE, page, paging, Refusal, type Reply } from '../admin/api.js';
import { bulkOptions, issueBulk, MAX_CSV_BYTES } from './bulk.js';
import { encryption, type Locked, password, pkcs12, zipBundle } from './bundle.js';
import { findCertificate, fresh, listCertificates, STANDINGS, shown } from './certificates.js';
import { authorityName } from './create.js';
import { fileName } from './file-name.js';
import { type IssuedCertificate, issue, keepIssued, partner, wantedCertificate } from './issue.js';
import { by, type Pki } from './service.js';
import * as shapes from './shapes.js';

const tag = 'pki';
const PKCS12 = 'application/x-pkcs12';
const ZIP = 'application/zip';

const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, { error: 'is 64 lower-case hex digits' });

const asked = wantedCertificate.extend({
  format: z.enum(['pem', 'pkcs12', 'zip']).default('pem').describe('How it is answered, this once.'),
  password: password.optional().describe('Of PKCS#12: demanded there; a zip then holds one too.'),
  encryption,
});

/** PostgreSQL takes no NUL, and no name has one. */
const text = z
  .string()
  .min(1)
  .refine(written => !/\p{Cc}/u.test(written), { error: 'holds a control character' });

const filter = paging.extend({
  authority: authorityName.optional(),
  name: text.max(64).optional().meta({ description: 'What it begins with.' }),
  subject: text.max(2048).optional().meta({ description: 'RFC 4514, as it is shown.' }),
  serial: z
    .string()
    .regex(/^[0-9A-Fa-f]{2,42}$/)
    .optional(),
  fingerprint: fingerprint.optional(),
  partner: partner.optional(),
  status: z.enum(STANDINGS).optional(),
  expiring_before: shapes.time.optional(),
});

export function certificateRoutes(api: Api, pki: Pki): void {
  api.operation(
    {
      id: 'listCertificates',
      method: 'get',
      path: '/pki/certificates',
      summary: 'Certificates that were issued here, the newest first.',
      role: 'viewer',
      tag,
      query: filter,
      answer: page(shapes.certificate),
    },
    async ({ query: { cursor, limit, expiring_before, serial, ...rest } }) => {
      const expiringBefore = expiring_before === undefined ? undefined : Date.parse(expiring_before);
      const wanted = { ...rest, serial: serial?.toUpperCase(), expiringBefore };
      return { body: await listCertificates(pki, wanted, cursor, limit) };
    },
  );

  api.operation(
    {
      id: 'issueCertificate',
      method: 'post',
      path: '/pki/certificates',
      summary: 'Issue a certificate, from a certification request or with a key that is made here and shown this once.',
      role: 'operator',
      tag,
      status: 201,
      body: asked,
      answer: shapes.issuedCertificate,
      otherTypes: [PKCS12, ZIP],
    },
    async call => {
      const { format, password: secret, encryption: kind, ...wanted } = call.body;
      const locked = secret === undefined ? null : { password: secret, encryption: kind };
      refuseUnusable(format, locked, wanted.csr !== undefined);
      const issued = await issue(pki, wanted, call.principal.name);
      // Packed before it is kept: what nobody could be given was never issued.
      const reply = await answer(pki, issued, format, locked);
      await keepIssued(pki, issued, by(call));
      return reply;
    },
  );

  api.operation(
    {
      id: 'issueCertificates',
      method: 'post',
      path: '/pki/certificates/bulk',
      summary:
        'Issue to many devices: CSV with a first line of columns (name, dns, email, uri, ip, partner, password).',
      role: 'operator',
      tag,
      status: 201,
      query: bulkOptions,
      body: z.string().min(1),
      bodyType: 'text/csv',
      maxBytes: MAX_CSV_BYTES,
      answerType: ZIP,
    },
    async call => {
      const { zip, issued, failed } = await issueBulk(pki, call.body, call.query, by(call));
      const counts = { 'Portcullis-Issued': String(issued), 'Portcullis-Failed': String(failed) };
      return { body: zip, headers: { ...counts, 'Content-Disposition': 'attachment; filename="devices.zip"' } };
    },
  );

  api.operation(
    {
      id: 'getCertificate',
      method: 'get',
      path: '/pki/certificates/{fingerprint}',
      summary: 'A certificate that was issued here, and how it stands.',
      role: 'viewer',
      tag,
      params: z.object({ fingerprint }),
      answer: shapes.shownCertificate,
    },
    async ({ params }) => {
      const row = await findCertificate(pki, params.fingerprint);
      return { body: { ...shown(row, pki.now()), certificate: row.certificate } };
    },
  );
}

/** Before anything is issued. */
function refuseUnusable(format: string, locked: Locked | null, csr: boolean): void {
  if (format === 'pkcs12' && locked === null) {
    throw new Refusal(
      422,
      'PKCS#12 holds a private key: it needs a password.',
      'Send `password`, at least 8 characters.',
      [{ pointer: '/password', detail: 'is missing' }],
    );
  }
  if (csr && locked !== null) {
    throw new Refusal(422, 'PKCS#12 needs the private key, which the device kept.', 'Leave out `password`, or `csr`.');
  }
  if (format === 'pem' && locked !== null) {
    throw new Refusal(422, 'PEM is not encrypted.', 'Leave out `password`, or ask for `pkcs12` or `zip`.');
  }
}

async function answer(pki: Pki, issued: IssuedCertificate, format: string, locked: Locked | null): Promise<Reply> {
  const { row, key, chain, dropped, warnings } = issued;
  const headers = { Location: `${BASE}/pki/certificates/${row.fingerprint}` };
  const attachment = (ending: string) => ({
    ...headers,
    'Content-Disposition': `attachment; filename="${fileName(row.name)}.${ending}"`,
  });
  if (format === 'pkcs12' && locked) {
    return { type: PKCS12, body: await pkcs12(pki, issued, locked), headers: attachment('p12') };
  }
  if (format === 'zip') return { type: ZIP, body: await zipBundle(pki, issued, locked), headers: attachment('zip') };
  const body = {
    ...shown(fresh(row), pki.now()),
    certificate: row.certificate,
    chain: chain.whole.join(''),
    key,
    dropped,
    warnings,
  };
  return { body, headers };
}
