import { z } from 'zod';
import { duration, file, oneOrMany, size } from '../../config/units.js';

/** RFC 7518, 3.1 and RFC 8037: what is signed with a key of which others know half. */
export const PUBLIC_KEY_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'EdDSA',
] as const;
/** With the least bytes of their keys: as many as the hash has (RFC 7518, 3.2). */
export const SECRET_BYTES = { HS256: 32, HS384: 48, HS512: 64 } as const;
type SecretAlgorithm = keyof typeof SECRET_BYTES;

const algorithm = z.enum([...PUBLIC_KEY_ALGORITHMS, ...(Object.keys(SECRET_BYTES) as SecretAlgorithm[])]);
/** What is compared with a claim; numbers and booleans as JSON writes them. */
const claimValue = z.union([z.string(), z.number(), z.boolean()]);

const inline = z.looseObject({
  keys: z
    .array(z.looseObject({ kty: z.string().describe('Type of the key.') }))
    .min(1)
    .optional()
    .describe('The keys of a JWK Set.'),
  secret: z.string().optional().describe(
    // biome-ignore lint/suspicious/noTemplateCurlyInString: what an operator writes
    'For HS256, HS384 and HS512: what both sides know, such as `${JWT_SECRET}` or `${file:jwt.secret}`. At least as long as the hash: 32, 48 or 64 bytes.',
  ),
  encoding: z
    .enum(['text', 'base64'])
    .optional()
    .describe('How `secret` is written; `text` unless given. `base64` takes base64url too.'),
});

const keys = z.strictObject({
  file: file().optional().describe('A JWK Set, or public keys as PEM. Taken up when it changes.'),
  inline: z
    .union([z.string().min(1), inline])
    .optional()
    .describe('The same written here, as text or as a map; a single JWK; or a shared `secret`.'),
  url: z
    .string()
    .optional()
    .meta({ title: 'URL of a JWK Set', forms: ['https://login.example.com/jwks.json'] })
    .describe('Where the JWK Set is fetched from, again and again. `https://` unless `allowHttp`.'),
  refresh: z
    .strictObject({
      least: duration('1s', '24h').prefault('1m').describe('However soon the answer ends by its cache headers.'),
      most: duration('1s', '168h').prefault('1h').describe('However long it holds.'),
    })
    .prefault({})
    .describe('How often it is fetched: when its cache headers say, within these bounds; every 10 min without any.'),
  cooldown: duration('1s', '1h')
    .prefault('30s')
    .describe('A token of an unknown key has the set fetched at once, but no more often than this.'),
  stale: duration('1m', '720h')
    .prefault('24h')
    .describe('How long the last good set serves while no other can be had. After that tokens are denied.'),
  allowPrivateAddresses: z
    .boolean()
    .default(false)
    .describe('The set may also come from loopback and private addresses.'),
  allowRedirects: z.boolean().default(false).describe('Up to 3 redirects are followed, each under the same rules.'),
  allowHttp: z
    .boolean()
    .default(false)
    .describe('The set may be fetched without TLS: whoever is on the way can then sign tokens.'),
  ca: file().optional().describe("Authorities of the server's certificate, PEM, instead of the system's."),
});

const location = z.strictObject({
  header: z.string().optional().describe('Name of a header.'),
  scheme: z
    .string()
    .optional()
    .describe('The word before the token, compared without case. Without, the whole value is the token.'),
  cookie: z.string().optional().describe('Name of a cookie, instead of a header.'),
});

const dpop = z.strictObject({
  required: z.boolean().default(false).describe('Tokens without `cnf.jkt` are refused.'),
  lifetime: duration('1s', '10m').prefault('60s').describe('How old a proof may be.'),
  algorithms: z
    .array(z.enum(PUBLIC_KEY_ALGORITHMS))
    .min(1)
    .default(['ES256', 'EdDSA'])
    .describe('What may sign a proof.'),
});

export const jwt = z
  .strictObject({
    issuer: z.string().min(1).max(1024).optional().describe('`iss`, compared byte by byte.'),
    allowAnyIssuer: z.boolean().default(false).describe('`iss` is not looked at: whoever has the key is the issuer.'),
    audiences: oneOrMany(z.string().min(1).max(1024)).optional().describe('One of them has to be in `aud`.'),
    allowAnyAudience: z
      .boolean()
      .default(false)
      .describe('`aud` is not looked at: a token that was meant for another service counts too.'),
    algorithms: z
      .array(algorithm)
      .min(1)
      .default(['RS256', 'ES256', 'EdDSA'])
      .describe('What may sign. HS* with a shared secret only, and never beside the others.'),
    keys: keys.describe('Whose signatures count: exactly one of `file`, `inline` and `url`.'),
    locations: z
      .array(location)
      .min(1)
      .max(8)
      .default([{ header: 'Authorization', scheme: 'Bearer' }])
      .describe('Where a token is looked for; the first place that holds something counts.'),
    types: z
      .array(z.string().max(64))
      .min(1)
      .default(['', 'JWT', 'at+jwt'])
      .describe('`typ`, compared without case and without `application/`; the empty one is a token without `typ`.'),
    requiredClaims: z
      .record(z.string(), z.union([z.literal(true), z.string(), z.number(), z.array(claimValue).min(1).max(256)]))
      .default({})
      .describe(
        'Claims that have to be there (`true`), or to be or hold one of the values. Steps into a claim with dots.',
      ),
    skew: duration('0ms', '10m').prefault('60s').describe('How far clocks may differ.'),
    maxLifetime: duration('1s', '8760h')
      .prefault('24h')
      .describe('Longest time from `iat` (else `nbf`, else now) to `exp`.'),
    allowNoExpiry: z.boolean().default(false).describe('Tokens without `exp` count, for ever.'),
    maxBytes: size('64B', '16KiB').prefault('8KiB').describe('Longest token.'),
    scopeClaims: z
      .array(z.string().min(1).max(256))
      .max(8)
      .default(['scope', 'scp'])
      .describe('Claims that hold scopes: a list, or text with spaces between.'),
    roleClaims: z
      .array(z.string().min(1).max(256))
      .max(8)
      .default(['roles'])
      .describe('Claims that hold roles, in the same way.'),
    binding: z
      .strictObject({
        certificate: z
          .boolean()
          .default(false)
          .describe('Tokens that are not bound to the client certificate are refused (RFC 8705, `cnf.x5t#S256`).'),
        dpop: dpop.prefault({}).describe('Tokens bound to a key that the client proves to have (RFC 9449).'),
      })
      .prefault({})
      .describe('What a token has to be bound to. One that names a binding is held to it anyway.'),
  })
  .describe('Tokens of one issuer (docs/jwt.md).');

export type Jwt = z.output<typeof jwt>;
