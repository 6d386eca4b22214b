// /pki/enrolments: secrets with which devices enrol over EST.

import { z } from 'zod';
import { type Api, BASE, page, paging } from '../admin/api.js';
import {
  createEnrolment,
  findEnrolment,
  listEnrolments,
  newEnrolment,
  revokeEnrolment,
  shownEnrolment,
} from './enrolments.js';
import { by, type Pki } from './service.js';
import * as shapes from './shapes.js';

const tag = 'pki';
const params = z.object({ id: z.string().regex(/^[0-9a-f]{12}$/) });

export function enrolmentRoutes(api: Api, pki: Pki): void {
  api.operation(
    {
      id: 'listEnrolments',
      method: 'get',
      path: '/pki/enrolments',
      summary: 'Enrolments, the newest first; those that have ended too.',
      role: 'viewer',
      tag,
      query: paging,
      answer: page(shapes.enrolment),
    },
    async ({ query: { cursor, limit } }) => ({ body: await listEnrolments(pki, cursor, limit) }),
  );

  api.operation(
    {
      id: 'createEnrolment',
      method: 'post',
      path: '/pki/enrolments',
      summary: 'Let devices enrol over EST with a secret. It is shown in this answer and never again.',
      role: 'operator',
      tag,
      status: 201,
      body: newEnrolment,
      answer: shapes.madeEnrolment,
    },
    async call => {
      const { row, secret } = await createEnrolment(pki, call.body, by(call));
      const headers = { Location: `${BASE}/pki/enrolments/${row.id}` };
      return { body: { ...shownEnrolment(row), secret }, version: row.version, headers };
    },
  );

  api.operation(
    {
      id: 'getEnrolment',
      method: 'get',
      path: '/pki/enrolments/{id}',
      summary: 'An enrolment, but for its secret.',
      role: 'viewer',
      tag,
      params,
      answer: shapes.enrolment,
    },
    async ({ params: { id } }) => {
      const row = await findEnrolment(pki, id);
      return { body: shownEnrolment(row), version: row.version };
    },
  );

  api.operation(
    {
      id: 'revokeEnrolment',
      method: 'delete',
      path: '/pki/enrolments/{id}',
      summary: 'Nobody enrols with it any more. Certificates that were issued stay as they are.',
      role: 'operator',
      tag,
      params,
      status: 204,
      conditional: true,
    },
    async call => {
      await revokeEnrolment(pki, call.params.id, call.version, by(call));
      return {};
    },
  );
}
