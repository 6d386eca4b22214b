// What the OpenAPI document says of an operation.

import type { RouteConfig } from '@hono/zod-openapi';
import { z } from 'zod';
import { BASE, type Operation } from './api.js';

export function described(operation: Operation): RouteConfig {
  const { id, method, path, summary, tag, params, query, body, bodyType, answer, answerType } = operation;
  const content = answerType
    ? { [answerType]: { schema: z.string().meta({ format: 'binary' }) } }
    : answer && { 'application/json': { schema: answer } };
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
