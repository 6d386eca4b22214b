// PUT /admin/v1/pki/authorities/{name}/revocation-list.

import { z } from 'zod';
import type { Api } from '../admin/api.js';
import { MAX_LIST_BYTES } from './download.js';
import type { Lists } from './lists.js';

const loaded = z.object({
  issuer: z.string(),
  keyId: z.string().describe('Of the key that signed it.'),
  number: z.string(),
  thisUpdate: z.string().meta({ format: 'date-time' }),
  nextUpdate: z.string().meta({ format: 'date-time' }),
  serials: z.int().describe('How many certificates it takes back.'),
});

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
      const { issuer, key_id, number, this_update, next_update, serials } = await lists.upload(
        params.name,
        body,
        audit,
      );
      const [thisUpdate, nextUpdate] = [this_update, next_update].map(at => new Date(at).toISOString());
      return { body: { issuer, keyId: key_id, number, thisUpdate, nextUpdate, serials } };
    },
  );
}
