// /partners: to whom credentials belong.

import { z } from 'zod';
import { type Api, BASE, page, paging } from '../admin/api.js';
import type { KeyFlow } from '../keys/flow.js';
import { rotationOfAll } from '../keys/shapes.js';
import { listCertificates } from '../pki/certificates.js';
import { by, type Pki } from '../pki/service.js';
import { type PartnerRow, type Partners, shown } from './partners.js';
import { rotated } from './rotation.js';
import {
  changedPartner,
  madePartner,
  partner,
  partnerName,
  STATUSES,
  shownPartner,
  wantedPartner,
  why,
} from './shapes.js';

const tag = 'partners';
/** Of one answer; GET /pki/certificates pages through all of them. */
const MAX_RENEWALS = 1_000;
const params = z.object({ name: partnerName });

export interface PartnerRouting {
  partners: Partners;
  /** What of a row may be meant otherwise; `made`: of one that was not there before. */
  doubts(row: PartnerRow, made: boolean): Promise<string[]>;
  /** Brings this process up to date, so that an answer is never ahead of what is in force here. */
  inForce(): Promise<void>;
  /** Of its keys. */
  rotateAll: KeyFlow['rotateAll'];
  pki: Pki;
  now(): number;
}

export function partnerRoutes(api: Api, { partners, doubts, inForce, rotateAll, pki, now }: PartnerRouting): void {
  api.operation(
    {
      id: 'listPartners',
      method: 'get',
      path: '/partners',
      summary: 'Partners, by name.',
      role: 'viewer',
      tag,
      query: paging.extend({ status: z.enum(STATUSES).optional() }),
      answer: page(partner),
    },
    async ({ query }) => ({ body: await partners.list(query) }),
  );

  api.operation(
    {
      id: 'createPartner',
      method: 'post',
      path: '/partners',
      summary: 'Make a partner; it is in force within a second, in every process that shares the store.',
      role: 'operator',
      tag,
      status: 201,
      body: wantedPartner,
      answer: madePartner,
    },
    async call => {
      const row = await partners.create(call.body, by(call));
      await inForce();
      return { ...(await taken(row, true)), headers: { Location: `${BASE}/partners/${row.name}` } };
    },
  );

  api.operation(
    {
      id: 'getPartner',
      method: 'get',
      path: '/partners/{name}',
      summary: 'A partner, and what it holds.',
      role: 'viewer',
      tag,
      params,
      answer: shownPartner,
    },
    async ({ params: { name } }) => {
      const { partner, version } = await partners.find(name);
      return { body: partner, version };
    },
  );

  api.operation(
    {
      id: 'changePartner',
      method: 'patch',
      path: '/partners/{name}',
      summary: 'Change a partner: lists are taken in place of those before.',
      role: 'operator',
      tag,
      params,
      body: changedPartner,
      answer: madePartner,
      conditional: true,
    },
    async call => {
      const row = await partners.change(call.params.name, call.body, call.version, by(call));
      await inForce();
      return taken(row, false);
    },
  );

  api.operation(
    {
      id: 'suspendPartner',
      method: 'post',
      path: '/partners/{name}/suspend',
      summary: 'Suspend a partner: whatever is its own is refused from now on, everywhere within a second.',
      role: 'operator',
      tag,
      params,
      body: z.strictObject({ why }),
      answer: partner,
    },
    async call => {
      const row = await partners.suspend(call.params.name, call.body.why, by(call));
      await inForce();
      return { body: shown(row, now()), version: row.version };
    },
  );

  api.operation(
    {
      id: 'resumePartner',
      method: 'post',
      path: '/partners/{name}/resume',
      summary: 'End the suspension of a partner.',
      role: 'operator',
      tag,
      params,
      answer: partner,
      conditional: true,
    },
    async call => {
      const row = await partners.resume(call.params.name, call.version, by(call));
      await inForce();
      return { body: shown(row, now()), version: row.version };
    },
  );

  api.operation(
    {
      id: 'deletePartner',
      method: 'delete',
      path: '/partners/{name}',
      summary: 'Take a partner away that holds no live key and no live certificate.',
      role: 'operator',
      tag,
      params,
      status: 204,
      conditional: true,
    },
    async call => {
      await partners.remove(call.params.name, call.version, by(call));
      await inForce();
      return {};
    },
  );

  api.operation(
    {
      id: 'rotatePartner',
      method: 'post',
      path: '/partners/{name}/rotate',
      summary: 'Make another secret of every live key of a partner, and tell which certificates are to be renewed.',
      role: 'operator',
      tag,
      params,
      body: rotationOfAll,
      answer: rotated,
    },
    async call => {
      const { name } = call.params;
      await partners.find(name);
      const keys = await rotateAll(name, call.body, by(call));
      const valid = await listCertificates(pki, { partner: name, status: 'valid' }, undefined, MAX_RENEWALS);
      const certificates = valid.items.map(({ fingerprint, authority, name, serial, not_after }) => ({
        ...{ fingerprint, authority, name, serial, not_after },
      }));
      return { body: { keys, certificates, more_certificates: valid.next !== null } };
    },
  );

  async function taken(row: PartnerRow, made: boolean) {
    return { body: { ...shown(row, now()), warnings: await doubts(row, made) }, version: row.version };
  }
}
