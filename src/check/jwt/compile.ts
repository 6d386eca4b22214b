// Token configurations to policy, files read. Which kinds of keys go with which algorithms and places is decided here,
// where the place of each is known; whether a key is any good is the engine's to say.

import { isInside } from '../../config/addresses.js';
import { readAuthorities } from '../../config/certificates.js';
import { claimOf, MAX_CLAIM_CHARACTERS } from '../../config/claims.js';
import { TOKEN } from '../../config/headers.js';
import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import type { PolicyClaim, PolicyJwt, PolicyLocation } from '../../config/policy.js';
import { type Jwt, SECRET_BYTES } from './config.js';

/** Of a document with keys, wherever it comes from: a key with its certificates has some KiB. */
export const MAX_KEY_SET_BYTES = 2 ** 20;
const MAX_URL_CHARACTERS = 2_048;
/** What says where a message ends, who it is for, and other credentials: no place for a token. */
const TAKEN = new Set(
  'connection content-length cookie dpop expect host keep-alive te trailer transfer-encoding upgrade'.split(' '),
);
const PEM = /-----BEGIN ([A-Z0-9 ]+)-----/;

/** Where a key set is fetched from, and how often. */
export interface KeySetPlan {
  name: string;
  url: string;
  leastMs: number;
  mostMs: number;
  cooldownMs: number;
  staleMs: number;
  allowPrivateAddresses: boolean;
  allowRedirects: boolean;
  allowHttp: boolean;
  /** PEM; null: the system's authorities. */
  ca: string | null;
}

