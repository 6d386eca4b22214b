// Client-certificate rules by host and path: what one would do, made, changed and taken away.

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { mode, PATH_PREFIX } from '../../check/mtls/config.js';
import { type Api, expectVersion, page, Refusal } from '../admin/api.js';
import type { Store } from '../store/open.js';
import type { MtlsRulesTable } from '../store/tables.js';
import { type Operation, preview } from './preview.js';
import { type MtlsRule, mtlsRule, mtlsRules, ruleOf } from './rules.js';

/** A rule is looked through at each load of the policy; real fleets have some dozens. */
const MAX_RULES = 1_000;

export interface MtlsParts {
  store: Store;
  /** What is served now. */
  hosts(): { name: string; operations: Operation[] }[];
  /** Writes what came since the last time. */
  record(): Promise<void>;
  /** Names of all authorities, of the configuration and of the store. */
  authorities(): Promise<string[]>;
}

const place = {
  host: z.string().min(1).max(255).describe('As in the configuration: `api.example.com` or `*.example.com`.'),
  path: z
    .string()
    .max(1024)
    .regex(PATH_PREFIX, { error: 'starts with `/`: whole segments, normalised, without query or percent' })
    .default('/')
    .describe('Prefix of whole segments; `/` is the whole host.'),
};
const trust = z.array(z.string().min(1).max(64)).min(1).max(64).describe('Names of authorities.');
const action = z
  .enum(['log', 'block'])
  .describe('`log`: what would be denied passes and is recorded. `block`: it is denied.');

const wanted = z.strictObject({
  ...place,
  trust,
  mode: mode.default('require'),
  action: action.default('block'),
});
const change = z.strictObject({ trust: trust.optional(), mode: mode.optional(), action: action.optional() });

const rule = z
  .object({
    id: z.string(),
    host: z.string(),
    path: z.string(),
    mode,
    action,
    trust: z.array(z.string()),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'MtlsRule' });

const effect = z
  .object({
    since: z.iso.datetime(),
    requests: z.int(),
    valid: z.int(),
    absent: z.int(),
    invalid: z.int(),
    operations: z.array(z.object({ id: z.string(), requests: z.int(), denied: z.int() })),
    undescribed: z.int().describe('Requests of no described operation: part of the sums, wherever they went.'),
    losing: z
      .object({
        count: z.int(),
        certificates: z.array(z.object({ subject: z.string(), authority: z.string(), last_seen: z.iso.datetime() })),
      })
      .describe('Certificates that came within the time, and whose authority the rule does not trust.'),
  })
  .meta({ id: 'MtlsPreview' });

export type ShownRule = z.output<typeof rule>;
export type Effect = z.output<typeof effect>;

