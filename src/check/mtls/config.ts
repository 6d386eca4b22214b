import { z } from 'zod';
import { file, oneOrMany } from '../../config/units.js';

export const authority = z
  .strictObject({
    certificates: file().describe('Trust anchors, PEM, one or more.'),
    intermediates: file().optional().describe('Certificates that chains need and clients do not send, PEM.'),
    revocation: z
      .strictObject({
        crl: oneOrMany(file()).describe(
          'Revocation list, PEM or DER, or several. Past its nextUpdate every certificate it speaks for is denied.',
        ),
      })
      .optional()
      .describe('Which certificates have been taken back.'),
  })
  .describe('Who may issue client certificates.');

const mode = z.enum(['off', 'request', 'require']);

export const mtls = z
  .strictObject({
    mode: mode
      .default('require')
      .describe(
        '`require`: denied without a verified client certificate. `request`: verified when one is presented, rules decide. `off`: not looked at.',
      ),
    trust: z.array(z.string()).default([]).describe('Names of the authorities whose certificates count here.'),
    paths: z
      .record(z.string(), mode)
      .default({})
      .describe('Another mode below a path prefix. Whole segments; the longest prefix wins.'),
    forward: z
      .array(z.enum(['rfc9440', 'sha256']))
      .default([])
      .describe(
        'How the verified certificate reaches the origin: `rfc9440` as `Client-Cert`, `sha256` as `Cf-Client-Cert-Sha256`.',
      ),
  })
  .describe('Client certificates. Required unless said otherwise.');

export type Authority = z.output<typeof authority>;
export type Mtls = z.output<typeof mtls>;
