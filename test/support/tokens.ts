// Issuers of bearer tokens, whose keys are made while the test runs.

import { generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID, sign } from 'node:crypto';

export interface TokenIssuer {
  /** As `jwt.<name>.keys.inline` takes it. */
  keys: { keys: JsonWebKey[] };
  /** ES256, good for an hour from now unless the claims say otherwise. */
  token(claims: Record<string, unknown>): string;
}

export function tokenIssuer(issuer: string, audience: string): TokenIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = randomUUID();
  return {
    keys: { keys: [{ ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }] },
    token: claims => {
      const now = Math.floor(Date.now() / 1_000);
      return signed(
        privateKey,
        { alg: 'ES256', typ: 'JWT', kid },
        {
          ...{ iss: issuer, aud: audience, iat: now, exp: now + 3_600 },
          ...claims,
        },
      );
    },
  };
}

/** RFC 7515, 7.1. */
function signed(key: KeyObject, header: object, claims: object): string {
  const text = [header, claims].map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}
