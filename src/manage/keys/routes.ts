// /keys: API keys and service tokens.

import { z } from 'zod';
import { type Api, BASE, page, paging } from '../admin/api.js';
import { by } from '../pki/service.js';
import { type Found, type Keys, type Made, shown, shownOnce } from './keys.js';
import * as shapes from './shapes.js';

const tag = 'keys';
const params = z.object({ id: z.string().regex(/^[0-9a-f]{12}$/) });

const filter = paging.extend({
  partner: shapes.partner.optional(),
  state: z.enum(shapes.STATES).optional(),
  kind: z.enum(['key', 'service']).optional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9._@-]{1,64}$/)
    .optional()
    .meta({ description: 'What it begins with.' }),
  unused_since: shapes.time.optional().meta({ description: 'Made before, and not used from then on.' }),
});

/** `inForce`: brings this process up to date, so that an answer is never ahead of what counts here. */
export function keyRoutes(api: Api, keys: Keys, inForce: () => Promise<void> = async () => {}): void {
  const answer = async (found: Found) => {
    await inForce();
    return { body: shown(found, keys.now()), version: found.row.version };
  };
  const answerOnce = async (made: Made) => {
    await inForce();
    return { body: shownOnce(made, keys.now()), version: made.row.version };
  };
  api.operation(
    {
      id: 'listKeys',
      method: 'get',
      path: '/keys',
      summary: 'API keys and service tokens, the newest first; expired and revoked ones too.',
      role: 'viewer',
      tag,
      query: filter,
      answer: page(shapes.key),
    },
    async ({ query: { cursor, limit, unused_since, ...rest } }) => {
      const unusedSince = unused_since === undefined ? undefined : Date.parse(unused_since);
      return { body: await keys.list({ ...rest, unusedSince }, cursor, limit) };
    },
  );

  api.operation(
    {
      id: 'createKey',
      method: 'post',
      path: '/keys',
      summary: 'Make a key. It is shown in this answer and never again.',
      role: 'operator',
      tag,
      status: 201,
      body: shapes.newKey,
      answer: shapes.madeKey,
    },
    async call => {
      const made = await keys.create(call.body, by(call));
      return { ...(await answerOnce(made)), headers: { Location: `${BASE}/keys/${made.row.id}` } };
    },
  );

  api.operation(
    {
      id: 'identifyKey',
      method: 'post',
      path: '/keys/identify',
      summary: 'Tell whose a key is that was found somewhere, and whether it still counts.',
      role: 'viewer',
      tag,
      body: shapes.identification,
      answer: shapes.identified,
      changes: false,
    },
    async ({ body: { id, digest } }) => ({ body: await keys.identify(id, digest) }),
  );

  api.operation(
    {
      id: 'getKey',
      method: 'get',
      path: '/keys/{id}',
      summary: 'A key, but for the secret itself.',
      role: 'viewer',
      tag,
      params,
      answer: shapes.key,
    },
    async ({ params: { id } }) => {
      const found = await keys.find(id);
      return { body: shown(found, keys.now()), version: found.row.version };
    },
  );

  api.operation(
    {
      id: 'changeKey',
      method: 'patch',
      path: '/keys/{id}',
      summary: 'Change what a key may do, from where, and until when. Lists are replaced.',
      role: 'operator',
      tag,
      params,
      body: shapes.change,
      answer: shapes.key,
      conditional: true,
    },
    async call => answer(await keys.change(call.params.id, call.body, call.version, by(call))),
  );

  api.operation(
    {
      id: 'rotateKey',
      method: 'post',
      path: '/keys/{id}/rotate',
      summary: 'Make another secret of a key, shown only this once. The one so far counts until the deadline.',
      role: 'operator',
      tag,
      params,
      body: shapes.rotation,
      answer: shapes.madeKey,
      conditional: true,
    },
    async call => answerOnce(await keys.rotate(call.params.id, call.body, call.version, by(call))),
  );

  api.operation(
    {
      id: 'revokeKey',
      method: 'post',
      path: '/keys/{id}/revoke',
      summary: 'Revoke a key, for ever. It is refused from now on, by every gateway of the store within a second.',
      role: 'operator',
      tag,
      params,
      body: shapes.revocation,
      answer: shapes.key,
      conditional: true,
    },
    async call => answer(await keys.revoke(call.params.id, call.body.why, call.version, by(call))),
  );
}
