// /audit: who changed what, and whether the log is as it was written.

import { sql } from 'kysely';
import { z } from 'zod';
import { verifyAudit } from '../store/audit.js';
import type { Store } from '../store/open.js';
import type { AuditTable } from '../store/tables.js';
import { type Api, page, paging } from './api.js';
import { paged, readCursor } from './cursor.js';

const time = z.iso.datetime({ offset: true });
const hash = z.string().regex(/^[0-9a-f]{64}$/);
const anything = z.unknown().meta({ description: 'As the action shows it; without secrets.' });

const entry = z
  .object({
    seq: z.int(),
    at: time,
    actor: z.string().meta({ description: "A token's name, a client certificate's subject, or `system`." }),
    action: z.string().meta({ example: 'pki.authority.create' }),
    target: z.string(),
    before: anything,
    after: anything,
    previous: hash,
    hash,
  })
  .meta({ id: 'AuditEntry' });

const verdict = z
  .object({
    entries: z.int(),
    head: z.object({ seq: z.int(), hash }).meta({ description: 'The newest entry: worth keeping elsewhere.' }),
    broken: z.object({ seq: z.int(), why: z.string() }).nullable(),
  })
  .meta({ id: 'AuditVerdict' });

export type Entry = z.output<typeof entry>;
export type Verdict = z.output<typeof verdict>;

const filters = paging.extend({
  actor: z.string().max(300).optional(),
  action: z.string().max(100).optional().meta({ description: 'Whole, or its beginning up to a dot: `pki`.' }),
  target: z.string().max(300).optional(),
  since: time.optional(),
  until: time.optional().meta({ description: 'Not included.' }),
});

export function routes(api: Api, store: Store): void {
  api.operation(
    {
      id: 'listAudit',
      method: 'get',
      path: '/audit',
      summary: 'Changes, newest first.',
      role: 'admin',
      tag: 'audit',
      query: filters,
      answer: page(entry),
    },
    async ({ query: { cursor, limit, actor, action, target, since, until } }) => {
      const before = readCursor(z.int(), cursor);
      let rows = store.db.selectFrom('audit').selectAll().orderBy('seq', 'desc');
      if (before !== null) rows = rows.where('seq', '<', before);
      if (actor !== undefined) rows = rows.where('actor', '=', actor);
      if (action !== undefined) {
        const start = `${action}.`;
        rows = rows.where(({ eb, or }) =>
          or([eb('action', '=', action), sql<boolean>`substr(action, 1, ${sql.lit(start.length)}) = ${start}`]),
        );
      }
      if (target !== undefined) rows = rows.where('target', '=', target);
      if (since !== undefined) rows = rows.where('at', '>=', Date.parse(since));
      if (until !== undefined) rows = rows.where('at', '<', Date.parse(until));
      return { body: paged(await rows.limit(limit + 1).execute(), limit, row => row.seq, shown) };
    },
  );

  api.operation(
    {
      id: 'verifyAudit',
      method: 'get',
      path: '/audit/verify',
      summary: 'Walk the chain of hashes: is every entry as it was written?',
      role: 'admin',
      tag: 'audit',
      query: z.object({ from: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).default(1) }),
      answer: verdict,
    },
    async ({ query: { from } }) => ({ body: await verifyAudit(store.db, from) }),
  );
}

function shown({ at, before, after, ...row }: AuditTable) {
  return {
    ...row,
    at: new Date(at).toISOString(),
    before: before === null ? null : JSON.parse(before),
    after: after === null ? null : JSON.parse(after),
  };
}
