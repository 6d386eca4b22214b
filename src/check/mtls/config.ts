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
const action = z.enum(['log', 'block']);
const trust = z.array(z.string());

const path = z.strictObject({
  mode: mode.optional().describe('Instead of the mode of the host.'),
  action: action.optional().describe('Instead of the action of the host.'),
  trust: trust.optional().describe('Instead of the authorities of the host.'),
});

export const mtls = z
  .strictObject({
    mode: mode
      .default('require')
      .describe(
        '`require`: denied without a verified client certificate. `request`: verified when one is presented, rules decide. `off`: not looked at.',
      ),
    action: action
      .default('block')
      .describe(
        '`block`: what `mode: require` denies is denied. `log`: it passes and is recorded, so that one sees who would be locked out.',
      ),
    trust: trust.default([]).describe('Names of the authorities whose certificates count here.'),
    paths: z
      .record(z.string(), z.union([mode, path]))
      .default({})
      .describe('What holds below a path prefix instead: a mode, or a map. Whole segments; the longest prefix wins.'),
    own: z
      .strictObject({
        renew: z
          .boolean()
          .default(false)
          .describe('`POST /.well-known/portcullis/renew`: a certificate renews itself.'),
        est: z.boolean().default(false).describe('`/.well-known/est/`: enrolment over EST (RFC 7030).'),
      })
      .prefault({})
      .describe('Paths that the gateway itself answers on this host, instead of the origin.'),
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
