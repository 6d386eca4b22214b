// How an operation of the admin API is written: one declaration from which routing, validation, the required role, the
// answer's shape and its place in the OpenAPI page come.

import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { z } from 'zod';
import { type AuditEntry, audit } from '../store/audit.js';
import type { Writing } from '../store/open.js';
import type { Role, Topic } from '../store/tables.js';
import { readBody, refuseBody } from './body.js';
import { BASE, described } from './openapi.js';
import { problemJson } from './problem.js';
import { Refusal, refused } from './refusal.js';

export { BASE } from './openapi.js';
export { Refusal } from './refusal.js';

/** Who asks. */
export interface Principal {
  /** Of the token, or the client certificate's subject: what the audit log names. */
  name: string;
  role: Role;
  kind: 'token' | 'certificate';
}

const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 };

export type Shape = z.ZodType;

export interface Operation<P extends Shape = Shape, Q extends Shape = Shape, B extends Shape = Shape> {
  /** camelCase, unique: `createAuthority`. */
  id: string;
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  /** Below /admin/v1, with `{name}` for parameters. */
  path: `/${string}`;
  summary: string;
  /** Least role that may call it; null: nobody has to say who they are. */
  role: Role | null;
  tag: string;
  params?: P;
  /** An object: what it does not name is refused. */
  query?: Q;
  body?: B;
  /** Of the body, when it is not JSON: the body is then text, or bytes with `bytes`. */
  bodyType?: string;
  bytes?: true;
  /** Of the body; 1 MiB unless given. */
  maxBytes?: number;
  /** Of the answer that says it worked. */
  status?: 200 | 201 | 202 | 204;
  answer?: Shape;
  /** Of the answer, when it is not JSON. */
  answerType?: string;
  /** Types that it answers as well, each when the caller asks for it: `Reply.type` says which. */
  otherTypes?: readonly string[];
  /** Changes a thing that has a version: If-Match is required, as the answer's ETag said. */
  conditional?: true;
  /** Not a GET, and yet it changes nothing: no entry in the audit log is expected of it. */
  changes?: false;
}

export interface Call<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  principal: Principal;
  /** Of a conditional operation: the version that the caller knows, for `expectVersion`. */
  version: number;
  /** Writes who did what; within `Store.write`, once in each operation that is not a GET. */
  audit: Audit;
}

export type Change = Omit<AuditEntry, 'actor'>;
export type Audit = (tx: Writing, revisions: Record<Topic, number>, change: Change) => Promise<void>;

export interface Reply {
  body?: unknown;
  /** Of the body, one of the operation's `otherTypes`: it is then bytes. */
  type?: string;
  /** Of the thing that is answered; becomes its ETag. */
  version?: number;
  headers?: Record<string, string>;
  /** It was only asked what a change would do: no entry in the audit log is expected this time. */
  unchanged?: true;
}

/** What `If-Match: *` is: whatever there is. */
const ANY = -1;

/** Throws what becomes 412 when the caller knows another version than the one there is. */
export function expectVersion(known: number, version: number): void {
  if (known === version || known === ANY) return;
  throw new Refusal(412, 'It was changed in the meantime.', 'Read it again, and send If-Match with its ETag.');
}

export type Authenticate = (exchange: Context) => Promise<Principal | Response>;

export interface Tell {
  /** An operation succeeded with another number of entries in the audit log than one. */
  unaudited(operation: string, entries: number): void;
  /** An error nobody expected: it was answered as 500. */
  failed(operation: string, error: unknown): void;
}

/** Where it is not told otherwise, as in tests, mistakes are loud. */
const LOUD: Tell = {
  unaudited: (operation, entries) => {
    throw new Error(`${operation} wrote ${entries} entries into the audit log instead of one: call.audit in its write`);
  },
  failed: (_, error) => {
    throw error;
  },
};

export class Api {
  readonly app = new OpenAPIHono();
  readonly operations: Operation[] = [];
  readonly #authenticate: Authenticate;
  readonly #tell: Tell;

  constructor(authenticate: Authenticate, tell: Tell = LOUD) {
    this.#authenticate = authenticate;
    this.#tell = tell;
    this.app.onError((error, exchange) => {
      tell.failed(`${exchange.req.method} ${exchange.req.path}`, error);
      return problemJson(exchange, 500, 'Internal error.');
    });
  }

  operation<P extends Shape = z.ZodUnknown, Q extends Shape = z.ZodUnknown, B extends Shape = z.ZodUnknown>(
    operation: Operation<P, Q, B>,
    act: (call: Call<z.output<P>, z.output<Q>, z.output<B>>) => Promise<Reply>,
  ): void {
    this.operations.push(operation);
    this.app.openAPIRegistry.registerPath(described(operation));
    const path = BASE + operation.path.replace(/\{(\w+)\}/g, ':$1');
    this.app.on(operation.method, path, async exchange => {
      try {
        return await this.#call(exchange, operation, act as never);
      } catch (error) {
        if (error instanceof Refusal) return refused(exchange, error);
        throw error;
      }
    });
  }

