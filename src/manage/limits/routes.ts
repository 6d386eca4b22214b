// /limits: rate limits as they are in force, who they refuse, and whom they spare.

import { z } from 'zod';
import type { PolicyLimit } from '../../config/policy.js';
import { type Api, page, paging, Refusal } from '../admin/api.js';
import { by } from '../pki/service.js';
import { type Exemptions, timeOf } from './exemptions.js';
import * as shapes from './shapes.js';
import { type Figures, figuresOf, type Limiting, NOTHING, topOf } from './told.js';

const tag = 'limits';
const params = z.object({ name: shapes.limitName });
const keyParams = params.extend({ key: shapes.limitKey });

/** The quota of partners: a limit that stands in no rule, counted by their names. */
const QUOTA = 'quota';

/** Host and operations, by the indexes that limits of descriptions name. */
export type Described = readonly { name: string; operations: readonly { id: string }[] }[];

export interface LimitRouting {
  native: Pick<Limiting, 'limits' | 'topLimited'>;
  exemptions: Exemptions;
  /** In force. */
  limits(): readonly PolicyLimit[];
  hosts(): Described;
  /** Brings this process up to date, so that an answer is never ahead of what is in force here. */
  inForce(): Promise<void>;
  /** Takes the counter out of those that the fleet shares; null: there are none. Rejects when nobody answers. */
  resetFleet: ((limit: PolicyLimit | null, key: string) => Promise<boolean>) | null;
}

export function limitRoutes(api: Api, routing: LimitRouting): void {
  const { native, exemptions, limits, hosts, inForce } = routing;
  const known = (name: string) => {
    const limit = limits().find(one => one.name === name) ?? null;
    if (limit === null && name !== QUOTA && !figuresOf(native).has(name)) throw noSuchLimit(name);
    return limit;
  };

  api.operation(
    {
      id: 'listLimits',
      method: 'get',
      path: '/limits',
      summary: 'Rate limits in force, in their order, with what this process has counted.',
      role: 'viewer',
      tag,
      answer: page(shapes.limit),
    },
    async () => {
      const [described, figures] = [hosts(), figuresOf(native)];
      return { body: { items: limits().map(limit => shown(limit, described, figures.get(limit.name))), next: null } };
    },
  );

  api.operation(
    {
      id: 'getLimit',
      method: 'get',
      path: '/limits/rules/{name}',
      summary: 'A rate limit, with what this process has counted.',
      role: 'viewer',
      tag,
      params,
      answer: shapes.limit,
    },
    async ({ params: { name } }) => {
      const limit = limits().find(one => one.name === name);
      if (!limit) throw noSuchLimit(name);
      return { body: shown(limit, hosts(), figuresOf(native).get(name)) };
    },
  );

  api.operation(
    {
      id: 'topLimitedKeys',
      method: 'get',
      path: '/limits/top',
      summary: 'Keys that limits count in this process, those that were refused most first.',
      role: 'viewer',
      tag,
      query: shapes.topQuery,
      answer: shapes.topAnswer,
    },
    async ({ query: { rule = null, most } }) => {
      if (rule !== null) known(rule);
      const items = topOf(native, rule, most).map(({ rule: limit, key, identity, used, refused, penalty_ends }) => ({
        ...{ limit, key, identity, used, refused },
        penalty_ends: timeOf(penalty_ends),
      }));
      return { body: { items } };
    },
  );

  api.operation(
    {
      id: 'resetLimitedKey',
      method: 'post',
      path: '/limits/rules/{name}/reset',
      summary: 'Forget what a key has spent, penalty included, in every gateway of the store within a second.',
      role: 'operator',
      tag,
      params,
      body: shapes.resetBody,
      answer: shapes.resetAnswer,
    },
    async call => {
      const { name } = call.params;
      const { key } = call.body;
      const limit = known(name);
      const { at } = await exemptions.reset(name, key, by(call));
      await inForce();
      return { body: { limit: name, key, at: timeOf(at), fleet: await fleetWithout(routing, limit, key) } };
    },
  );

  api.operation(
    {
      id: 'listLimitExemptions',
      method: 'get',
      path: '/limits/exemptions',
      summary: 'Keys that a limit does not hold for, by limit; those that ended are left out.',
      role: 'viewer',
      tag,
      query: paging.extend({ rule: shapes.limitName.optional() }),
      answer: page(shapes.exemption),
    },
    async ({ query: { rule, cursor, limit } }) => ({ body: await exemptions.page(rule, cursor, limit) }),
  );

  api.operation(
    {
      id: 'exemptFromLimit',
      method: 'put',
      path: '/limits/rules/{name}/exemptions/{key}',
      summary: 'Let a limit not hold for a key: never refused, not counted, in every gateway within a second.',
      role: 'operator',
      tag,
      params: keyParams,
      body: shapes.exempting,
      answer: shapes.exemption,
    },
    async call => {
      const { name, key } = call.params;
      const { until, why } = call.body;
      known(name);
      const wanted = { rule: name, key, until: until ? Date.parse(until) : null, why: why ?? null };
      const body = await exemptions.exempt(wanted, by(call));
      await inForce();
      return { body };
    },
  );

  api.operation(
    {
      id: 'endLimitExemption',
      method: 'delete',
      path: '/limits/rules/{name}/exemptions/{key}',
      summary: 'Let a limit hold again for a key.',
      role: 'operator',
      tag,
      params: keyParams,
      answer: shapes.exemption,
    },
    async call => {
      const body = await exemptions.unexempt(call.params.name, call.params.key, by(call));
      await inForce();
      return { body };
    },
  );
}

