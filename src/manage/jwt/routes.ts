// /admin/v1/jwt: token configurations, the key sets that are fetched for them, tokens judged and taken back.

import { z } from 'zod';
import type { PolicyJwt } from '../../config/policy.js';
import { type Api, page, paging, Refusal } from '../admin/api.js';
import type { Store } from '../store/open.js';
import type { TokenRevocationsTable } from '../store/tables.js';
import type { KeySetState } from './key-set.js';
import type { Refresh } from './refresh.js';
import type { TokenRevocations } from './revocations.js';
import {
  configuration,
  inspected,
  kind,
  MAX_TOKEN_CHARACTERS,
  name,
  revocation,
  revoking,
  state,
  value,
} from './shapes.js';

export interface JwtParts {
  store: Store;
  refresh: Refresh;
  revocations: TokenRevocations;
  /** The native door's: a token configuration's name and a token; steps and reason, JSON. */
  inspectToken(configuration: string, token: string): string;
  /** Of the policy in force. */
  configurations(): readonly PolicyJwt[];
  /** Brings this process up to date, so that an answer is never ahead of what is refused here. */
  inForce(): Promise<void>;
}

const params = z.object({ name });

export function jwtRoutes(api: Api, parts: JwtParts): void {
  const { store, refresh, revocations } = parts;
  const tag = 'jwt';
  api.operation(
    {
      id: 'listTokenConfigurations',
      method: 'get',
      path: '/jwt',
      summary: 'Lists token configurations, with the state of the key sets that are fetched for them.',
      role: 'viewer',
      tag,
      answer: page(configuration),
    },
    async () => {
      const states = new Map(refresh.states().map(one => [one.name, one]));
      return { body: { items: parts.configurations().map(one => shown(one, states.get(one.name))), next: null } };
    },
  );
  api.operation(
    {
      id: 'getTokenConfiguration',
      method: 'get',
      path: '/jwt/{name}',
      summary: 'A token configuration, with the state of its key set.',
      role: 'viewer',
      tag,
      params,
      answer: configuration,
    },
    async ({ params: { name } }) => ({ body: shown(found(parts, name), refresh.find(name)?.state()) }),
  );
  api.operation(
    {
      id: 'refreshKeySet',
      method: 'post',
      path: '/jwt/{name}/refresh',
      summary: 'Fetches the key set now, whatever its cache headers said, once a second at most.',
      role: 'operator',
      tag,
      params,
      answer: configuration,
    },
    async ({ params: { name }, audit }) => {
      const one = found(parts, name);
      const set = refresh.find(name);
      if (!set) {
        throw new Refusal(409, 'The keys stand in the configuration.', 'Change them there; the gateway takes them up.');
      }
      const earlyMs = await set.force();
      if (earlyMs > 0) {
        const headers = { 'Retry-After': String(Math.ceil(earlyMs / 1_000)) };
        throw new Refusal(429, 'Somebody asked for it within this second.', undefined, [], { headers });
      }
      const after = set.state();
      const { error, keys } = after;
      await store.write([], (tx, revisions) =>
        audit(tx, revisions, {
          action: 'jwt.refresh',
          target: name,
          after: { error: error?.message ?? null, keys: keys.map(({ kid, thumbprint }) => kid ?? thumbprint) },
        }),
      );
      return { body: shown(one, after) };
    },
  );
  api.operation(
    {
      id: 'inspectToken',
      method: 'post',
      path: '/jwt/{name}/inspect',
      summary: 'Tells whether a token would be accepted, step by step. It is written nowhere.',
      role: 'viewer',
      tag,
      params,
      body: z.strictObject({
        token: z
          .string()
          .min(1)
          .max(MAX_TOKEN_CHARACTERS)
          .describe('Without a scheme. Who presents it is not asked: a binding is only told.'),
      }),
      answer: inspected,
      changes: false,
    },
    async ({ params: { name }, body: { token } }) => {
      found(parts, name);
      const { steps, reason, header, claims } = JSON.parse(parts.inspectToken(name, token.trim()));
      return { body: { accepted: reason === null, reason, steps, header, claims } };
    },
  );
  api.operation(
    {
      id: 'revokeIssuedTokens',
      method: 'post',
      path: '/jwt/{name}/revocations',
      summary: 'Takes tokens back before their end: they are refused within a second, by every gateway on the store.',
      role: 'operator',
      tag,
      status: 201,
      params,
      body: revoking,
      answer: revocation,
    },
    async ({ params: { name }, body: { until, why, ...what }, principal, audit }) => {
      const row = await revocations.revoke({
        ...what,
        configuration: name,
        until: typeof until === 'string' ? Date.parse(until) : until,
        why: why ?? null,
        by: principal.name,
        audit,
      });
      await parts.inForce();
      return { body: told(row), headers: { Location: `/admin/v1/jwt/${name}/revocations/${row.id}` } };
    },
  );
  api.operation(
    {
      id: 'listTokenRevocations',
      method: 'get',
      path: '/jwt/{name}/revocations',
      summary: 'Lists what was taken back and restored and has not lapsed, the newest change first.',
      role: 'viewer',
      tag,
      params,
      query: paging.extend({
        kind: kind.optional(),
        state: state.optional(),
        value: value.optional(),
      }),
      answer: page(revocation),
    },
    async ({ params: { name }, query: { cursor, limit, ...only } }) => {
      const { items, next } = await revocations.page(name, cursor, limit, only);
      return { body: { items: items.map(told), next } };
    },
  );
  api.operation(
    {
      id: 'restoreTokens',
      method: 'delete',
      path: '/jwt/{name}/revocations/{id}',
      summary: 'Lets such tokens count again.',
      role: 'operator',
      tag,
      params: params.extend({ id: z.string().regex(/^[0-9a-f]{32}$/) }),
      answer: revocation,
    },
    async ({ params: { name, id }, principal, audit }) => {
      const row = await revocations.restore(name, id, principal.name, audit);
      await parts.inForce();
      return { body: told(row) };
    },
  );
}

function found({ configurations }: JwtParts, name: string): PolicyJwt {
  const one = configurations().find(known => known.name === name);
  if (one) return one;
  throw new Refusal(404, `No token configuration is called ${JSON.stringify(name)}.`);
}

function shown({ name, issuer, audiences, algorithms }: PolicyJwt, set: KeySetState | undefined) {
  return { name, issuer, audiences, algorithms, key_set: set ? shownSet(set) : null };
}

function shownSet({ url, state, from, fetchedAt, nextAt, keys, skipped, error }: KeySetState) {
  return {
    ...{ url, state, from, keys, skipped },
    fetched_at: fetchedAt === null ? null : written(fetchedAt),
    next_fetch_at: written(nextAt),
    error: error && { at: written(error.at), message: error.message },
  };
}

function told({ revision: _, at, until, ...row }: TokenRevocationsTable) {
  return { ...row, at: written(at), until: until === null ? null : written(until) };
}

function written(at: number): string {
  return new Date(at).toISOString();
}
