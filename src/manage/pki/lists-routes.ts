// PUT /admin/v1/pki/authorities/{name}/revocation-list.

import { z } from 'zod';
import type { Api } from '../admin/api.js';
import { MAX_LIST_BYTES } from '../download.js';
import { rfc3339 } from './lifetime.js';
import type { Lists } from './lists.js';

const loaded = z.object({
  issuer: z.string(),
  key_id: z.string().describe('Of the key that signed it.'),
  number: z.string(),
  this_update: z.string().meta({ format: 'date-time' }),
  next_update: z.string().meta({ format: 'date-time' }),
  serials: z.int().describe('How many certificates it takes back.'),
});

export type Loaded = z.output<typeof loaded>;

export function listRoutes(api: Api, lists: Lists): void {
  api.operation(
    {
      id: 'uploadRevocationList',
      method: 'put',
      path: '/pki/authorities/{name}/revocation-list',
      summary: 'Takes up a revocation list of an authority that is not hosted here: DER or PEM, 64 MiB at most.',
      role: 'operator',
      tag: 'pki',
      params: z.object({ name: z.string().min(1).max(64) }),
      body: z.instanceof(Buffer).meta({ type: 'string', format: 'binary' }),
      bodyType: 'application/pkix-crl',
      bytes: true,
      maxBytes: MAX_LIST_BYTES,
      answer: loaded,
    },
    async ({ params, body, audit }) => {
      const { replaced: _, this_update, next_update, ...list } = await lists.upload(params.name, body, audit);
      return { body: { ...list, this_update: rfc3339(this_update), next_update: rfc3339(next_update) } };
    },
  );
}
