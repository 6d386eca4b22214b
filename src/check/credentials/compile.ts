// What the operations of a host require, from its description and from the configuration.
//
// The configuration's word on an operation counts more than the description's, and that more than the host's `require`.
// Nobody passes because nobody spoke: where nothing is said, any one token or key of the host is needed.

import type { Loading } from '../../config/loading.js';
import { Overridden } from '../../config/overridden.js';
import { child } from '../../config/pointer.js';
import type { PolicyClaim, PolicyCredentials, PolicyJwt, PolicyMtls, PolicyRequirement } from '../../config/policy.js';
import type { DescribedOperation, DescribedSecurity, Stated, StatedHost } from '../../config/security.js';
import { type Alternative, isNothing, NOTHING, policyOf } from './alternatives.js';
import type { Credentials, Operation, Alternative as Written } from './config.js';
import { Names } from './names.js';
import { compilePlaces, described, refuseTwoMeanings } from './places.js';
import { asks, warnOfOpen, warnOfUnenforced } from './remarks.js';
import { type Accepted, Schemes } from './schemes.js';
import { compileTold } from './told.js';

export { keysInQuery } from './places.js';

/** What the host and everything around it say. */
export interface Around {
  host: string;
  at: string;
  /** null: the description has faults, and nothing is known of its operations. */
  described: DescribedSecurity | null;
  jwt: readonly PolicyJwt[];
  /** Names of token configurations, also of those that have problems. */
  configurations: readonly string[];
  /** Names of authorities. */
  authorities: readonly string[];
  mtls: PolicyMtls;
}

export interface Compiled {
  policy: PolicyCredentials;
  /** Who said it. */
  stated: StatedHost;
}

/** null: the host asks for no credentials. */
export function compileCredentials(
  written: Credentials | undefined,
  around: Around,
  loading: Loading,
): Compiled | null {
  if (written === undefined) {
    warnOfUnenforced(around.described, around.mtls, loading);
    return null;
  }
  return new Compilation(written, around, loading).compile();
}

/** All that is asked of the credentials of one operation beside their kind. */
interface More {
  scopes: readonly string[];
  roles: readonly string[];
  claims: readonly PolicyClaim[];
}

interface Required {
  any: readonly Alternative[];
  at: string;
  stated: Stated;
}

class Compilation {
  readonly #names: Names;
  readonly #accepted: Accepted;
  readonly #schemes: Schemes;
  readonly #default: Required;

  constructor(
    private readonly written: Credentials,
    private readonly around: Around,
    private readonly loading: Loading,
  ) {
    const { at } = around;
    const names = written.jwt ?? [...around.configurations];
    this.#accepted = {
      configurations: around.jwt.filter(({ name }) => names.includes(name)),
      named: names,
      ...this.#places(),
      trusted: trustedBy(around.mtls),
    };
    const known = { allConfigurations: around.configurations, authorities: around.authorities };
    const { trusted } = this.#accepted;
    if (written.jwt) {
      // Every configuration there is may count.
      const all = new Names({ ...known, configurations: around.configurations, trusted }, loading);
      all.configurations(written.jwt, child(at, 'jwt'));
    }
    this.#names = new Names({ ...known, configurations: names, trusted }, loading);
    refuseTwoMeanings(this.#accepted.keys, this.#accepted.configurations, at, loading);
    this.#schemes = new Schemes(written.schemes, at, this.#accepted, this.#names, loading);
    this.#default = this.#byDefault();
  }

