// Where keys are looked for, and that no place has two meanings.

import { folded, isReserved } from '../../config/headers.js';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyJwt, PolicyLocation } from '../../config/policy.js';
import type { DescribedScheme } from '../../config/security.js';
import type { Credentials, Place } from './config.js';

/** What follows `Authorization: Bearer`. */
export const BEARER: PolicyLocation = { in: 'header', name: 'authorization', scheme: 'Bearer' };

/** Where keys are looked for when neither the configuration nor the description says. */
const USUAL: readonly PolicyLocation[] = [
  { in: 'header', name: 'x-api-key', scheme: null },
  BEARER,
  { in: 'pair', id: 'cf-access-client-id', secret: 'cf-access-client-secret' },
];

/** Where a scheme says that a key stands; null for schemes that are no keys. `told`: that it is one is known. */
export function described(scheme: DescribedScheme, told = false): PolicyLocation | null {
  if (scheme.type === 'http' && scheme.scheme === 'bearer') return told ? BEARER : null;
  if (scheme.type === 'http') return scheme.scheme === 'basic' ? { in: 'basic' } : null;
  if (scheme.type !== 'apiKey') return null;
  if (scheme.in === 'header') return { in: 'header', name: scheme.key.toLowerCase(), scheme: null };
  return { in: scheme.in, name: scheme.key };
}

export function same(a: PolicyLocation, b: PolicyLocation): boolean {
  const scheme = (location: PolicyLocation) =>
    location.in === 'header' ? (location.scheme?.toLowerCase() ?? null) : null;
  return JSON.stringify({ ...a, scheme: scheme(a) }) === JSON.stringify({ ...b, scheme: scheme(b) });
}

/** In an operator's words. */
export function shown(location: PolicyLocation): string {
  switch (location.in) {
    case 'header':
      return `the header \`${location.name}\`${location.scheme === null ? '' : ` behind \`${location.scheme}\``}`;
    case 'pair':
      return `the headers \`${location.id}\` and \`${location.secret}\``;
    case 'basic':
      return '`Authorization: Basic`';
    default:
      return `the ${location.in === 'query' ? 'query parameter' : 'cookie'} \`${location.name}\``;
  }
}

/** Names of parameters that hold keys: no description has to know them. */
export function keysInQuery(credentials: Credentials | undefined): string[] {
  return (credentials?.keys ?? []).flatMap(({ query, allowQuery }) =>
    query !== undefined && allowQuery ? [query] : [],
  );
}

/**
 * `found`: what the description says of keys, `needed`: whether anything requires them. What the description has in the
 * query is left to the operator, who has to say so himself.
 */
export function compilePlaces(
  written: readonly Place[] | undefined,
  found: readonly PolicyLocation[],
  needed: boolean,
  at: string,
  loading: Loading,
): PolicyLocation[] {
  if (written === undefined) {
    const own = found.filter((location, index) => {
      return location.in !== 'query' && found.findIndex(other => same(other, location)) === index;
    });
    return own.length > 0 ? own : needed ? [...USUAL] : [];
  }
  const places: PolicyLocation[] = [];
  for (const [index, one] of written.entries()) {
    const place = child(at, index);
    const location = compilePlace(one, place, loading);
    if (location === null) continue;
    if (places.some(other => same(other, location))) {
      loading.problem(place, `keys are looked for in ${shown(location)} already`, { hint: 'keep one' });
    } else places.push(location);
  }
  return places;
}

/**
 * The one of these members that is written; null, and told, when there are several or none. What was left out because of
 * a fault of its own counts as written.
 */
export function onlyOne(members: readonly string[], at: string, loading: Loading): string | null {
  const written = loading.names(loading.original(at));
  const [one, ...others] = written.filter(name => members.includes(name));
  const listed = members.map(name => `\`${name}\``).join(', ');
  if (one !== undefined && others.length === 0) return one;
  if (one !== undefined) {
    const rivals = others.map(name => `\`${name}\``).join(' and ');
    loading.problem(at, `\`${one}\` and ${rivals} exclude each other`, { hint: `one of ${listed}` });
  } else if (written.every(name => name === 'scheme' || name === 'allowQuery')) {
    loading.problem(at, 'nothing is named', { hint: `one of ${listed}` });
  }
  return null;
}

