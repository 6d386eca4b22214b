// Who may call, as a description says it: security schemes, `security`, and `x-portcullis` of operations.
//
// What it comes to depends on the credentials that a host accepts: here it is only read.

import { claimOf } from '../../config/claims.js';
import { child } from '../../config/pointer.js';
import type { PolicyAction, PolicyClaim } from '../../config/policy.js';
import type {
  DescribedLimits,
  DescribedNeed,
  DescribedOperation,
  DescribedOwn,
  DescribedRequirement,
  DescribedScheme,
} from '../../config/security.js';
import { suggest } from '../../config/suggest.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import { TOKEN } from './parameters.js';
import type { Unchecked } from './remarks.js';
import type { Version } from './version.js';

const SCHEMES = '/components/securitySchemes';
const TYPES = 'apiKey, http, mutualTLS, oauth2 and openIdConnect';
const OWN = 'x-portcullis';
const LIMIT = 'limit';
const OWN_KEYS = ['public', 'roles', 'claims', 'action', LIMIT];
const ACTIONS: readonly PolicyAction[] = ['off', 'log', 'block'];

const UNDECLARED =
  'scope is required that its scheme does not declare|scopes are required that their schemes do not declare';

interface Scheme {
  scheme: DescribedScheme;
  /** null: nobody says which there are. */
  scopes: Set<string> | null;
}

export class Security {
  /** By name, or by pointer where OpenAPI 3.2 refers to them; null: faulty. */
  readonly #schemes = new Map<string, Scheme | null>();
  readonly #requirements = new Map<string, DescribedRequirement | null>();

  constructor(
    private readonly root: Mapping,
    private readonly version: Version,
    private readonly description: Description,
    private readonly unchecked: Unchecked,
    private readonly named: (pointer: string) => string,
  ) {
    // Used or not, as all of what is shared.
    const { components } = root;
    const written = isMapping(components) ? components.securitySchemes : undefined;
    for (const [name, value] of Object.entries(isMapping(written) ? written : {})) {
      if (isMapping(value)) this.#schemes.set(name, this.#scheme(name, { value, pointer: child(SCHEMES, name) }));
    }
    this.refuseElsewhere({ value: root, pointer: '' });
    if (Object.hasOwn(root, 'security')) this.#requirement({ value: root.security, pointer: '/security' });
  }

  get schemes(): DescribedScheme[] {
    return [...this.#schemes.values()].flatMap(known => known?.scheme ?? []);
  }

  of(operation: Found, item: Found): Omit<DescribedOperation, 'names'> {
    const { value, pointer } = operation as { value: Mapping; pointer: string };
    const owner = [operation, { value: this.root, pointer: '' }].find(({ value }) =>
      Object.hasOwn(value as Mapping, 'security'),
    );
    const security =
      owner === undefined
        ? null
        : this.#requirement({ value: (owner.value as Mapping).security, pointer: child(owner.pointer, 'security') });
    const own = Object.hasOwn(value, OWN) ? this.#own({ value: value[OWN], pointer: child(pointer, OWN) }) : null;
    const limits = this.#limits(operation, false) ?? this.#limits(item, true);
    return { at: this.named(pointer), security, own, limits };
  }

  /** What the operation says stands instead of what its path says. */
  #limits({ value, pointer }: Found, ofPath: boolean): DescribedLimits | null {
    const own = (value as Mapping)[OWN];
    if (!isMapping(own) || !Object.hasOwn(own, LIMIT)) return null;
    return { at: this.named(child(child(pointer, OWN), LIMIT)), value: own[LIMIT], ofPath };
  }

  /** A path says what limits all its operations have, and nothing of who may call them. */
  checkPath({ value, pointer }: Found): void {
    if (!isMapping(value) || !Object.hasOwn(value, OWN)) return;
    const own = value[OWN];
    const at = child(pointer, OWN);
    if (!isMapping(own)) {
      this.description.problem(at, `\`${OWN}\` is not a map`, '`limit` stands in it');
      return;
    }
    for (const key of Object.keys(own).filter(key => key !== LIMIT)) {
      if (OWN_KEYS.includes(key)) {
        this.description.problem(child(at, key), `\`${key}\` is read in operations only`);
      } else this.#unknown(key, child(at, key), [LIMIT]);
    }
  }

