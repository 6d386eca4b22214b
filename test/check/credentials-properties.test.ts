// Whatever a description combines: the requirement that comes of it lets in those whom the description lets in, and
// nobody else. Faults may only close.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileCredentials } from '../../src/check/credentials/compile.js';
import { credentials } from '../../src/check/credentials/config.js';
import { Loading } from '../../src/config/loading.js';
import type { PolicyJwt, PolicyLocation, PolicyNeed } from '../../src/config/policy.js';
import { Source } from '../../src/config/read.js';
import type { DescribedNeed, DescribedScheme } from '../../src/config/security.js';

const scheme = (name: string, rest: object) => ({ name, at: `/${name}`, ...rest }) as DescribedScheme;
/** With what each means, said or guessed. */
const SCHEMES: Record<string, { scheme: DescribedScheme; of: (caller: Caller) => boolean }> = {
  login: { scheme: scheme('login', { type: 'oauth2', url: null }), of: ({ token }) => token?.of === 'a' },
  staff: { scheme: scheme('staff', { type: 'oauth2', url: null }), of: ({ token }) => token !== null },
  bearer: { scheme: scheme('bearer', { type: 'http', scheme: 'bearer' }), of: ({ token }) => token?.of === 'b' },
  one: { scheme: scheme('one', { type: 'apiKey', in: 'header', key: 'X-One' }), of: ({ key }) => key?.in === 'x-one' },
  two: { scheme: scheme('two', { type: 'apiKey', in: 'cookie', key: 'two' }), of: ({ key }) => key?.in === 'two' },
  machine: { scheme: scheme('machine', { type: 'mutualTLS' }), of: ({ certificate }) => certificate },
  bound: {
    scheme: scheme('bound', { type: 'http', scheme: 'bearer' }),
    of: ({ token, certificate }) => token?.of === 'a' && certificate,
  },
};
const WRITTEN = credentials.parse({
  schemes: {
    login: { jwt: 'a' },
    staff: { jwt: true },
    bearer: { jwt: 'b' },
    bound: { jwt: 'a', certificate: true },
  },
});
const JWT = ['a', 'b'].map(name => ({ name, issuer: null, locations: [] }) as unknown as PolicyJwt);
const MTLS = {
  ...{ mode: 'request' as const, action: 'block' as const, trust: ['devices'], paths: [], forward: [], by: [] },
  own: { renew: false, est: false },
};

interface Caller {
  token: { of: string; scopes: string[]; roles: string[] } | null;
  key: { in: string; scopes: string[] } | null;
  certificate: boolean;
}

const words = fc.subarray(['r', 'w', 'x']);
const caller: fc.Arbitrary<Caller> = fc.record({
  token: fc.option(fc.record({ of: fc.constantFrom('a', 'b'), scopes: words, roles: words })),
  key: fc.option(fc.record({ in: fc.constantFrom('x-one', 'two'), scopes: words })),
  certificate: fc.boolean(),
});
const need: fc.Arbitrary<DescribedNeed> = fc
  .record({ name: fc.constantFrom(...Object.keys(SCHEMES)), names: words })
  .map(({ name, names }) => {
    const { scheme } = SCHEMES[name] as (typeof SCHEMES)[string];
    const scoped = scheme.type === 'oauth2';
    return { at: `/need/${name}`, scheme, scopes: scoped ? names : [], roles: scoped ? [] : names };
  });
const security = fc.array(fc.array(need, { maxLength: 4 }), { maxLength: 4 });

/** As OpenAPI has it: one of the maps, all of its members. */
function described(any: readonly (readonly DescribedNeed[])[], caller: Caller): boolean {
  const holds = ({ scheme, scopes, roles }: DescribedNeed) => {
    if (!SCHEMES[scheme.name]?.of(caller)) return false;
    if (scheme.type === 'mutualTLS') return roles.length === 0;
    if (scheme.type === 'apiKey') return roles.every(role => caller.key?.scopes.includes(role));
    return (
      scopes.every(scope => caller.token?.scopes.includes(scope)) &&
      roles.every(role => caller.token?.roles.includes(role))
    );
  };
  return any.length === 0 || any.some(needs => needs.every(holds));
}

/** As the engine judges. */
function admitted(any: readonly (readonly PolicyNeed[])[], { token, key, certificate }: Caller): boolean {
  const place = (location: PolicyLocation) => ('name' in location ? location.name : '');
  return any.some(needs =>
    needs.every(need => {
      if (need.kind === 'certificate') return certificate;
      if (need.kind === 'key') {
        const there = need.locations.length === 0 || need.locations.some(location => place(location) === key?.in);
        return key !== null && there && need.scopes.every(scope => key.scopes.includes(scope));
      }
      if (token === null || !need.configurations.includes(token.of)) return false;
      const roles = need.roles.length === 0 || need.roles.some(role => token.roles.includes(role));
      return roles && need.scopes.every(scope => token.scopes.includes(scope));
    }),
  );
}

test('who is let in is who the description lets in', () => {
  fc.assert(
    fc.property(security, fc.array(caller, { minLength: 1, maxLength: 8 }), (any, callers) => {
      const text = 'hosts: { a: { credentials: {} } }';
      const loading = new Loading(new Source('portcullis.yaml', text, { env: {}, file: () => '' }), '/');
      const operation = { names: ['one'], at: '/one', security: { at: '/one/security', any }, own: null, limits: null };
      const compiled = compileCredentials(
        WRITTEN,
        {
          ...{ host: 'a', at: '/hosts/a/credentials', jwt: JWT, configurations: ['a', 'b'], mtls: MTLS },
          described: { schemes: Object.values(SCHEMES).map(({ scheme }) => scheme), operations: [operation] },
          authorities: ['devices'],
        },
        loading,
      );
      const faulty = loading.problems.some(({ severity }) => severity === 'problem');
      const requirement = compiled?.policy.operations[0]?.any ?? [];
      for (const caller of callers) {
        const wanted = described(any, caller);
        expect(admitted(requirement, caller)).toBe(faulty ? admitted(requirement, caller) && wanted : wanted);
      }
    }),
    { numRuns: 2_000 },
  );
});
