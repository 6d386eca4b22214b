import { z } from 'zod';
import { duration, file, oneOrMany } from '../../config/units.js';

export const authority = z
  .strictObject({
    certificates: file()
      .optional()
      .describe('Trust anchors, PEM, one or more. Needed unless the authority is `hosted`.'),
    hosted: z
      .boolean()
      .default(false)
      .describe('The certificates come from the store: Portcullis keeps this authority. Instead of `certificates`.'),
    intermediates: file().optional().describe('Certificates that chains need and clients do not send, PEM.'),
    revocation: z
      .strictObject({
        crl: oneOrMany(file())
          .optional()
          .describe(
            'Revocation list, PEM or DER, or several. Each has to be signed by a certificate of the authority.',
          ),
        fetch: z
          .boolean()
          .default(false)
          .describe(
            'Lists are fetched from the distribution points that certificates name. Until one is there, the state of a certificate is unknown.',
          ),
        urls: oneOrMany(
          z.string().regex(/^https?:\/\/[^\s@]+$/, { error: 'is `http://` or `https://` without a password' }),
        )
          .optional()
          .describe('With `fetch`: distribution points beside those that certificates name.'),
        allowPrivateAddresses: z
          .boolean()
          .default(false)
          .describe('Lists and OCSP answers may also come from loopback and private addresses.'),
        ocsp: z
          .boolean()
          .default(false)
          .describe(
            'The responder that a client certificate names is asked about it. Until it answers, its state is unknown.',
          ),
        stale: z
          .enum(['hard', 'soft', 'grace'])
          .default('hard')
          .describe(
            'What counts while the state is unknown or past its nextUpdate. `hard`: denied. `soft`: passes, and is counted. `grace`: passes and is counted for as long as `grace` says, then denied.',
          ),
        grace: duration('1s', '720h')
          .prefault('1h')
          .describe('With `stale: grace`: how long after nextUpdate, or after an unknown state was first asked for.'),
      })
      .optional()
      .describe('Which certificates have been taken back.'),
  })
  .describe('Who may issue client certificates.');

export const mode = z.enum(['off', 'request', 'require']);
/** Starts with `/`; whole segments, none of them empty or of dots, as a normalised path has them. */
export const PATH_PREFIX = /^(?!.*\/\.{0,2}\/)(?!.*\/\.{1,2}$)\/[^?#%\s]*$/;
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
      .array(z.enum(['rfc9440', 'chain', 'xfcc', 'nginx', 'cloudflare', 'sha256']))
      .default([])
      .describe(
        'How the verified certificate reaches the origin: `rfc9440` as `Client-Cert`, `chain` its intermediates as `Client-Cert-Chain`, `xfcc` as `X-Forwarded-Client-Cert` (Envoy), `nginx` as `X-SSL-Client-Cert` (escaped PEM), `cloudflare` as `Cf-Cert-*`, `sha256` as `Cf-Client-Cert-Sha256`.',
      ),
  })
  .describe('Client certificates. Required unless said otherwise.');

export type Authority = z.output<typeof authority>;
export type Mtls = z.output<typeof mtls>;
