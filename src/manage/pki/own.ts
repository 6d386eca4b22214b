// What the gateway answers by itself on hosts that say so: renewal, and EST.

import type { OwnAnswer, OwnRequest } from '../../own-paths.js';
import { Refusal } from '../admin/api.js';
import { Est } from './est.js';
import { renew, renewable } from './renew.js';
import type { Pki } from './service.js';

export const RENEW = '/.well-known/portcullis/renew';
const EST = /^\/\.well-known\/est\/(?:([A-Za-z0-9._-]{1,64})\/)?([a-z]+)$/;
const PEM_CHAIN = 'application/pem-certificate-chain';

/** What answers them, for all edge threads. */
export function answerOwn(pki: Pki): (request: OwnRequest, body: Uint8Array) => Promise<OwnAnswer> {
  const est = new Est(pki, pki.log);
  return async (request, bytes) => {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (request.path === RENEW) return await contained(() => answerRenewal(pki, request, body), refusedAsProblem);
    const [, label, operation = ''] = EST.exec(request.path) ?? [];
    if (operation === '') return refusedAsProblem(new Refusal(404, 'There is nothing at this path.'));
    return await contained(() => est.answer(request, body, label ?? null, operation), refusedAsText);
  };
}

async function answerRenewal(pki: Pki, request: OwnRequest, body: Buffer): Promise<OwnAnswer> {
  if (request.method !== 'POST') {
    return refusedPlainly(405, 'A certificate is renewed by POST.', [['Allow', 'POST']]);
  }
  const old = await renewable(pki, request);
  if (body.length === 0) {
    throw new Refusal(
      400,
      'There is no certification request in the body.',
      'Send one, PEM or DER, of the same key or a new one: openssl req -new -key device.key -subj /',
    );
  }
  const { row, chain } = await renew(pki, old, textOf(body));
  return {
    status: 200,
    headers: [
      ['Content-Type', PEM_CHAIN],
      ['Cache-Control', 'no-store'],
    ],
    body: [row.certificate, ...chain.withoutRoot].join(''),
  };
}

/** 0x30, a SEQUENCE, begins every request in DER, and no PEM. */
const SEQUENCE = 0x30;

function textOf(body: Buffer): string {
  // In base64, 0x30 is the digit 0: DER of a request then begins with `MI`.
  return body[0] === SEQUENCE ? body.toString('base64') : body.toString('latin1').trim();
}

async function contained(act: () => Promise<OwnAnswer>, refused: (refusal: Refusal) => OwnAnswer): Promise<OwnAnswer> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Refusal) return refused(error);
    throw error;
  }
}

function refusedAsProblem({ status, title, detail, more }: Refusal): OwnAnswer {
  return {
    status,
    headers: [
      ['Content-Type', 'application/problem+json'],
      ['Cache-Control', 'no-store'],
      ...Object.entries(more.headers ?? {}),
    ],
    body: JSON.stringify({ title, status, ...(detail && { detail }) }),
  };
}

/** RFC 7030, 4.2.3: 4xx with text for people; 422 is not among what clients of EST know. */
function refusedAsText({ status, title, detail, more }: Refusal): OwnAnswer {
  const text = detail === undefined ? title : `${title} ${detail}`;
  return refusedPlainly(status === 422 ? 400 : status, text, Object.entries(more.headers ?? {}));
}

export function refusedPlainly(status: number, text: string, headers: [string, string][] = []): OwnAnswer {
  return {
    status,
    headers: [['Content-Type', 'text/plain; charset=utf-8'], ['Cache-Control', 'no-store'], ...headers],
    body: `${text}\n`,
  };
}
