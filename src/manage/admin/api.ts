// How an operation of the admin API is written: one declaration from which routing, validation, the required role, the
// answer's shape and its place in the OpenAPI page come.

import { OpenAPIHono, type RouteConfig } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import type { Role } from '../store/tables.js';
import { problemJson } from './problem.js';

export const BASE = '/admin/v1';

/** Who asks. */
export interface Principal {
  /** Of the token, or the client certificate's subject: what the audit log names. */
  name: string;
  role: Role;
}

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

type Shape = z.ZodType;

export interface Operation<P extends Shape, Q extends Shape, B extends Shape> {
  /** camelCase, unique: `createAuthority`. */
  id: string;
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below /admin/v1, with `{name}` for parameters. */
  path: `/${string}`;
  summary: string;
  /** Least role that may call it. */
  role: Role;
  tag: string;
  params?: P;
  query?: Q;
  body?: B;
  /** Of the body, when it is not JSON: the body is then text. */
  bodyType?: string;
  /** Of the answer that says it worked. */
  status?: 200 | 201 | 202 | 204;
  answer?: Shape;
  /** Of the answer, when it is not JSON. */
  answerType?: string;
  /** Changes a thing that has a version: If-Match is required, as the answer's ETag said. */
  conditional?: true;
}

export interface Call<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  principal: Principal;
  /** Of a conditional operation: the version that the caller knows. */
  version: number;
}

export interface Reply {
  body?: unknown;
  /** Of the thing that is answered; becomes its ETag. */
  version?: number;
  headers?: Record<string, string>;
}

/** Refuses a call: becomes problem+json (RFC 9457). */
export class Refusal extends Error {
  constructor(
    readonly status: 400 | 403 | 404 | 409 | 412 | 413 | 422 | 429 | 501 | 503,
    readonly title: string,
    /** What would do. */
    readonly detail?: string,
    /** Where in the body or query, as JSON pointers. */
    readonly errors: { pointer: string; detail: string }[] = [],
  ) {
    super(title);
  }
}

/** Throws what becomes 412 when the caller knows another version than the one there is. */
export function expectVersion(known: number, version: number): void {
  if (known === version) return;
  throw new Refusal(412, 'It was changed in the meantime.', 'Read it again, and send If-Match with its ETag.');
}

export type Authenticate = (exchange: Context) => Promise<Principal | Response>;

export class Api {
  readonly app = new OpenAPIHono();
  readonly #authenticate: Authenticate;

  constructor(authenticate: Authenticate) {
    this.#authenticate = authenticate;
  }

  operation<P extends Shape = z.ZodUnknown, Q extends Shape = z.ZodUnknown, B extends Shape = z.ZodUnknown>(
    operation: Operation<P, Q, B>,
    act: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Reply>,
  ): void {
    this.app.openAPIRegistry.registerPath(described(operation));
    const path = BASE + operation.path.replace(/\{(\w+)\}/g, ':$1');
    this.app.on(operation.method, path, async exchange => {
      const principal = await this.#authenticate(exchange);
      if (principal instanceof Response) return principal;
      if (RANK[principal.role] < RANK[operation.role]) {
        return problemJson(exchange, 403, `This needs the role ${operation.role}.`);
      }
      try {
        const call = {
          params: parsed(operation.params, exchange.req.param(), '/params'),
          query: parsed(operation.query, exchange.req.query(), '/query'),
          body: await readBody(operation, exchange),
          principal,
          version: operation.conditional ? versionOf(exchange.req.header('if-match')) : 0,
        };
        return answered(exchange, operation, await act(call as never));
      } catch (error) {
        if (error instanceof Refusal) return refused(exchange, error);
        throw error;
      }
    });
  }
}

function parsed(shape: Shape | undefined, value: unknown, place: string): unknown {
  if (!shape) return undefined;
  const { data, error } = shape.safeParse(value);
  if (!error) return data;
  throw new Refusal(
    400,
    'The request is not as described.',
    undefined,
    error.issues.map(({ path, message }) => ({ pointer: [place, ...path.map(String)].join('/'), detail: message })),
  );
}

async function readBody({ body, bodyType }: Operation<Shape, Shape, Shape>, exchange: Context): Promise<unknown> {
  if (!body) return undefined;
  const text = await exchange.req.text();
  if (bodyType) return parsed(body, text, '');
  try {
    return parsed(body, text === '' ? undefined : JSON.parse(text), '');
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refusal(400, 'The body is not JSON.');
    throw error;
  }
}

function versionOf(ifMatch: string | undefined): number {
  const version = /^"(\d{1,15})"$/.exec(ifMatch ?? '')?.[1];
  if (version === undefined) {
    throw new Refusal(412, 'If-Match is missing.', 'Send If-Match with the ETag of what you have read.');
  }
  return Number(version);
}

function answered(exchange: Context, operation: Operation<Shape, Shape, Shape>, reply: Reply): Response {
  const { body, version, headers = {} } = reply;
  const status = (operation.status ?? 200) as ContentfulStatusCode;
  const all = { ...headers, ...(version === undefined ? {} : { ETag: `"${version}"` }), 'Cache-Control': 'no-store' };
  if (operation.status === 204) return new Response(null, { status: 204, headers: all });
  if (operation.answerType) {
    return exchange.body(body as Uint8Array<ArrayBuffer>, status, { 'Content-Type': operation.answerType, ...all });
  }
  return exchange.json(body as never, status, all);
}

function refused(exchange: Context, { status, title, detail, errors }: Refusal): Response {
  return problemJson(exchange, status, title, { ...(detail && { detail }), ...(errors.length > 0 && { errors }) });
}

function described(operation: Operation<Shape, Shape, Shape>): RouteConfig {
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

/** A page of a list: pass `next` as `cursor` to go on; null at its end. */
export function page<T extends Shape>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}

export const paging = z.object({
  cursor: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
