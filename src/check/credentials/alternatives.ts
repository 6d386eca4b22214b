// All of what one alternative needs, folded: a request has at most one token, one key and one certificate, so each is
// needed once, with everything that is asked of it.

import type { PolicyClaim, PolicyLocation, PolicyNeed } from '../../config/policy.js';

export interface Alternative {
  token: {
    configurations: readonly string[];
    scopes: readonly string[];
    /** One of each list. */
    roles: readonly (readonly string[])[];
    claims: readonly PolicyClaim[];
  } | null;
  /** No location: any that the host looks at. */
  key: { scopes: readonly string[]; locations: readonly PolicyLocation[] } | null;
  /** No authority: any that the host trusts. */
  certificate: { authorities: readonly string[] } | null;
}

/** Needs nothing: everybody passes. */
export const NOTHING: Alternative = { token: null, key: null, certificate: null };

export function isNothing({ token, key, certificate }: Alternative): boolean {
  return token === null && key === null && certificate === null;
}

/** Both of them, or the sentence that says why no request can have both. */
export function both(a: Alternative, b: Alternative): Alternative | string {
  const [token, key, certificate] = [tokens(a.token, b.token), keys(a.key, b.key), certificates(a, b)];
  if (typeof token === 'string') return token;
  if (typeof key === 'string') return key;
  if (typeof certificate === 'string') return certificate;
  return { token, key, certificate };
}

function tokens(a: Alternative['token'], b: Alternative['token']): Alternative['token'] | string {
  if (a === null || b === null) return a ?? b;
  const configurations = a.configurations.filter(name => b.configurations.includes(name));
  if (configurations.length === 0) return 'this asks for tokens of two configurations, and a request has one token';
  return {
    configurations,
    scopes: union(a.scopes, b.scopes),
    roles: [...a.roles, ...b.roles],
    claims: [...a.claims, ...b.claims],
  };
}

function keys(a: Alternative['key'], b: Alternative['key']): Alternative['key'] | string {
  if (a === null || b === null) return a ?? b;
  const scopes = union(a.scopes, b.scopes);
  if (a.locations.length === 0 || b.locations.length === 0) {
    return { scopes, locations: [...a.locations, ...b.locations] };
  }
  const same = b.locations.map(location => JSON.stringify(location));
  const locations = a.locations.filter(location => same.includes(JSON.stringify(location)));
  return locations.length === 0
    ? 'this asks for API keys in two places, and a request has one key'
    : { scopes, locations };
}

function certificates(
  { certificate: a }: Alternative,
  { certificate: b }: Alternative,
): Alternative['certificate'] | string {
  if (a === null || b === null) return a ?? b;
  if (a.authorities.length === 0 || b.authorities.length === 0) {
    return { authorities: [...a.authorities, ...b.authorities] };
  }
  const authorities = a.authorities.filter(name => b.authorities.includes(name));
  return authorities.length === 0
    ? 'this asks for certificates of two authorities, and a request has one certificate'
    : { authorities };
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}

/** As the engine takes them; alternatives that say the same once. */
export function policyOf(alternatives: readonly Alternative[]): PolicyNeed[][] {
  const written = alternatives.map(needs);
  const texts = written.map(one => JSON.stringify(one));
  return written.filter((_, index) => texts.indexOf(texts[index] as string) === index);
}

function needs({ token, key, certificate }: Alternative): PolicyNeed[] {
  const out: PolicyNeed[] = [];
  if (token) {
    const { configurations, scopes, claims } = token;
    const [first = [], ...others] = token.roles;
    out.push({
      kind: 'jwt',
      configurations: [...configurations],
      scopes: [...scopes],
      roles: [...first],
      claims: [...claims],
    });
    // One of each list of roles: the same token, asked again.
    for (const roles of others) {
      out.push({ kind: 'jwt', configurations: [...configurations], scopes: [], roles: [...roles], claims: [] });
    }
  }
  if (key) out.push({ kind: 'key', scopes: [...key.scopes], locations: [...key.locations] });
  if (certificate) out.push({ kind: 'certificate', authorities: [...certificate.authorities] });
  return out;
}
