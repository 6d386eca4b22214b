// What the security schemes of a description mean on a host: as the configuration says, else guessed, and only when one
// thing alone can be meant.

import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyJwt, PolicyLocation } from '../../config/policy.js';
import type { DescribedNeed, DescribedScheme } from '../../config/security.js';
import { suggest } from '../../config/suggest.js';
import { type Alternative, both, NOTHING } from './alternatives.js';
import type { Credentials } from './config.js';
import type { Names } from './names.js';
import { BEARER, described, same, shown } from './places.js';

/** What counts as a credential on a host. */
export interface Accepted {
  configurations: readonly PolicyJwt[];
  /** Their names, and those of configurations that are not there because of problems. */
  named: readonly string[];
  keys: readonly PolicyLocation[];
  /** Whether keys are looked for where the configuration says, rather than the description. */
  keysAreWritten: boolean;
  /** Authorities that the host trusts somewhere; null where it looks at no certificate. */
  trusted: readonly string[] | null;
}

type Written = Credentials['schemes'][string];
/** null: refused, and told. */
type Meaning = Alternative | 'never' | null;

export class Schemes {
  readonly #meanings = new Map<string, Meaning>();

  constructor(
    private readonly written: Credentials['schemes'],
    /** Of the host's `credentials`. */
    private readonly at: string,
    private readonly accepted: Accepted,
    private readonly names: Names,
    private readonly loading: Loading,
  ) {}

  /** Tells of names that no description has, and of what is said of those that no operation asks for. */
  report(known: readonly DescribedScheme[]): void {
    const names = new Set(known.map(({ name }) => name));
    for (const name of Object.keys(this.written)) {
      for (const scheme of known) if (scheme.name === name) this.#of(scheme);
      if (names.has(name)) continue;
      const meant = suggest(name, names);
      const there = names.size > 0 ? 'names of `securitySchemes` are' : 'the description of this host has none';
      const hint = meant ? `did you mean \`${meant}\`?` : there;
      this.loading.problem(this.#place(name), `no security scheme is called \`${name}\``, { key: true, hint });
    }
  }

  /** All needs of one alternative. */
  alternative(needs: readonly DescribedNeed[]): Meaning {
    const paired = this.#pair(needs);
    let all: Alternative = paired ?? NOTHING;
    let refused = false;
    for (const need of paired ? needs.filter(({ scheme }) => scheme.type !== 'apiKey') : needs) {
      const meaning = this.#of(need.scheme);
      if (meaning === 'never') return 'never';
      const one = meaning && this.#with(meaning, need);
      const folded = one && both(all, one);
      if (typeof folded === 'string') {
        const hint =
          'say under `credentials.schemes` what they mean, or under `credentials.operations` what is required';
        this.loading.problem(need.at, folded, { hint });
      }
      if (folded === null || typeof folded === 'string') refused = true;
      else all = folded;
    }
    return refused ? null : all;
  }

  /** Client id and secret are described as two API keys that go together. */
  #pair(needs: readonly DescribedNeed[]): Alternative | null {
    const keys = needs.filter(({ scheme }) => scheme.type === 'apiKey' && !Object.hasOwn(this.written, scheme.name));
    if (
      keys.length !== 2 ||
      needs.some(({ scheme }) => scheme.type === 'apiKey' && !keys.some(key => key.scheme === scheme))
    )
      return null;
    const names = keys.flatMap(({ scheme }) => {
      return scheme.type === 'apiKey' && scheme.in === 'header' ? [scheme.key.toLowerCase()] : [];
    });
    const pair = this.accepted.keys.find(
      key => key.in === 'pair' && names.includes(key.id) && names.includes(key.secret),
    );
    if (pair === undefined || names.length !== 2) return null;
    return { ...NOTHING, key: { scopes: keys.flatMap(({ roles }) => roles), locations: [pair] } };
  }

