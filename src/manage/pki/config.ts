import { z } from 'zod';
import { lifetime } from './lifetime.js';

/** Renewals of one certificate within a day: lost answers are asked for again, and a loop at a device stays small. */
const RENEWALS_A_DAY = 5;

export const pki = z
  .strictObject({
    url: z
      .string()
      .regex(/^https?:\/\/[^/?#\s]+(\/[^?#\s]*)?$/, { error: 'is `http://` or `https://` with a host' })
      .transform(url => url.replace(/\/+$/, ''))
      .optional()
      .describe(
        'Where revocation lists and OCSP of hosted authorities are reachable; written into the certificates that are issued. Without it they name neither.',
      ),
    renewal: z
      .strictObject({
        window: lifetime('1h', '10y')
          .optional()
          .describe('How long before its end a certificate may renew itself; a third of its validity unless given.'),
        perDay: z
          .int()
          .min(1)
          .max(1000)
          .default(RENEWALS_A_DAY)
          .describe('How often one certificate may be renewed within 24 hours.'),
      })
      .prefault({})
      .describe('Renewal by the certificate itself, on hosts with `mtls.own.renew`, and EST simplereenroll.'),
    est: z
      .strictObject({
        authority: z
          .string()
          .optional()
          .describe('Answers EST paths without a label; where one authority issues, it is that one.'),
      })
      .prefault({})
      .describe('EST (RFC 7030), on hosts with `mtls.own.est`.'),
  })
  .describe('Authorities that are hosted here and the certificates they issue.');

export type PkiConfig = z.output<typeof pki>;

export const DEFAULTS: PkiConfig = pki.parse({});

/** The list of what a key has taken back (CRL distribution point, RFC 5280, 4.2.1.13). */
export function listUrl(url: string, keyId: string): string {
  return `${url}/crl/${keyId}.crl`;
}

/** RFC 6960, appendix A: one place for all authorities; the request says whose certificate it asks about. */
export function ocspUrl(url: string): string {
  return `${url}/ocsp`;
}