  compile(): Compiled {
    const { written, around, loading } = this;
    const { described, at, host } = around;
    const overridden = new Overridden(written.operations, child(at, 'operations'));
    const required = (described?.operations ?? []).map(operation => {
      const said = overridden.of(operation.names);
      const required = this.#required(operation, said);
      const action = said?.overrides.action ?? operation.own?.action ?? written.action;
      return { required, policy: { at: required.at, action, any: policyOf(required.any), realm: host } };
    });
    if (described) {
      overridden.report(loading);
      this.#schemes.report(described.schemes);
      warnOfOpen(
        described.operations,
        required.map(({ required }) => required.stated),
        loading,
      );
    }
    const unmatched: PolicyRequirement = {
      at: this.#default.at,
      action: written.action,
      any: policyOf(this.#default.any),
      realm: host,
    };
    const policy = {
      at,
      jwt: this.#accepted.configurations.map(({ name }) => name),
      keys: [...this.#accepted.keys],
      unmatched,
      operations: required.map(({ policy }) => policy),
      ...compileTold(written, this.#accepted, at, loading),
      strip: written.strip,
    };
    const operations = required.map(({ required }) => required.stated);
    return { policy, stated: { unmatched: this.#default.stated, operations } };
  }

  /** Where keys are looked for. */
  #places(): Pick<Accepted, 'keys' | 'keysAreWritten'> {
    const { written, around, loading } = this;
    const used = (around.described?.operations ?? []).flatMap(({ security }) => security?.any.flat() ?? []);
    const found = used.flatMap(({ scheme }) => {
      const meant = Object.hasOwn(written.schemes, scheme.name) ? written.schemes[scheme.name] : undefined;
      const isKey = meant === undefined || (meant !== 'never' && meant.keys === true);
      return (isKey && described(scheme, meant !== undefined)) || [];
    });
    const alternatives = [
      ...(written.require ?? []),
      ...Object.values(written.operations).flatMap(({ require }) => require ?? []),
      ...Object.values(written.schemes).flatMap(scheme => (scheme === 'never' ? [] : [scheme])),
    ];
    const needed = alternatives.some(({ keys }) => keys);
    const keys = compilePlaces(written.keys, found, needed, child(around.at, 'keys'), loading);
    return { keys, keysAreWritten: written.keys !== undefined };
  }

  /** Where nothing else is said: the host's `require`, or any one token or key. */
  #byDefault(): Required {
    const { written, around, loading } = this;
    if (written.require) {
      const at = child(around.at, 'require');
      return { any: this.#alternatives(written.require, at), at, stated: { by: 'require', public: false } };
    }
    const { configurations, keys, trusted } = this.#accepted;
    const any: Alternative[] = [];
    const names = configurations.map(({ name }) => name);
    if (names.length > 0) {
      any.push({ ...NOTHING, token: { configurations: names, scopes: [], roles: [], claims: [] } });
    }
    if (keys.length > 0) any.push({ ...NOTHING, key: { scopes: [], locations: [] } });
    // A certificate may be demanded of everybody already: it does not stand in for tokens where there are some.
    if (any.length === 0 && trusted !== null) any.push({ ...NOTHING, certificate: { authorities: [] } });
    if (any.length === 0 && this.#accepted.named.length === 0) {
      loading.problem(around.at, 'no credential counts on this host: nobody would pass', {
        key: true,
        hint: 'describe an issuer under `jwt`, say where `keys` stand, or trust authorities under `mtls`',
      });
    }
    return { any, at: around.at, stated: { by: 'default', public: false } };
  }

  #required(operation: DescribedOperation, said: { overrides: Operation; at: string } | null): Required {
    const { own } = operation;
    const overrides = said?.overrides;
    if (said && overrides?.public) return this.#public(operation, said.overrides, said.at);
    const isPublic = own?.public === true && overrides?.public !== false;
    // What the description leaves open is as if it had said nothing.
    const closed = overrides?.public === false && (operation.security === null || !asks(operation.security.any));
    const described = () => (closed ? this.#default : this.#described(operation, isPublic));
    const base = said && overrides?.require ? this.#configured(overrides.require, said.at) : described();
    const withOwn = own === null ? base.any : this.#with(base.any, { ...own, scopes: [] }, own.at);
    const any = said ? this.#with(withOwn, more(said.overrides), said.at) : withOwn;
    return { ...base, any };
  }

  /** By the configuration's word. */
  #public(operation: DescribedOperation, overrides: Operation, at: string): Required {
    const { loading } = this;
    for (const member of ['require', 'scopes', 'roles', 'claims'] as const) {
      if (overrides[member] === undefined) continue;
      loading.problem(child(at, member), `\`public: true\` and \`${member}\` exclude each other`, {
        key: true,
        hint: 'keep one',
      });
    }
    const { security } = operation;
    if (security && asks(security.any)) {
      const { file, line, column } = loading.place(security.at);
      const message = 'everybody may call this operation, although its description asks for a credential';
      loading.warning(child(at, 'public'), message, { hint: `${file}:${line}:${column} asks for it` });
    }
    return { any: [NOTHING], at: child(at, 'public'), stated: { by: 'configuration', public: true } };
  }

  #configured(require: readonly Written[], at: string): Required {
    const place = child(at, 'require');
    return { any: this.#alternatives(require, place), at: place, stated: { by: 'configuration', public: false } };
  }

  #described({ security, own, at }: DescribedOperation, isPublic: boolean): Required {
    const { loading } = this;
    if (isPublic && security && asks(security.any)) {
      const message = 'this operation is `public`, and its `security` asks for a credential';
      const hint = 'write `security: []` beside it, or `public: true` under `credentials.operations`';
      loading.problem(child(own?.at ?? at, 'public'), message, { hint });
    }
    if (security === null) {
      return isPublic ? { any: [NOTHING], at, stated: { by: 'description', public: true } } : this.#default;
    }
    const meanings = security.any.map(needs => this.#schemes.alternative(needs));
    const any = meanings.flatMap(meaning => (meaning === null || meaning === 'never' ? [] : meaning));
    if (security.any.length === 0) any.push(NOTHING);
    else if (meanings.every(meaning => meaning === 'never')) {
      loading.problem(security.at, 'every alternative has a scheme that never counts here: nobody would pass', {
        hint: 'say under `credentials.operations` what is required',
      });
    }
    return { any, at: security.at, stated: { by: 'description', public: isPublic } };
  }

  #alternatives(written: readonly Written[], at: string): Alternative[] {
    return written.flatMap((one, index) => {
      const place = written.length > 1 ? child(at, index) : at;
      const alternative = this.#names.alternative(one, place);
      return alternative ? this.#with([alternative], more(one), place) : [];
    });
  }

  /** An alternative that cannot have what is asked for would be a way around it. */
  #with(any: readonly Alternative[], { scopes, roles, claims }: More, at: string): Alternative[] {
    const refuse = (member: string, alternative: Alternative, what: string) => {
      const around = isNothing(alternative) ? 'nothing' : alternative.key ? 'a key alone' : 'a certificate alone';
      this.loading.problem(child(at, member), `\`${member}\` are of ${what}, and ${around} is enough here`, {
        key: true,
        hint: '`require` of the operation under `credentials.operations` says which credentials may call it',
      });
    };
    for (const alternative of any) {
      if (scopes.length > 0 && !alternative.token && !alternative.key) refuse('scopes', alternative, 'tokens and keys');
      if (roles.length > 0 && !alternative.token) refuse('roles', alternative, 'tokens');
      if (claims.length > 0 && !alternative.token) refuse('claims', alternative, 'tokens');
    }
    return any.map(({ token, key, certificate }) => ({
      token: token && {
        ...token,
        scopes: [...new Set([...token.scopes, ...scopes])],
        roles: roles.length > 0 ? [...token.roles, [...roles]] : token.roles,
        claims: [...token.claims, ...claims],
      },
      key: key && { ...key, scopes: [...new Set([...key.scopes, ...scopes])] },
      certificate,
    }));
  }
}

function more({ scopes = [], roles = [], claims = [] }: Operation | Written): More {
  return { scopes, roles, claims };
}

/** Authorities whose certificates count on some path of a host; null where none is looked at. */
function trustedBy({ mode, trust, paths }: PolicyMtls): string[] | null {
  const all = [{ mode, trust }, ...paths.map(path => ({ mode: path.mode, trust: path.trust ?? trust }))];
  const looked = all.flatMap(({ mode, trust }) => (mode === 'off' ? [] : trust));
  return looked.length > 0 ? [...new Set(looked)] : null;
}