  /** Scopes are of tokens and keys. Names of roles (OpenAPI 3.1) are roles of tokens, and scopes of keys. */
  #with(meaning: Alternative, { scopes, roles, at, scheme }: DescribedNeed): Alternative | null {
    const { token, key, certificate } = meaning;
    const names = [...scopes, ...roles];
    if (names.length > 0 && token === null && key === null) {
      const message = `\`${scheme.name}\` means a certificate here, which has no ${scopes.length > 0 ? 'scopes' : 'roles'}`;
      this.loading.problem(at, message, { hint: '`[]` needs none' });
      return null;
    }
    return {
      token: token && {
        ...token,
        scopes: [...token.scopes, ...scopes],
        roles: [...token.roles, ...roles.map(role => [role])],
      },
      key: key && { ...key, scopes: [...key.scopes, ...names] },
      certificate,
    };
  }

  #of(scheme: DescribedScheme): Meaning {
    // Two descriptions may call two things the same.
    const known = this.#meanings.get(scheme.at);
    if (known !== undefined) return known;
    const written = Object.hasOwn(this.written, scheme.name) ? this.written[scheme.name] : undefined;
    const meaning = written === undefined ? this.#guess(scheme) : this.#written(written, scheme);
    this.#meanings.set(scheme.at, meaning);
    return meaning;
  }

  #written(written: Written, scheme: DescribedScheme): Meaning {
    if (written === 'never') return 'never';
    const at = this.#place(scheme.name);
    const meant = this.names.alternative(written, at);
    if (meant === null || meant.key === null) return meant;
    // Where the description has it, when that is a place where keys are looked for.
    const location = described(scheme, true);
    const looked = this.accepted.keys.filter(key => location !== null && same(key, location));
    return { ...meant, key: { ...meant.key, locations: looked } };
  }

  #guess(scheme: DescribedScheme): Meaning {
    switch (scheme.type) {
      case 'apiKey':
        return this.#key(scheme, described(scheme) as PolicyLocation);
      case 'mutualTLS':
        if (this.accepted.trusted !== null) return { ...NOTHING, certificate: { authorities: [] } };
        return this.#unclear(scheme, 'asks for client certificates, and this host looks at none', {
          hint: '`mtls: { mode: request, trust: [...] }`, or say under `credentials.schemes` what it means',
        });
      case 'http':
        if (scheme.scheme === 'basic') return this.#key(scheme, { in: 'basic' });
        if (scheme.scheme !== 'bearer' && scheme.scheme !== 'dpop') {
          return this.#unclear(scheme, `is of the HTTP scheme \`${scheme.scheme}\`, which is not known here`, {
            hint: this.#hint(scheme, '{ jwt: <name> }'),
          });
        }
        return this.#bearerKey(scheme) ?? this.#token(scheme, null);
      default:
        return this.#token(scheme, scheme.url);
    }
  }

  #key(scheme: DescribedScheme, location: PolicyLocation): Meaning {
    if (this.accepted.keys.some(key => same(key, location))) {
      return { ...NOTHING, key: { scopes: [], locations: [location] } };
    }
    if (location.in === 'query' && !this.accepted.keysAreWritten) {
      return this.#unclear(scheme, 'has keys in the query, where logs, histories and `Referer` pick them up', {
        hint: `\`credentials.keys: [{ query: ${location.name}, allowQuery: true }]\` looks there all the same; \`credentials.schemes: { ${scheme.name}: never }\` leaves it out`,
      });
    }
    return this.#unclear(scheme, `has keys in ${shown(location)}, where this host looks for none`, {
      hint: `add it to \`credentials.keys\`, or ${this.#hint(scheme, 'never')}`,
    });
  }

  /** `Authorization: Bearer` of a host that takes no tokens, and looks for keys there. */
  #bearerKey(scheme: DescribedScheme): Alternative | null {
    if (scheme.type !== 'http' || scheme.scheme !== 'bearer' || this.accepted.configurations.length > 0) return null;
    const key = this.accepted.keys.find(key => same(key, BEARER));
    return key ? { ...NOTHING, key: { scopes: [], locations: [key] } } : null;
  }

  #token(scheme: DescribedScheme, url: string | null): Meaning {
    const { configurations } = this.accepted;
    const [only, ...others] = configurations;
    const token = ({ name }: PolicyJwt): Alternative => ({
      ...NOTHING,
      token: { configurations: [name], scopes: [], roles: [], claims: [] },
    });
    const fitting = configurations.filter(({ issuer }) => issuer !== null && url !== null && fits(issuer, url));
    if (fitting.length === 1) return token(fitting[0] as PolicyJwt);
    // Told of where the configuration has its faults.
    if (only === undefined && this.accepted.named.length > 0) return null;
    if (only === undefined) {
      return this.#unclear(scheme, 'asks for a token, and no token configuration counts on this host', {
        hint: `describe the issuer under \`jwt\`, or ${this.#hint(scheme, '{ keys: true }')}`,
      });
    }
    if (others.length > 0 || fitting.length > 1) {
      const names = configurations.map(({ name }) => `\`${name}\``);
      return this.#unclear(scheme, `may mean tokens of ${names.join(' or ')}`, {
        hint: this.#hint(scheme, `{ jwt: ${only.name} }`),
      });
    }
    if (url !== null && only.issuer !== null) {
      this.loading.warning(scheme.at, `\`${scheme.name}\` names ${url}, which is not the issuer of \`${only.name}\``, {
        hint: `${this.#hint(scheme, `{ jwt: ${only.name} }`)} if they are the same all the same`,
      });
    }
    return token(only);
  }

  #unclear({ name, at }: DescribedScheme, message: string, { hint }: { hint: string }): null {
    this.loading.problem(at, `\`${name}\` ${message}`, { hint });
    return null;
  }

  #hint({ name }: DescribedScheme, value: string): string {
    return `say what it means: \`credentials.schemes: { ${name}: ${value} }\``;
  }

  #place(name: string): string {
    return child(child(this.at, 'schemes'), name);
  }
}

/** Discovery documents stand below the issuer (OpenID Connect Discovery 1.0, 4; RFC 8414, 3.1). */
function fits(issuer: string, url: string): boolean {
  try {
    const [from, to] = [new URL(issuer), new URL(url)];
    if (from.origin !== to.origin) return false;
    const path = from.pathname.replace(/\/$/, '');
    const [oidc, oauth] = ['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'];
    return [path + oidc, path + oauth, oidc + path, oauth + path].includes(to.pathname);
  } catch {
    return false;
  }
}
