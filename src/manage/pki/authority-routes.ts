// /pki/authorities: who issues, and who is trusted.

import { z } from 'zod';
import { type Api, BASE, page, paging } from '../admin/api.js';
import { authorityCertificates, listAuthorities, showAuthority } from './authority-list.js';
import { changeAuthority, changes } from './change.js';
import { authorityName, broughtAuthority, createAuthority, importAuthority, newAuthority } from './create.js';
import { retire, retirement } from './retire.js';
import { rotate, rotation } from './rotate.js';
import { by, type Pki } from './service.js';
import * as shapes from './shapes.js';

const params = z.object({ name: authorityName });
const tag = 'pki';
const PEM_CHAIN = 'application/pem-certificate-chain';

export function authorityRoutes(api: Api, pki: Pki): void {
  const shown = async (name: string) => showAuthority(pki, name);
  const located = async (name: string) => ({
    ...(await shown(name)),
    headers: { Location: `${BASE}/pki/authorities/${name}` },
  });

  api.operation(
    {
      id: 'listAuthorities',
      method: 'get',
      path: '/pki/authorities',
      summary: 'Authorities of the store, by name. Those with files in the configuration are not among them.',
      role: 'viewer',
      tag,
      query: paging,
      answer: page(shapes.authority),
    },
    async ({ query: { cursor, limit } }) => ({ body: await listAuthorities(pki, cursor, limit) }),
  );

  api.operation(
    {
      id: 'createAuthority',
      method: 'post',
      path: '/pki/authorities',
      summary: 'Make an authority. Its private key is made here, sealed, and never leaves.',
      role: 'admin',
      tag,
      status: 201,
      body: newAuthority,
      answer: shapes.authority,
    },
    async call => {
      await createAuthority(pki, call.body, by(call));
      return await located(call.body.name);
    },
  );

  api.operation(
    {
      id: 'importAuthority',
      method: 'post',
      path: '/pki/authorities/import',
      summary: 'Take up an authority that exists: certificates to trust, or with its key, to issue here as well.',
      role: 'admin',
      tag,
      status: 201,
      body: broughtAuthority,
      answer: shapes.authority,
    },
    async call => {
      await importAuthority(pki, call.body, by(call));
      return await located(call.body.name);
    },
  );

  api.operation(
    {
      id: 'getAuthority',
      method: 'get',
      path: '/pki/authorities/{name}',
      summary: 'An authority with its generations and profiles.',
      role: 'viewer',
      tag,
      params,
      answer: shapes.authority,
    },
    async ({ params: { name } }) => shown(name),
  );

  api.operation(
    {
      id: 'changeAuthority',
      method: 'patch',
      path: '/pki/authorities/{name}',
      summary: 'Change its profiles, or how revocation is looked up.',
      role: 'admin',
      tag,
      params,
      body: changes,
      answer: shapes.authority,
      conditional: true,
    },
    async call => {
      await changeAuthority(pki, call.params.name, call.body, call.version, by(call));
      return await shown(call.params.name);
    },
  );

  api.operation(
    {
      id: 'downloadAuthority',
      method: 'get',
      path: '/pki/authorities/{name}/certificates',
      summary: 'Certificates of an authority, PEM.',
      role: 'viewer',
      tag,
      params,
      query: z.object({
        which: z
          .enum(['trusted', 'issuing'])
          .default('trusted')
          .meta({ description: '`trusted`: all that are trusted now. `issuing`: the one that issues, and its chain.' }),
      }),
      answerType: PEM_CHAIN,
    },
    async ({ params: { name }, query: { which } }) => ({
      body: Buffer.from(await authorityCertificates(pki, name, which)),
      headers: { 'Content-Disposition': `attachment; filename="${name}.pem"` },
    }),
  );

  api.operation(
    {
      id: 'rotateAuthority',
      method: 'post',
      path: '/pki/authorities/{name}/rotate',
      summary:
        'Make or take up its next certificate. It issues from now on; what was trusted stays so for the overlap.',
      role: 'admin',
      tag,
      params,
      body: rotation,
      answer: shapes.authority,
    },
    async call => {
      await rotate(pki, call.params.name, call.body, by(call));
      return await shown(call.params.name);
    },
  );

  api.operation(
    {
      id: 'previewRetirement',
      method: 'get',
      path: '/pki/authorities/{name}/retirement',
      summary: 'Who would be locked out if it were retired: certificates that came in the last 30 days, and its hosts.',
      role: 'viewer',
      tag,
      params,
      answer: shapes.retirement,
    },
    async ({ params: { name } }) => ({ body: await retirement(pki, name) }),
  );

  api.operation(
    {
      id: 'retireAuthority',
      method: 'post',
      path: '/pki/authorities/{name}/retire',
      summary: 'Trust it no more, for good. It issues nothing from now on.',
      role: 'admin',
      tag,
      params,
      body: z.strictObject({ confirm: z.string().max(64).meta({ description: 'Its name once more.' }) }),
      answer: shapes.authority,
    },
    async call => {
      await retire(pki, call.params.name, call.body.confirm, by(call));
      return await shown(call.params.name);
    },
  );
}
