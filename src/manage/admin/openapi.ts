// What the OpenAPI document says of an operation.

import type { RouteConfig } from '@hono/zod-openapi';
import { z } from 'zod';
import { BASE, type Operation } from './api.js';

export function described(operation: Operation): RouteConfig {
  const { id, method, path, summary, tag, params, query, body, bodyType, answer, answerType } = operation;
  const bytes = [...(answerType ? [answerType] : []), ...(operation.otherTypes ?? [])];
  const types = [
    ...(answer && !answerType ? [['application/json', { schema: answer }]] : []),
    ...bytes.map(type => [type, { schema: z.string().meta({ format: 'binary' }) }]),
  ];
  const content = types.length > 0 ? Object.fromEntries(types) : undefined;
  return {
    operationId: id,
    method,
    path: BASE + path,
    summary,
    tags: [tag],
    request: {
      ...(params && { params: params as never }),
      ...(query && { query: query as never }),
      ...(body && { body: { required: true, content: { [bodyType ?? 'application/json']: { schema: body } } } }),
    },
    responses: { [operation.status ?? 200]: { description: summary, ...(content && { content }) } },
  } as RouteConfig;
}