async function fleetWithout({ resetFleet }: LimitRouting, limit: PolicyLimit | null, key: string) {
  if (!resetFleet || (limit && limit.sharing.mode === 'local')) return 'none';
  try {
    return (await resetFleet(limit, key)) ? 'reset' : 'none';
  } catch {
    return 'failed';
  }
}

function noSuchLimit(name: string): Refusal {
  return new Refusal(404, `No limit is called ${JSON.stringify(name)}.`, '`portcullis limits list` shows them.');
}

function shown(limit: PolicyLimit, hosts: Described, counted: Figures | undefined) {
  const { score, action, sharing, concurrency, operation } = limit;
  const host = operation && hosts[operation[0]];
  const { name: _, ...figures } = counted ?? { ...NOTHING, name: limit.name };
  return {
    name: limit.name,
    expression: limit.expression?.expression ?? null,
    operation: host && operation ? { host: host.name, operation: host.operations[operation[1]]?.id ?? '' } : null,
    counting_expression: limit.counting?.expression ?? null,
    characteristics: limit.characteristics.map(({ expression }) => expression),
    algorithm: concurrency === null ? limit.algorithm : 'concurrency',
    amount: concurrency ?? limit.amount,
    period_seconds: concurrency === null ? limit.period_ms / 1_000 : null,
    burst: concurrency === null && limit.algorithm === 'gcra' ? limit.burst : null,
    score: scoreOf(score),
    mitigation_timeout_seconds: limit.mitigation_timeout_ms / 1_000,
    action: typeof action === 'string' ? action : 'delay',
    delay_seconds: typeof action === 'string' ? null : action.delay / 1_000,
    mode: sharing.mode,
    fallback: sharing.fallback,
    advance: sharing.mode === 'fast' ? sharing.advance : null,
    figures: figuresShown(figures),
  };
}

function scoreOf(score: PolicyLimit['score']): string | null {
  if (score === null) return null;
  return 'response_header' in score ? `response header ${score.response_header}` : score.expression.expression;
}

/** Without what a newer engine tells beside. */
function figuresShown(told: Omit<Figures, 'name'>) {
  return Object.fromEntries(Object.keys(NOTHING).map(name => [name, told[name as keyof typeof NOTHING]]));
}