export function routes(api: Api, parts: MtlsParts): void {
  const { store } = parts;
  api.operation(
    {
      id: 'listMtlsRules',
      method: 'get',
      path: '/mtls/rules',
      summary: 'Lists the client-certificate rules that were made here.',
      role: 'viewer',
      tag: 'mtls',
      answer: page(rule),
    },
    async () => ({ body: { items: (await mtlsRules(store)).map(shown), next: null } }),
  );
  api.operation(
    {
      id: 'previewMtlsRule',
      method: 'get',
      path: '/mtls/preview',
      summary: 'Tells from the traffic of the last day what a rule would do.',
      role: 'viewer',
      tag: 'mtls',
      query: z.object({ ...place, trust: z.string().max(4096).describe('Names of authorities, with commas between.') }),
      answer: effect,
    },
    async ({ query }) => {
      const host = found(parts, query.host);
      const names = query.trust.split(',').filter(Boolean);
      await known(parts, names);
      await parts.record();
      const seen = await preview(store, { ...query, trust: names }, host.operations, Date.now());
      const { since, losing, ...counts } = seen;
      const certificates = losing.certificates.map(({ lastSeen, ...one }) => ({ ...one, last_seen: iso(lastSeen) }));
      return { body: { since: iso(since), ...counts, losing: { ...losing, certificates } } };
    },
  );
  api.operation(
    {
      id: 'createMtlsRule',
      method: 'post',
      path: '/mtls/rules',
      summary: 'Makes a rule; it is in force within a second, in every process that shares the store.',
      role: 'operator',
      tag: 'mtls',
      body: wanted,
      status: 201,
      answer: rule,
    },
    async ({ body, audit }) => {
      found(parts, body.host);
      await known(parts, body.trust);
      const made = await store.write(['mtls_rules'], async (tx, revisions) => {
        const { count } = await tx
          .selectFrom('mtls_rules')
          .select(({ fn }) => fn.countAll<number>().as('count'))
          .executeTakeFirstOrThrow();
        if (count >= MAX_RULES) throw new Refusal(409, `There are ${MAX_RULES} rules already.`);
        const row: MtlsRulesTable = {
          id: randomUUID(),
          host: body.host,
          path: trimmed(body.path),
          mode: body.mode,
          action: body.action,
          trust: JSON.stringify([...new Set(body.trust)]),
          created_at: Date.now(),
          version: 1,
        };
        const { numInsertedOrUpdatedRows: inserted } = await tx
          .insertInto('mtls_rules')
          .values(row)
          .onConflict(conflict => conflict.columns(['host', 'path']).doNothing())
          .executeTakeFirst();
        if (Number(inserted) === 0) {
          throw new Refusal(409, `There is a rule for ${row.host}${row.path} already.`, 'Change that one.');
        }
        const made = ruleOf(row);
        await audit(tx, revisions, {
          action: 'mtls.rule.create',
          target: target(made),
          before: null,
          after: shown(made),
        });
        return made;
      });
      return { body: shown(made), version: made.version };
    },
  );
  const one = z.object({ id: z.uuid() });
  api.operation(
    {
      id: 'getMtlsRule',
      method: 'get',
      path: '/mtls/rules/{id}',
      summary: 'Shows a rule.',
      role: 'viewer',
      tag: 'mtls',
      params: one,
      answer: rule,
    },
    async ({ params }) => {
      const there = (await mtlsRule(store, params.id)) ?? missing();
      return { body: shown(there), version: there.version };
    },
  );
  api.operation(
    {
      id: 'changeMtlsRule',
      method: 'patch',
      path: '/mtls/rules/{id}',
      summary: 'Changes a rule, such as from `log` to `block`.',
      role: 'operator',
      tag: 'mtls',
      params: one,
      body: change,
      answer: rule,
      conditional: true,
    },
    async ({ params, body, version, audit }) => {
      await known(parts, body.trust ?? []);
      const changed = await store.write(['mtls_rules'], async (tx, revisions) => {
        const row = await tx.selectFrom('mtls_rules').selectAll().where('id', '=', params.id).executeTakeFirst();
        if (!row) return missing();
        expectVersion(version, row.version);
        const after: MtlsRulesTable = {
          ...row,
          mode: body.mode ?? row.mode,
          action: body.action ?? row.action,
          trust: body.trust ? JSON.stringify([...new Set(body.trust)]) : row.trust,
          version: row.version + 1,
        };
        await tx.updateTable('mtls_rules').set(after).where('id', '=', params.id).execute();
        const [was, is] = [ruleOf(row), ruleOf(after)];
        await audit(tx, revisions, {
          action: 'mtls.rule.change',
          target: target(is),
          before: shown(was),
          after: shown(is),
        });
        return is;
      });
      return { body: shown(changed), version: changed.version };
    },
  );
  api.operation(
    {
      id: 'deleteMtlsRule',
      method: 'delete',
      path: '/mtls/rules/{id}',
      summary: 'Takes a rule away: what the configuration says counts again.',
      role: 'operator',
      tag: 'mtls',
      params: one,
      status: 204,
      conditional: true,
    },
    async ({ params, version, audit }) => {
      await store.write(['mtls_rules'], async (tx, revisions) => {
        const row = await tx.selectFrom('mtls_rules').selectAll().where('id', '=', params.id).executeTakeFirst();
        if (!row) return missing();
        expectVersion(version, row.version);
        await tx.deleteFrom('mtls_rules').where('id', '=', params.id).execute();
        const was = ruleOf(row);
        await audit(tx, revisions, {
          action: 'mtls.rule.delete',
          target: target(was),
          before: shown(was),
          after: null,
        });
      });
      return {};
    },
  );
}

function found(parts: MtlsParts, name: string): { name: string; operations: Operation[] } {
  const hosts = parts.hosts();
  const host = hosts.find(one => one.name === name);
  if (host) return host;
  throw new Refusal(422, `The host ${name} is not served.`, `Hosts: ${hosts.map(one => one.name).join(', ')}.`);
}

async function known(parts: MtlsParts, names: readonly string[]): Promise<void> {
  const authorities = await parts.authorities();
  const unknown = names.filter(name => !authorities.includes(name));
  if (unknown.length === 0) return;
  const there = authorities.join(', ') || 'none';
  throw new Refusal(422, `No authority is called ${unknown.join(' or ')}.`, `Authorities: ${there}.`);
}

function missing(): never {
  throw new Refusal(404, 'There is no such rule.');
}

/** `/orders/` and `/orders` are one prefix. */
function trimmed(path: string): string {
  return path === '/' ? path : path.replace(/\/$/, '');
}

function target({ host, path }: MtlsRule): string {
  return `${host}${path}`;
}

function shown({ version: _, createdAt, ...rest }: MtlsRule): Record<string, unknown> {
  return { ...rest, created_at: iso(createdAt) };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