export function compileJwt(
  written: Record<string, Jwt>,
  loading: Loading,
): { policy: PolicyJwt[]; keySets: KeySetPlan[] } {
  const keySets: KeySetPlan[] = [];
  const policy = Object.entries(written).map(([name, one]): PolicyJwt => {
    const at = pointer(['jwt', name]);
    checkParties(one, at, loading);
    const algorithms = [...new Set(one.algorithms)];
    const { keys, url } = compileKeys(one, at, loading);
    if (url !== null) keySets.push(planOf(name, url, one, child(at, 'keys'), loading));
    return {
      name,
      at,
      issuer: one.issuer ?? null,
      audiences: one.audiences ?? [],
      algorithms,
      keys,
      url,
      locations: one.locations.flatMap((location, i) =>
        compileLocation(location, pointerIn(at, 'locations', i), loading),
      ),
      required: compileClaims(one.requiredClaims, child(at, 'requiredClaims'), loading),
      skew_s: Math.ceil(one.skew / 1_000),
      types: [...new Set(one.types.map(type => type.toLowerCase().replace(/^application\//, '')))],
      max_lifetime_s: Math.ceil(one.maxLifetime / 1_000),
      allow_no_expiry: one.allowNoExpiry,
      max_bytes: one.maxBytes,
      scope_claims: checkedClaims(one.scopeClaims, child(at, 'scopeClaims'), loading),
      role_claims: checkedClaims(one.roleClaims, child(at, 'roleClaims'), loading),
      binding: {
        certificate: one.binding.certificate,
        dpop: one.binding.dpop.required,
        dpop_lifetime_s: Math.ceil(one.binding.dpop.lifetime / 1_000),
        dpop_algorithms: [...new Set(one.binding.dpop.algorithms)],
      },
    };
  });
  return { policy, keySets };
}

function checkParties(
  { issuer, allowAnyIssuer, audiences, allowAnyAudience }: Jwt,
  at: string,
  loading: Loading,
): void {
  if ((issuer !== undefined) === allowAnyIssuer) {
    loading.problem(at, issuer === undefined ? '`issuer` is missing' : 'one issuer, and any issuer as well', {
      key: true,
      hint: 'either `issuer:`, as tokens have it in `iss`, or `allowAnyIssuer: true`',
    });
  }
  if ((audiences !== undefined) === allowAnyAudience) {
    loading.problem(at, audiences === undefined ? '`audiences` is missing' : 'some audiences, and any as well', {
      key: true,
      hint: 'either `audiences:`, of which one has to be in `aud`, or `allowAnyAudience: true`',
    });
  }
}

/** The document, or where it will come from; neither where something is wrong with it. */
function compileKeys(one: Jwt, at: string, loading: Loading): { keys: string | null; url: string | null } {
  const { file, inline, url } = one.keys;
  const place = child(at, 'keys');
  const nothing = { keys: null, url: null };
  const given = Object.entries({ file, inline, url }).flatMap(([way, value]) => (value === undefined ? [] : [way]));
  if (given.length !== 1) {
    loading.problem(place, given.length === 0 ? 'no keys' : `keys from ${given.join(' and ')}: which of them counts?`, {
      key: true,
      hint: 'exactly one of `file`, `inline` and `url`',
    });
    return nothing;
  }
  if (url === undefined) refuseFetching(place, loading);
  const secret = one.algorithms.find(algorithm => algorithm in SECRET_BYTES);
  if (secret !== undefined && one.algorithms.some(algorithm => !(algorithm in SECRET_BYTES))) {
    loading.problem(child(at, 'algorithms'), `${secret} beside algorithms with public keys`, {
      hint: 'two configurations, each with its own keys: otherwise a public key could pass for the secret',
    });
    return nothing;
  }
  const from = child(place, given[0] as string);
  if (url !== undefined) {
    if (secret !== undefined) {
      loading.problem(from, `${secret} needs a secret, and what is fetched at a URL is none`, { hint: SECRET_HINT });
      return nothing;
    }
    return { keys: null, url: checkUrl(url, from, one, loading) };
  }
  const document = file === undefined ? inline : loading.text(from, file);
  if (document === null || document === undefined) return nothing;
  if (typeof document !== 'string') return { keys: compileMap(document, from, one, loading), url: null };
  return { keys: compileText(document, from, secret, loading), url: null };
}

const SECRET_HINT =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: what an operator writes
  '`inline: { secret: ${JWT_SECRET} }`; or, safer, an algorithm with public keys such as ES256';

/** What only a URL gives a meaning. */
function refuseFetching(at: string, loading: Loading): void {
  for (const key of loading.names(at)) {
    if (key === 'file' || key === 'inline' || !(key in FETCHING)) continue;
    loading.problem(child(at, key), 'nothing is fetched: this belongs to `url`', { key: true, hint: 'leave it out' });
  }
}

const FETCHING: Record<Exclude<keyof Jwt['keys'], 'file' | 'inline' | 'url'>, true> = {
  refresh: true,
  cooldown: true,
  stale: true,
  allowPrivateAddresses: true,
  allowRedirects: true,
  allowHttp: true,
  ca: true,
};

function compileText(text: string, at: string, secret: string | undefined, loading: Loading): string | null {
  // Never a word of the text itself: it may be a secret.
  const refuse = (message: string, hint: string) => {
    loading.problem(at, message, { hint });
    return null;
  };
  if (text.length > MAX_KEY_SET_BYTES) return refuse('more than 1 MiB of keys', 'keep those that still sign');
  const pem = PEM.exec(text)?.[1];
  if (pem?.includes('PRIVATE KEY')) {
    return refuse('this is a private key', 'its public half: `openssl pkey -in key.pem -pubout`');
  }
  if (pem !== undefined && secret !== undefined) {
    return refuse(`${secret} with a PEM key: whoever knows the public key could sign tokens`, SECRET_HINT);
  }
  if (pem !== undefined) return text;
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return refuse(
      'neither a JWK Set nor PEM',
      'JSON with `keys`, or `-----BEGIN PUBLIC KEY-----`; a shared secret is `inline: { secret: ... }`',
    );
  }
  return keySetOf(document, at, loading);
}

function compileMap(
  { secret, encoding, ...others }: Exclude<Jwt['keys']['inline'], string | undefined>,
  at: string,
  one: Jwt,
  loading: Loading,
): string | null {
  if (secret === undefined) {
    if (encoding === undefined) return keySetOf(others, at, loading);
    loading.problem(child(at, 'encoding'), 'there is no `secret` that is written so', { key: true });
    return null;
  }
  const more = Object.keys(others).find(key => others[key] !== undefined);
  if (more !== undefined) {
    loading.problem(child(at, more), 'a shared secret, and keys as well', { key: true, hint: 'one of the two' });
    return null;
  }
  const place = child(at, 'secret');
  const needs = one.algorithms.map(algorithm => SECRET_BYTES[algorithm as keyof typeof SECRET_BYTES]);
  if (needs.includes(undefined as never)) {
    loading.problem(place, `a shared secret, and \`algorithms\` needs public keys`, {
      key: true,
      hint: '`algorithms: [HS256]`, or `inline:` with a JWK Set or PEM',
    });
    return null;
  }
  const bytes = encoding === 'base64' ? fromBase64(secret) : Buffer.from(secret);
  if (bytes === null) {
    loading.problem(place, 'this is no base64', { hint: '`encoding: text` takes it as it is' });
    return null;
  }
  const least = Math.max(...needs);
  if (bytes.length < least) {
    loading.problem(place, `the secret has ${bytes.length} bytes, and ${least} are the least (RFC 7518, 3.2)`, {
      hint: `\`openssl rand -base64 ${least}\`, with \`encoding: base64\``,
    });
    return null;
  }
  return JSON.stringify({ keys: [{ kty: 'oct', k: bytes.toString('base64url') }] });
}

function fromBase64(text: string): Buffer | null {
  const plain = text.trim().replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, '');
  if (!/^[A-Za-z0-9+/]+$/.test(plain) || plain.length % 4 === 1) return null;
  return Buffer.from(plain, 'base64');
}

/** A JWK Set, also around a single key. */
function keySetOf(document: unknown, at: string, loading: Loading): string | null {
  const { keys, kty } = (typeof document === 'object' && document !== null ? document : {}) as Record<string, unknown>;
  const all = Array.isArray(keys) ? keys : kty === undefined ? [] : [document];
  if (all.length === 0) {
    loading.problem(at, 'there are no keys in it', {
      hint: 'a JWK Set, `{ "keys": [...] }` (RFC 7517), a JWK with `kty`, PEM, or `secret`',
    });
    return null;
  }
  const secret = all.findIndex(key => key?.d !== undefined && key?.kty !== 'oct');
  if (secret !== -1) {
    loading.problem(at, `key ${secret + 1} of the set is a private key`, {
      hint: 'leave out `d`, `p`, `q`, `dp`, `dq`, `qi`: whoever reads them can sign tokens',
    });
    return null;
  }
  return JSON.stringify({ keys: all });
}

function checkUrl(written: string, at: string, { keys }: Jwt, loading: Loading): string | null {
  const refuse = (message: string, hint: string) => {
    loading.problem(at, message, { hint });
    return null;
  };
  const url = URL.canParse(written) ? new URL(written) : null;
  if (written.length > MAX_URL_CHARACTERS || !url || !/^https?:\/\//i.test(written)) {
    return refuse('this is no URL of a key set', 'such as `https://login.example.com/jwks.json`');
  }
  if (url.protocol === 'http:' && !keys.allowHttp) {
    return refuse(
      'without TLS whoever is on the way can put in a key, and sign tokens with it',
      '`https://`, with `ca:` for an authority of your own; `allowHttp: true` allows this',
    );
  }
  if (url.username !== '' || url.password !== '') {
    return refuse('a key set is public: no user and no password', `\`${url.protocol}//${url.host}${url.pathname}\``);
  }
  if (url.hash !== '') return refuse('a fragment is never sent', 'leave out what begins with `#`');
  if (isInside(url) && !keys.allowPrivateAddresses) {
    return refuse('the address is of a private or special network', '`allowPrivateAddresses: true` allows it');
  }
  if (url.protocol === 'http:') {
    loading.warning(at, 'the keys come without TLS: whoever is on the way can sign tokens', {
      hint: '`https://`, with `ca:` for an authority of your own',
    });
  }
  return url.href;
}

function planOf(name: string, url: string, one: Jwt, at: string, loading: Loading): KeySetPlan {
  const { refresh, cooldown, stale, ca, allowPrivateAddresses, allowRedirects, allowHttp } = one.keys;
  if (refresh.least > refresh.most) {
    loading.problem(child(at, 'refresh'), '`least` is longer than `most`', { key: true });
  }
  if (stale <= refresh.most) {
    loading.problem(child(at, 'stale'), 'a set would be too old before it is fetched again', {
      key: true,
      hint: 'longer than `refresh.most`',
    });
  }
  return {
    name,
    url,
    leastMs: refresh.least,
    mostMs: refresh.most,
    cooldownMs: cooldown,
    staleMs: stale,
    allowPrivateAddresses,
    allowRedirects,
    allowHttp,
    ca: ca === undefined ? null : readAuthorities(ca, child(at, 'ca'), loading),
  };
}

function compileLocation(
  { header, scheme, cookie }: Jwt['locations'][number],
  at: string,
  loading: Loading,
): PolicyLocation[] {
  const refuse = (place: string, message: string, hint: string) => {
    loading.problem(place, message, { hint });
    return [];
  };
  if ((header === undefined) === (cookie === undefined)) {
    return refuse(at, 'a token is in a header or in a cookie', 'either `header:` or `cookie:`');
  }
  if (cookie !== undefined) {
    if (scheme !== undefined) return refuse(child(at, 'scheme'), 'a cookie holds the token alone', 'leave it out');
    if (!TOKEN.test(cookie)) return refuse(child(at, 'cookie'), 'this cannot be the name of a cookie', NAME_HINT);
    return [{ in: 'cookie', name: cookie }];
  }
  const name = (header ?? '').toLowerCase();
  if (!TOKEN.test(name)) return refuse(child(at, 'header'), 'this cannot be the name of a header', NAME_HINT);
  if (TAKEN.has(name)) {
    const hint = name === 'cookie' ? '`cookie:` with its name' : '`Authorization`, or a header of your own';
    return refuse(child(at, 'header'), `\`${header}\` is for something else`, hint);
  }
  if (scheme !== undefined && !TOKEN.test(scheme)) {
    return refuse(child(at, 'scheme'), 'this cannot be a scheme', 'a word such as `Bearer`, without the space');
  }
  return [{ in: 'header', name, scheme: scheme ?? null }];
}

const NAME_HINT = 'letters, digits and `-_`, without spaces or colons';

/** What has a key of its own; of the times, whether they are there may be asked here. */
const JUDGED_BY: Readonly<Record<string, string>> = {
  iss: '`issuer`',
  aud: '`audiences`',
  exp: '`maxLifetime`',
  nbf: '`skew`',
  iat: '`maxLifetime`',
};
const PARTIES = ['iss', 'aud'];

function compileClaims(claims: Jwt['requiredClaims'], at: string, loading: Loading): PolicyClaim[] {
  return Object.entries(claims).map(([claim, written]) => {
    const place = child(at, claim);
    checkClaim(claim, place, loading);
    const by = JUDGED_BY[claim];
    if (by && (written !== true || PARTIES.includes(claim))) {
      loading.problem(place, `\`${claim}\` is judged by ${by}`, { key: true, hint: 'leave it out' });
    }
    return claimOf(claim, written);
  });
}

function checkedClaims(claims: readonly string[], at: string, loading: Loading): string[] {
  for (const [index, claim] of claims.entries()) checkClaim(claim, child(at, index), loading);
  return [...claims];
}

function checkClaim(claim: string, at: string, loading: Loading): void {
  // Steps of namespaced claims have dots themselves: such a name is found as a whole.
  if (claim !== '' && claim.length <= MAX_CLAIM_CHARACTERS) return;
  loading.problem(at, 'this cannot be the name of a claim', {
    key: true,
    hint: `1 to ${MAX_CLAIM_CHARACTERS} characters: a name, or steps with \`.\` between them`,
  });
}

function pointerIn(at: string, key: string, index: number): string {
  return child(child(at, key), index);
}
