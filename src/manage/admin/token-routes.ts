// /tokens: who may use the admin API.

import { z } from 'zod';
import type { Store } from '../store/open.js';
import type { TokensTable } from '../store/tables.js';
import { type Api, expectVersion, page, paging, Refusal } from './api.js';
import { paged, readCursor } from './cursor.js';
import { addToken, type Tokens } from './tokens.js';

/** Each is a row that a person looks through. */
const MAX_TOKENS = 10_000;

const time = z.iso.datetime({ offset: true }).meta({ example: '2027-01-31T00:00:00Z' });
const role = z
  .enum(['viewer', 'operator', 'admin'])
  .meta({ description: 'viewer reads; operator also changes; admin also makes tokens and authorities.' });
/** Not a certificate's subject, which has `=` in it, and readable in the audit log. */
const name = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/)
  .meta({ description: 'What the audit log names.', example: 'deploy-pipeline' });

const token = z
  .object({
    id: z.string().meta({ example: '9f2c4e1ab370' }),
    name: z.string(),
    role,
    created_at: time,
    created_by: z.string(),
    expires_at: time.nullable(),
    last_used_at: time.nullable().meta({ description: 'To the minute.' }),
    revoked_at: time.nullable(),
  })
  .meta({ id: 'Token' });
const made = token
  .extend({ token: z.string().meta({ description: 'The token itself: it is shown only this once.' }) })
  .meta({ id: 'NewToken' });

export type Token = z.output<typeof token>;
export type MadeToken = z.output<typeof made>;

const params = z.object({ id: z.string().regex(/^[0-9a-f]{12}$/) });
const key = z.tuple([z.number(), z.string()]);

export function routes(api: Api, store: Store, tokens: Tokens): void {
  api.operation(
    {
      id: 'listTokens',
      method: 'get',
      path: '/tokens',
      summary: 'Tokens, oldest first; revoked ones too.',
      role: 'admin',
      tag: 'tokens',
      query: paging,
      answer: page(token),
    },
    async ({ query: { cursor, limit } }) => {
      const after = readCursor(key, cursor);
      let rows = store.db.selectFrom('tokens').selectAll().orderBy('created_at').orderBy('id');
      if (after) {
        const [at, id] = after;
        rows = rows.where(({ eb, or, and }) =>
          or([eb('created_at', '>', at), and([eb('created_at', '=', at), eb('id', '>', id)])]),
        );
      }
      const found = await rows.limit(limit + 1).execute();
      return { body: paged(found, limit, row => [row.created_at, row.id], shown) };
    },
  );

  api.operation(
    {
      id: 'createToken',
      method: 'post',
      path: '/tokens',
      summary: 'Make a token. It is shown in this answer and never again.',
      role: 'admin',
      tag: 'tokens',
      status: 201,
      body: z.strictObject({
        name,
        role,
        expires_at: time.optional().meta({ description: 'In the future; a token without it does not expire.' }),
      }),
      answer: made,
    },
    async ({ body, principal, audit }) => {
      if (body.name === 'system') throw new Refusal(422, '`system` stands for Portcullis itself.', 'Another name.');
      const expiresAt = body.expires_at === undefined ? null : Date.parse(body.expires_at);
      if (expiresAt !== null && expiresAt <= Date.now()) {
        throw new Refusal(422, 'The token would have expired already.', 'A time in the future.', [
          { pointer: '/expires_at', detail: 'lies in the past' },
        ]);
      }
      const added = await store.write(['tokens'], async (tx, revisions) => {
        const live = await tx.selectFrom('tokens').select('name').where('revoked_at', 'is', null).execute();
        if (live.some(other => other.name === body.name)) {
          throw new Refusal(409, 'There is a token of this name.', 'Another name, or revoke that one first.');
        }
        if (live.length >= MAX_TOKENS) throw new Refusal(409, 'There are too many tokens.', 'Revoke some of them.');
        const one = await addToken(tx, { ...body, expiresAt, createdBy: principal.name });
        await audit(tx, revisions, { action: 'tokens.create', target: one.row.id, after: recorded(one.row) });
        return one;
      });
      const { row } = added;
      const headers = { Location: `/admin/v1/tokens/${row.id}` };
      return { body: { ...shown(row), token: added.token }, version: row.version, headers };
    },
  );

  api.operation(
    {
      id: 'getToken',
      method: 'get',
      path: '/tokens/{id}',
      summary: 'A token, but for the secret itself.',
      role: 'admin',
      tag: 'tokens',
      params,
      answer: token,
    },
    async ({ params: { id } }) => {
      const row = existing(await store.db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst());
      return { body: shown(row), version: row.version };
    },
  );

  api.operation(
    {
      id: 'revokeToken',
      method: 'post',
      path: '/tokens/{id}/revoke',
      summary: 'Revoke a token. It is refused from now on, by every process within a second.',
      role: 'admin',
      tag: 'tokens',
      params,
      answer: token,
      conditional: true,
    },
    async ({ params: { id }, version, principal, audit }) => {
      const revoked = await store.write(['tokens'], async (tx, revisions) => {
        const row = existing(await tx.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst());
        expectVersion(version, row.version);
        if (principal.kind === 'token' && principal.name === row.name && row.revoked_at === null) {
          // So there always is one token left that makes others.
          throw new Refusal(409, 'A token cannot revoke itself.', 'Make another one, and revoke this one with it.');
        }
        const after = { ...row, revoked_at: row.revoked_at ?? Date.now(), version: row.version + 1 };
        const { revoked_at, version: next } = after;
        await tx.updateTable('tokens').set({ revoked_at, version: next }).where('id', '=', id).execute();
        const [from, to] = [recorded(row), recorded(after)];
        await audit(tx, revisions, { action: 'tokens.revoke', target: id, before: from, after: to });
        return after;
      });
      tokens.forget();
      return { body: shown(revoked), version: revoked.version };
    },
  );
}

function existing(row: TokensTable | undefined): TokensTable {
  if (row) return row;
  throw new Refusal(404, 'There is no such token.');
}

function shown({ hash: _, version: _version, ...row }: TokensTable) {
  return {
    ...row,
    created_at: written(row.created_at),
    expires_at: row.expires_at === null ? null : written(row.expires_at),
    last_used_at: row.last_used_at === null ? null : written(row.last_used_at),
    revoked_at: row.revoked_at === null ? null : written(row.revoked_at),
  };
}

function recorded(row: TokensTable) {
  const { name, role, expires_at, revoked_at } = shown(row);
  return { name, role, expires_at, revoked_at };
}

function written(at: number): string {
  return new Date(at).toISOString();
}
