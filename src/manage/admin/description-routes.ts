// /openapi.json and the page made of it. They hold no secret, and are open: a tool reads them before it has a token.

import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Api } from './api.js';
import { documentOf } from './openapi.js';
import { type Document, PAGE_POLICY, pageOf } from './page.js';

const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Comes last: the document is of the operations that were declared by the time it is asked for first. */
export function routes(api: Api): void {
  let document: Record<string, unknown> | undefined;
  let page: string | undefined;
  const described = () => {
    document ??= documentOf(api.app, version);
    return document;
  };
  api.operation(
    {
      id: 'getDescription',
      method: 'get',
      path: '/openapi.json',
      summary: 'This API as an OpenAPI 3.1 document.',
      role: null,
      tag: 'description',
      answer: z.looseObject({ openapi: z.string() }),
    },
    async () => ({ body: described() }),
  );
  api.operation(
    {
      id: 'getPage',
      method: 'get',
      path: '/',
      summary: 'This API as a page to read.',
      role: null,
      tag: 'description',
      answerType: 'text/html; charset=utf-8',
    },
    async () => {
      page ??= await pageOf(described() as unknown as Document);
      return { body: page, headers: { 'Content-Security-Policy': PAGE_POLICY, 'Referrer-Policy': 'no-referrer' } };
    },
  );
}