  async #call(
    exchange: Context,
    operation: Operation,
    act: (call: Call<unknown, unknown, unknown>) => Promise<Reply>,
  ): Promise<Response> {
    const principal = operation.role === null ? NOBODY : await this.#authenticate(exchange);
    if (principal instanceof Response) return principal;
    if (operation.role !== null && RANK[principal.role] < RANK[operation.role]) {
      return problemJson(exchange, 403, `This needs the role ${operation.role}.`);
    }
    // Before the body is looked at: whoever names no version has not read what would be changed.
    const version = operation.conditional ? versionOf(exchange.req.header('if-match')) : 0;
    let [entries, within]: [number, Writing | null] = [0, null];
    const reply = await act({
      params: parsed(operation.params, exchange.req.param(), '/params'),
      query: parsed(operation.query, readQuery(exchange, operation.query), '/query'),
      body: operation.body ? parsed(operation.body, await readBody(exchange, operation), '') : refuseBody(exchange),
      principal,
      version,
      audit: async (tx, revisions, change) => {
        await audit(tx, revisions, { ...change, actor: principal.name });
        // A transaction that met another one is made again, and only its last turn counts.
        [entries, within] = [tx === within ? entries + 1 : 1, tx];
      },
    });
    const expected = operation.method === 'get' || operation.changes === false || reply.unchanged ? 0 : 1;
    if (entries !== expected) this.#tell.unaudited(operation.id, entries);
    return answered(exchange, operation, reply);
  }
}

const NOBODY: Principal = { name: 'nobody', role: 'viewer', kind: 'token' };

function parsed(shape: Shape | undefined, value: unknown, place: string): unknown {
  if (!shape) return undefined;
  const { data, error } = shape.safeParse(value);
  if (!error) return data;
  const { issues } = error;
  const errors = issues.map(({ path, message }) => ({
    pointer: [place, ...path.map(String)].join('/'),
    detail: message,
  }));
  if (issues.every(beyondDescription)) throw new Refusal(422, 'This cannot be meant so.', undefined, errors);
  throw new Refusal(400, 'The request is not as described.', undefined, errors);
}

/** What JSON Schema does not say of a shape: what a client that goes by the description could not know. */
function beyondDescription(issue: z.core.$ZodIssue): boolean {
  if (issue.code === 'invalid_format') return ['starts_with', 'ends_with', 'includes'].includes(issue.format);
  return issue.code === 'custom' || issue.code === 'invalid_key';
}

/** Each parameter once, and none that is not described: a misspelled filter would otherwise filter nothing. */
function readQuery(exchange: Context, shape: Shape | undefined): Record<string, string> {
  const object = shape instanceof z.ZodPipe ? shape.in : shape;
  const known = object instanceof z.ZodObject ? Object.keys(object.shape) : [];
  const written = Object.entries(exchange.req.queries());
  const errors = written.flatMap(([name, values]) => {
    if (!known.includes(name)) return [{ pointer: `/query/${name}`, detail: 'no such parameter' }];
    return values.length > 1 ? [{ pointer: `/query/${name}`, detail: 'given more than once' }] : [];
  });
  if (errors.length > 0) throw new Refusal(400, 'The request is not as described.', undefined, errors);
  return Object.fromEntries(written.map(([name, [value = '']]) => [name, value]));
}

function versionOf(ifMatch: string | undefined): number {
  if (ifMatch === undefined) {
    throw new Refusal(428, 'If-Match is missing.', 'Send If-Match with the ETag of what you have read.');
  }
  if (ifMatch.trim() === '*') return ANY;
  const version = /^"(\d{1,15})"$/.exec(ifMatch.trim())?.[1];
  if (version !== undefined) return Number(version);
  throw new Refusal(400, 'If-Match is no ETag of ours.', 'Send If-Match with the ETag of what you have read.');
}

function answered(exchange: Context, operation: Operation, reply: Reply): Response {
  const { body, version, headers = {} } = reply;
  const status = (operation.status ?? 200) as ContentfulStatusCode;
  const tag = version === undefined ? undefined : `"${version}"`;
  const all = { ...headers, ...(tag && { ETag: tag }) };
  if (operation.method === 'get' && tag && known(exchange.req.header('if-none-match'), tag)) {
    return new Response(null, { status: 304, headers: all });
  }
  if (operation.status === 204) return new Response(null, { status: 204, headers: all });
  const type = reply.type ?? operation.answerType;
  if (type) return exchange.body(body as Uint8Array<ArrayBuffer>, status, { 'Content-Type': type, ...all });
  return exchange.json(body as never, status, all);
}

/** RFC 9110, 13.1.2: compared weakly. */
function known(ifNoneMatch: string | undefined, tag: string): boolean {
  const tags = (ifNoneMatch ?? '').split(',').map(one => one.trim().replace(/^W\//, ''));
  return tags.includes(tag) || tags.includes('*');
}

/** A page of a list: pass `next` as `cursor` to go on; null at its end. */
export function page<T extends Shape>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}

export const paging = z.object({
  cursor: z.string().max(200).optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
});
