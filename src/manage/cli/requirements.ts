// What an operation requires of who calls it, in a line: `jwt customers[orders:read] or key and certificate devices`.

import { operationsOf } from '../../config/operations.js';
import type {
  Policy,
  PolicyAction,
  PolicyCredentials,
  PolicyJwt,
  PolicyLocation,
  PolicyNeed,
} from '../../config/policy.js';
import type { Stated, StatedHost } from '../../config/security.js';

/** As `portcullis check --format json` tells it. */
export interface Requires {
  /** What becomes of a request without it. */
  action: PolicyAction;
  /** Everybody may call, and somebody said so. */
  public: boolean;
  saidBy: Stated['by'];
  /** One of the alternatives, all of it; an empty one lets everybody pass. */
  any: PolicyNeed[][];
}

/** By host. */
export type StatedByHost = ReadonlyMap<string, StatedHost>;

/** null: the host asks for no credentials. */
export function requires({ hosts }: Policy, stated: StatedByHost, host: string, index: number): Requires | null {
  const requirement = hosts.find(({ name }) => name === host)?.credentials?.operations[index];
  if (requirement === undefined) return null;
  const { by, public: isPublic } = stated.get(host)?.operations[index] ?? { by: 'default', public: false };
  return { action: requirement.action, public: isPublic, saidBy: by, any: requirement.any };
}

/**
 * Of what a request was found to be: its operation by name, none for whatever matches none. Operations of one name
 * (one for each base path) require the same.
 */
export function requiresOf(
  policy: Policy,
  stated: StatedByHost,
  host: string,
  operation: string | null,
): Requires | null {
  const found = policy.hosts.find(({ name }) => name === host);
  if (!found?.credentials) return null;
  const index = operationsOf(found).findIndex(({ id }) => id === operation);
  if (index >= 0) return requires(policy, stated, host, index);
  const { action, any } = found.credentials.unmatched;
  return { action, public: false, saidBy: stated.get(host)?.unmatched.by ?? 'default', any };
}

export function inWords(
  { any, public: isPublic }: Pick<Requires, 'any' | 'public'>,
  credentials: PolicyCredentials,
): string {
  if (any.length === 0) return 'what nobody has';
  const asked = any.filter(needs => needs.length > 0);
  const nothing = any.length === asked.length ? [] : [isPublic ? 'public' : 'nothing (not stated)'];
  const alternatives = asked.map(needs => needs.map(need => needInWords(need, credentials)).join(' and '));
  return [...alternatives, ...nothing].join(' or ');
}

/** What counts as a credential on a host, and for how long: a line each, under the table that speaks of them. */
export function accepted(policy: Policy, { jwt, keys, unmatched, operations }: PolicyCredentials): [string, string][] {
  const certificates = [unmatched, ...operations].some(({ any }) =>
    any.flat().some(({ kind }) => kind === 'certificate'),
  );
  const tokens = policy.jwt.filter(({ name }) => jwt.includes(name));
  return [
    ...tokens.map((one): [string, string] => [`jwt ${one.name}`, tokenInWords(one)]),
    ...(keys.length > 0
      ? [['key', `in ${keys.map(placeInWords).join(' or ')}; ends and holders: portcullis keys list`]]
      : []),
    ...(certificates ? [['certificate', 'ends and holders: portcullis pki list']] : []),
  ] as [string, string][];
}

function tokenInWords({ issuer, audiences, algorithms, max_lifetime_s, allow_no_expiry, binding }: PolicyJwt): string {
  const bound = [...(binding.certificate ? ['a certificate'] : []), ...(binding.dpop ? ['a key (DPoP)'] : [])];
  return [
    `of ${issuer ?? 'any issuer'}`,
    `for ${audiences.length > 0 ? audiences.join('|') : 'any audience'}`,
    `signed with ${algorithms.join('|')}`,
    allow_no_expiry ? 'may never end' : `ends within ${max_lifetime_s === null ? 'any time' : span(max_lifetime_s)}`,
    ...(bound.length > 0 ? [`bound to ${bound.join(' and ')}`] : []),
  ].join(', ');
}

function span(seconds: number): string {
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function needInWords(need: PolicyNeed, { keys }: PolicyCredentials): string {
  switch (need.kind) {
    case 'jwt': {
      const claims = need.claims.map(({ claim, values }) => claim + (values.length > 0 ? `=${values.join('|')}` : ''));
      const roles = need.roles.length > 0 ? ` as ${need.roles.join('|')}` : '';
      const having = claims.length > 0 ? ` with ${claims.join(', ')}` : '';
      return `jwt ${need.configurations.join('|')}${listed(need.scopes)}${roles}${having}`;
    }
    case 'key': {
      const places = need.locations.length < keys.length ? need.locations.map(placeInWords) : [];
      return `key${listed(need.scopes)}${places.length > 0 ? ` in ${places.join('|')}` : ''}`;
    }
    case 'certificate':
      return ['certificate', need.authorities.join('|')].filter(Boolean).join(' ');
  }
}

function listed(scopes: readonly string[]): string {
  return scopes.length > 0 ? `[${scopes.join(' ')}]` : '';
}

function placeInWords(place: PolicyLocation): string {
  switch (place.in) {
    case 'header':
      return [place.name, place.scheme].filter(Boolean).join(' ');
    case 'pair':
      return `${place.id}, ${place.secret}`;
    case 'basic':
      return 'authorization Basic';
    default:
      return `${place.in} ${place.name}`;
  }
}
