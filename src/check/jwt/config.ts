import { z } from 'zod';
import { duration, file, oneOrMany, size } from '../../config/units.js';

export const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'EdDSA',
  'HS256',
  'HS384',
  'HS512',
] as const;

export const jwt = z
  .strictObject({
    issuer: z.string().optional().describe('`iss`, compared byte by byte.'),
    audiences: oneOrMany(z.string()).optional().describe('One of them has to be in `aud`.'),
    algorithms: z.array(z.enum(ALGORITHMS)).min(1).default(['RS256', 'ES256', 'EdDSA']).describe('What may sign.'),
    keys: z
      .strictObject({
        file: file().optional().describe('A JWK Set, or public keys as PEM.'),
        url: z.string().optional().describe('Where the JWK Set is fetched from.'),
      })
      .describe('Whose signatures count.'),
    skew: duration('0ms', '10m').prefault('60s').describe('How far clocks may differ.'),
    maxLifetime: duration('1s', '8760h').prefault('24h').describe('Longest time from `iat` to `exp`.'),
    maxBytes: size('64B', '16KiB').prefault('8KiB').describe('Longest token.'),
  })
  .describe('Tokens of one issuer.');

export type Jwt = z.output<typeof jwt>;
