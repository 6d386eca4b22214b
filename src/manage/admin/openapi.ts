// The OpenAPI description of the admin API, made of the same declarations that its calls are checked by.

import type { OpenAPIHono, RouteConfig } from '@hono/zod-openapi';
import { z } from 'zod';
import type { Operation } from './api.js';

export const BASE = '/admin/v1';

const PROBLEM = { $ref: '#/components/responses/Problem' };
/** What an operation may answer besides what it is for, where its declaration says that it can. */
const REFUSALS = {
  400: 'The request is not as described.',
  401: 'No token, or one that is not accepted.',
  403: 'The role is not enough, or the request came from another web page or by an unknown host.',
  404: 'There is no such thing.',
  409: 'It does not fit what there is.',
  412: 'It was changed in the meantime.',
  413: 'The body is too large.',
  415: 'The body is of another type.',
  422: 'It is as described, and cannot be done all the same.',
  428: 'If-Match is missing.',
  429: 'Too many failed authentications.',
  500: 'Internal error.',
} as const;

const ifMatch = {
  name: 'If-Match',
  in: 'header',
  required: true,
  description: 'The ETag of what was read, or `*` for whatever there is.',
  schema: { type: 'string', pattern: '^("[0-9]{1,15}"|\\*)$' },
  example: '"1"',
};

const etag = { description: 'Of the version that is answered.', schema: { type: 'string' }, example: '"1"' };

export function described(operation: Operation): RouteConfig {
  const { id, method, path, summary, tag, role, params, query, body, bodyType, answer, answerType } = operation;
  const bytes = [...(answerType ? [answerType] : []), ...(operation.otherTypes ?? [])];
  const types = [
    ...(answer && !answerType ? [['application/json', { schema: answer }]] : []),
    ...bytes.map(type => [type, { schema: { type: 'string', ...(text(type) ? {} : { format: 'binary' }) } }]),
  ];
  const content = types.length > 0 ? Object.fromEntries(types) : undefined;
  const status = operation.status ?? 200;
  return {
    operationId: id,
    method,
    path: BASE + path,
    summary,
    ...(role !== null && { description: `Role: ${role}.` }),
    tags: [tag],
    security: role === null ? [] : [{ token: [] }, { certificate: [] }],
    ...(operation.conditional && { parameters: [ifMatch] }),
    request: {
      ...(params && { params: params as never }),
      ...(query && { query: query as never }),
      ...(body && { body: { required: true, content: { [bodyType ?? 'application/json']: { schema: body } } } }),
    },
    responses: {
      [status]: { description: summary, headers: { ETag: etag }, ...(content && { content }) },
      ...(method === 'get' && { 304: { description: 'As it was when it had the ETag of If-None-Match.' } }),
      ...Object.fromEntries(refusals(operation).map(code => [code, { ...PROBLEM }])),
    },
  } as unknown as RouteConfig;
}

function refusals({ role, params, query, body, conditional, method }: Operation): string[] {
  const all: Record<string, boolean> = {
    400: true,
    401: role !== null,
    403: true,
    404: params !== undefined,
    409: method !== 'get',
    412: conditional === true,
    413: body !== undefined,
    415: true,
    422: query !== undefined || method !== 'get',
    428: conditional === true,
    429: role !== null,
    500: true,
    default: true,
  };
  return Object.keys(all).filter(code => all[code]);
}

function text(type: string): boolean {
  return type.startsWith('text/') || type.endsWith('pem-file') || type.endsWith('json');
}

const problem = z
  .object({
    title: z.string(),
    status: z.int(),
    detail: z.string().optional().meta({ description: 'What would do.' }),
    errors: z
      .array(z.object({ pointer: z.string(), detail: z.string() }))
      .optional()
      .meta({ description: 'Where in the body (a JSON pointer), or below /query and /params.' }),
  })
  .meta({ id: 'Problem', description: 'RFC 9457.' });

/** The whole document, of every operation that was declared so far. */
export function documentOf(app: OpenAPIHono, version: string): Record<string, unknown> {
  const registry = app.openAPIRegistry;
  registry.register('Problem', problem);
  registry.registerComponent('responses', 'Problem', {
    description: `Refused or failed: RFC 9457.\n\n${Object.entries(REFUSALS)
      .map(([code, why]) => `- ${code}: ${why}`)
      .join('\n')}`,
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  });
  registry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: '`portcullis token create`, or the one that the first start printed.',
  });
  registry.registerComponent('securitySchemes', 'certificate', {
    type: 'mutualTLS',
    description: 'A client certificate of `admin.clients`.',
  } as never);
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Portcullis admin API',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
      description:
        'Lists come in pages: pass `next` as `cursor`. What can be changed has an ETag: changes send it as If-Match. Times are RFC 3339.',
    },
    servers: [{ url: '/' }],
  }) as never;
}
