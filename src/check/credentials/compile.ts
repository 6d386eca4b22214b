// What the operations of a host require, from its description and from the configuration.

import type { Loading } from '../../config/loading.js';
import type { PolicyCredentials, PolicyJwt, PolicyOpenapi } from '../../config/policy.js';
import type { Credentials } from './config.js';

/** What the host and everything around it say. */
export interface Around {
  host: string;
  at: string;
  openapi: PolicyOpenapi | null;
  jwt: readonly PolicyJwt[];
  /** Names of authorities. */
  authorities: readonly string[];
}

export function compileCredentials(
  { action, jwt }: Credentials,
  { host, at, openapi, jwt: known }: Around,
  _loading: Loading,
): PolicyCredentials {
  const configurations = jwt ?? known.map(({ name }) => name);
  const requirement = {
    at,
    action,
    any: [[{ kind: 'jwt' as const, configurations, scopes: [], roles: [], claims: [] }]],
    realm: host,
  };
  return {
    at,
    jwt: configurations,
    keys: [],
    unmatched: requirement,
    operations: (openapi?.operations ?? []).map(() => requirement),
    session: [],
    claims: [],
    partner_header: '',
    strip: false,
  };
}