function compilePlace(written: Place, at: string, loading: Loading): PolicyLocation | null {
  if (onlyOne(['header', 'pair', 'basic', 'cookie', 'query'], at, loading) === null) return null;
  const { header, scheme, pair, basic, cookie, query, allowQuery } = written;
  if (scheme !== undefined && header === undefined) {
    loading.problem(child(at, 'scheme'), '`scheme` belongs to `header`', { key: true, hint: 'leave it out' });
    return null;
  }
  if (allowQuery && query === undefined) {
    loading.problem(child(at, 'allowQuery'), '`allowQuery` belongs to `query`', { key: true, hint: 'leave it out' });
    return null;
  }
  if (header !== undefined) {
    if (refuseReserved(header, child(at, 'header'), loading)) return null;
    if (/^(basic|dpop|digest|negotiate)$/i.test(scheme ?? '')) {
      const basic = scheme?.toLowerCase() === 'basic' ? '`basic: true` looks there' : 'such as `scheme: Bearer`';
      loading.problem(child(at, 'scheme'), `what follows \`${scheme}\` is no key`, { hint: basic });
      return null;
    }
    return { in: 'header', name: header.toLowerCase(), scheme: scheme ?? null };
  }
  if (pair !== undefined) {
    const [id, secret] = pair.map(name => name.toLowerCase()) as [string, string];
    const reserved = pair.map((name, index) => refuseReserved(name, child(child(at, 'pair'), index), loading));
    if (reserved.includes(true)) return null;
    if (folded(id) === folded(secret)) {
      loading.problem(child(at, 'pair'), 'both headers are the same', {
        hint: 'the id in one, the secret in the other',
      });
      return null;
    }
    return { in: 'pair', id, secret };
  }
  if (basic) return { in: 'basic' };
  if (cookie !== undefined) return { in: 'cookie', name: cookie };
  if (query === undefined) return null;
  if (!allowQuery) {
    loading.problem(child(at, 'query'), 'keys in the query end up in logs, histories and `Referer`', {
      hint: 'use a header, or add `allowQuery: true`',
    });
    return null;
  }
  loading.warning(
    child(at, 'query'),
    `keys in the query parameter \`${query}\` end up in logs, histories and \`Referer\``,
    {
      hint: 'move the clients to a header, then take this out',
    },
  );
  return { in: 'query', name: query };
}

function refuseReserved(name: string, at: string, loading: Loading): boolean {
  if (!isReserved(name)) return false;
  const hint = /^cookie$/i.test(name) ? '`cookie: <name>` looks into one' : 'such as `X-API-Key`';
  loading.problem(at, `\`${name}\` has a meaning of its own and holds no credential`, { hint });
  return true;
}

/**
 * One place, one meaning: a value is a key or a token by where it stands, and only behind `Authorization: Bearer` by
 * what it begins with. A header that is read whole is not read by its first word too.
 */
export function refuseTwoMeanings(
  keys: readonly PolicyLocation[],
  configurations: readonly PolicyJwt[],
  at: string,
  loading: Loading,
): void {
  const taken = new Map<string, { what: string; scheme: string | null }[]>();
  const place = (name: string, what: string, scheme: string | null) => {
    const uses = taken.get(name) ?? [];
    taken.set(name, uses);
    for (const use of uses) {
      const bearer = name === 'header authorization' && scheme?.toLowerCase() === 'bearer';
      const apart = scheme !== null && use.scheme !== null && scheme.toLowerCase() !== use.scheme.toLowerCase();
      if (apart || use.what === what || (bearer && use.scheme?.toLowerCase() === 'bearer')) continue;
      loading.problem(at, `the ${name.replace(' ', ' `')}\` would hold ${use.what} and ${what}`, {
        key: true,
        hint: 'look for one of them elsewhere',
      });
    }
    uses.push({ what, scheme });
  };
  for (const key of keys) {
    if (key.in === 'header') {
      place(`header ${key.name}`, key.scheme === null ? 'a key' : `a key behind \`${key.scheme}\``, key.scheme);
    } else if (key.in === 'pair') {
      place(`header ${key.id}`, 'the id of a pair', null);
      place(`header ${key.secret}`, 'the secret of a pair', null);
    } else if (key.in === 'basic') place('header authorization', 'a key by `basic`', 'Basic');
    else place(`${key.in} ${key.name}`, 'a key', null);
  }
  for (const { name, locations } of configurations) {
    for (const location of locations) {
      const what = `a token of \`${name}\``;
      if (location.in === 'header') place(`header ${location.name}`, 'a token', location.scheme);
      else if (location.in === 'cookie' || location.in === 'query')
        place(`${location.in} ${location.name}`, 'a token', null);
      else loading.problem(at, `${shown(location)} would hold ${what}`, { key: true });
    }
  }
}

/** Headers that are read for credentials, folded. */
export function headersOf(keys: readonly PolicyLocation[], configurations: readonly PolicyJwt[]): Set<string> {
  const locations = [...keys, ...configurations.flatMap(({ locations }) => locations)];
  const names = locations.flatMap(location => {
    if (location.in === 'header') return [location.name];
    return location.in === 'pair' ? [location.id, location.secret] : [];
  });
  return new Set(['authorization', ...names].map(folded));
}
