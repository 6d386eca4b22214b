// Token configurations to policy, files read. Whether keys are any good is the engine's to say.

import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import type { PolicyJwt } from '../../config/policy.js';
import type { Jwt } from './config.js';

export function compileJwt(written: Record<string, Jwt>, loading: Loading): PolicyJwt[] {
  return Object.entries(written).map(([name, one]) => {
    const at = pointer(['jwt', name]);
    return {
      name,
      at,
      issuer: one.issuer ?? null,
      audiences: one.audiences ?? [],
      algorithms: one.algorithms,
      keys: one.keys.file ? loading.text(child(child(at, 'keys'), 'file'), one.keys.file) : null,
      url: one.keys.url ?? null,
      locations: [{ in: 'header', name: 'authorization', scheme: 'Bearer' }],
      required: [],
      skew_s: one.skew / 1_000,
      types: ['', 'jwt', 'at+jwt'],
      max_lifetime_s: Math.ceil(one.maxLifetime / 1_000),
      allow_no_expiry: false,
      max_bytes: one.maxBytes,
      scope_claims: ['scope', 'scp'],
      role_claims: ['roles'],
      binding: { certificate: false, dpop: false, dpop_lifetime_s: 60, dpop_algorithms: ['ES256', 'EdDSA'] },
    };
  });
}