  #unknown(key: string, at: string, known: readonly string[]): void {
    const meant = suggest(key, known);
    const listed = known.map(word => `\`${word}\``);
    const all = listed.length > 1 ? `${listed.slice(0, -1).join(', ')} and ${listed.at(-1)} are` : `${listed[0]} is`;
    this.description.problem(at, `unknown key \`${key}\``, meant ? `did you mean \`${meant}\`?` : all);
  }

  /** A word that stands where nobody reads it would only seem to count. */
  refuseElsewhere({ value, pointer }: Found): void {
    if (!isMapping(value) || !Object.hasOwn(value, OWN)) return;
    this.description.problem(child(pointer, OWN), `\`${OWN}\` is read in operations only`);
  }

  /** Each place is read once: many operations share what the root says. */
  #requirement({ value, pointer }: Found): DescribedRequirement | null {
    const known = this.#requirements.get(pointer);
    if (known !== undefined) return known;
    const read = this.#read({ value, pointer });
    this.#requirements.set(pointer, read);
    return read;
  }

  #read({ value, pointer }: Found): DescribedRequirement | null {
    if (!Array.isArray(value) || !value.every(isMapping)) {
      this.description.problem(pointer, '`security` is not a list of requirements', 'such as `[{ oauth: [read] }]`');
      return null;
    }
    const any = value.map((needs, index) =>
      Object.entries(needs).flatMap(
        ([name, scopes]) => this.#need(name, { value: scopes, pointer: child(child(pointer, index), name) }) ?? [],
      ),
    );
    return { at: this.named(pointer), any };
  }

  #need(name: string, { value, pointer }: Found): DescribedNeed | null {
    const known = this.#named(name, pointer);
    if (!Array.isArray(value) || !value.every(item => typeof item === 'string' && item !== '')) {
      this.description.problem(pointer, `what \`${name}\` needs is not a list of names`, '`[]` needs no scope');
      return null;
    }
    if (known === null) return null;
    const { scheme, scopes } = known;
    const names = [...new Set(value)] as string[];
    const at = this.named(pointer);
    if (scheme.type === 'oauth2' || scheme.type === 'openIdConnect') {
      for (const scope of names) {
        if (scopes === null || scopes.has(scope)) continue;
        const meant = suggest(scope, scopes);
        this.unchecked.add(UNDECLARED, pointer, meant ? `did you mean \`${meant}\`?` : undefined);
      }
      return { at, scheme, scopes: names, roles: [] };
    }
    if (names.length > 0 && !this.version.modern) {
      const hint = 'OpenAPI 3.1 and later read such names as roles';
      this.description.problem(pointer, `\`${name}\` has no scopes: it is not of type oauth2 or openIdConnect`, hint);
    }
    return { at, scheme, scopes: [], roles: names };
  }

  #named(name: string, at: string): Scheme | null {
    const known = this.#schemes.get(name);
    if (known !== undefined) return known;
    // A reference rather than a name, which OpenAPI 3.2 takes as well.
    if (this.version.since32 && /[#/]/.test(name)) {
      const found = this.description.look(name, at);
      if (found && isMapping(found.value)) {
        const shared = this.#schemes.get(found.pointer) ?? this.#scheme(name, found);
        this.#schemes.set(found.pointer, shared);
        return shared;
      }
    }
    // What stands there and is no object was told of already.
    if (this.#isWritten(name)) return null;
    const meant = suggest(name, this.#schemes.keys());
    const hint = meant ? `did you mean \`${meant}\`?` : 'describe it under `securitySchemes`';
    this.description.problem(at, `no security scheme is called \`${name}\``, hint);
    return null;
  }

  #isWritten(name: string): boolean {
    const { components } = this.root;
    const written = isMapping(components) ? components.securitySchemes : undefined;
    return isMapping(written) && Object.hasOwn(written, name);
  }

  #scheme(name: string, written: Found): Scheme | null {
    const found = this.description.follow(written);
    if (found === null) return null;
    const { value, pointer } = found;
    if (!isMapping(value)) {
      this.description.problem(pointer, 'this is not a security scheme');
      return null;
    }
    const common = { name, at: this.named(pointer) };
    const text = (member: string): string | null => {
      const value = (found.value as Mapping)[member];
      if (typeof value === 'string' && value !== '') return value;
      const message = `a scheme of type \`${String((found.value as Mapping).type)}\` needs \`${member}\``;
      this.description.problem(
        Object.hasOwn(found.value as Mapping, member) ? child(pointer, member) : pointer,
        message,
      );
      return null;
    };
    switch (value.type) {
      case 'apiKey': {
        const key = text('name');
        const location = value.in;
        if (location !== 'header' && location !== 'query' && location !== 'cookie') {
          const at = Object.hasOwn(value, 'in') ? child(pointer, 'in') : pointer;
          this.description.problem(at, 'an API key stands `in` header, query or cookie');
          return null;
        }
        if (key === null) return null;
        if (location !== 'query' && !TOKEN.test(key)) {
          this.description.problem(child(pointer, 'name'), `\`${key}\` is not the name of a ${location}`);
          return null;
        }
        return { scheme: { ...common, type: 'apiKey', in: location, key }, scopes: null };
      }
      case 'http': {
        const scheme = text('scheme');
        return scheme === null
          ? null
          : { scheme: { ...common, type: 'http', scheme: scheme.toLowerCase() }, scopes: null };
      }
      case 'oauth2': {
        const url = typeof value.oauth2MetadataUrl === 'string' ? value.oauth2MetadataUrl : null;
        return { scheme: { ...common, type: 'oauth2', url }, scopes: scopesOf(value) };
      }
      case 'openIdConnect': {
        const url = text('openIdConnectUrl');
        return url === null ? null : { scheme: { ...common, type: 'openIdConnect', url }, scopes: null };
      }
      case 'mutualTLS':
        return { scheme: { ...common, type: 'mutualTLS' }, scopes: null };
      default: {
        const at = Object.hasOwn(value, 'type') ? child(pointer, 'type') : pointer;
        this.description.problem(at, 'this is no type of a security scheme', `${TYPES} are`);
        return null;
      }
    }
  }

  #own({ value, pointer }: Found): DescribedOwn | null {
    if (!isMapping(value)) {
      this.description.problem(
        pointer,
        `\`${OWN}\` is not a map`,
        '`public`, `roles`, `claims`, `action` and `limit` stand in it',
      );
      return null;
    }
    const own: DescribedOwn = { at: this.named(pointer), public: false, roles: [], claims: [], action: null };
    for (const [key, member] of Object.entries(value)) {
      const at = child(pointer, key);
      const wanted = (what: string) => this.description.problem(at, `\`${key}\` is not ${what}`);
      switch (key) {
        case 'public':
          if (typeof member === 'boolean') own.public = member;
          else wanted('`true` or `false`');
          break;
        case 'roles':
          if (isTexts(member)) own.roles = member;
          else wanted('a list of names');
          break;
        case 'claims':
          if (isMapping(member)) own.claims = this.#claims(member, at);
          else wanted('a map of claims and their values');
          break;
        case 'action':
          if (ACTIONS.includes(member as PolicyAction)) own.action = member as PolicyAction;
          else wanted('`off`, `log` or `block`');
          break;
        case LIMIT:
          break;
        default:
          this.#unknown(key, at, OWN_KEYS);
      }
    }
    return own;
  }

  #claims(claims: Mapping, at: string): PolicyClaim[] {
    return Object.entries(claims).flatMap(([claim, value]) => {
      const listed = Array.isArray(value) ? value : [value];
      const good = listed.every(one => ['string', 'number', 'boolean'].includes(typeof one) && one !== '');
      if (good && listed.length > 0) return [claimOf(claim, value)];
      this.description.problem(
        child(at, claim),
        'this is no value of a claim',
        'a value, a list of values, or `true` for any',
      );
      return [];
    });
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.length > 0 && value.every(item => typeof item === 'string' && item !== '');
}

/** What the flows declare (3.x), or the scheme itself (2.0); null when nobody declares any. */
function scopesOf(scheme: Mapping): Set<string> | null {
  const flows = isMapping(scheme.flows) ? Object.values(scheme.flows) : [scheme];
  const declared = flows.flatMap(flow => (isMapping(flow) && isMapping(flow.scopes) ? Object.keys(flow.scopes) : []));
  return declared.length > 0 ? new Set(declared) : null;
}
