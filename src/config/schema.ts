// Everything an operator may write in portcullis.yaml, assembled from the capabilities' pieces.

import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { connections } from '../accept/connections/config.js';
import { tls } from '../accept/tls/config.js';
import { credentials } from '../check/credentials/config.js';
import { openapi } from '../check/endpoints/config.js';
import { grpc } from '../check/grpc/config.js';
import { jwt } from '../check/jwt/config.js';
import { limits } from '../check/limits/config.js';
import { authority, mtls } from '../check/mtls/config.js';
import { list, rule } from '../check/rules/config.js';
import { origin } from '../forward/origins/config.js';
import { events } from '../journal/events/config.js';
import { admin } from '../manage/admin/config.js';
import { pki } from '../manage/pki/config.js';
import { store } from '../manage/store/config.js';
import { duration, listen, size } from './units.js';

/** An edge thread is an event loop that wants a core; more than this is a typing error. */
const MAX_THREADS = 256;

const host = z
  .strictObject({
    tls,
    mtls: mtls.prefault({}),
    origin,
    openapi: openapi.optional(),
    grpc: grpc.optional(),
    credentials: credentials.optional(),
    maxBodyBytes: size('0B', '4GiB').prefault('10MiB').describe('Largest request body; 413 above.'),
  })
  .describe('One entry per host name that is served: `api.example.com`, or `*.example.com` for one label.');

export const configSchema = z.strictObject({
  listen: z
    .strictObject({
      https: listen().prefault(8443).describe('Where clients connect. A bare port listens on every address.'),
      h2: z
        .boolean()
        .default(true)
        .describe(
          'HTTP/2 and gRPC on the same port. `false`: the edge threads themselves listen, for HTTP/1.1 and WebSocket only.',
        ),
      connections: connections.prefault({}),
      admin: listen()
        .transform(({ address, port }) => ({ address: address ?? '127.0.0.1', port }))
        .prefault('127.0.0.1:9090')
        .describe('The admin API, metrics and health. A bare port means 127.0.0.1; beyond loopback needs `admin.tls`.'),
      pki: listen()
        .optional()
        .describe(
          'Plain HTTP for revocation lists (`/crl/`), OCSP (`/ocsp`) and certificates (`/ca/`) of hosted authorities. Off unless given.',
        ),
    })
    .prefault({})
    .describe('Where the gateway listens.'),
  threads: z
    .int()
    .min(1)
    .max(MAX_THREADS)
    .optional()
    .transform(written => written ?? availableParallelism())
    .describe('Edge threads; one per core unless given.'),
  authorities: z.record(z.string(), authority).default({}).describe('Who may issue client certificates, by name.'),
  jwt: z.record(z.string(), jwt).default({}).describe('Whose tokens count, by name.'),
  hosts: z.record(z.string(), host).describe('The APIs behind this gateway, by host name.'),
  lists: z.record(z.string(), list).default({}).describe('Named lists for expressions.'),
  rules: z
    .array(rule)
    .default([])
    .describe('Evaluated in order on every request whose certificate was acceptable; the first `block` denies.'),
  limits: limits.prefault({}),
  events,
  admin: admin.prefault({}),
  store: store.prefault({}),
  pki: pki.prefault({}),
  log: z
    .strictObject({
      level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level that is written.'),
    })
    .prefault({})
    .describe("The program's own log, on standard error."),
  inspect: z
    .strictObject({
      inlineBytes: size('0B', '1MiB')
        .prefault('64KiB')
        .describe('Bodies up to this size are checked on the edge thread itself.'),
      threads: z
        .int()
        .min(1)
        .max(MAX_THREADS)
        .default(1)
        .describe('Threads that check larger bodies, for each edge thread.'),
    })
    .prefault({})
    .describe('Where request bodies are checked against their schema.'),
  drain: z
    .strictObject({
      grace: duration('0ms', '1h').prefault('30s').describe('How long exchanges in flight may take to finish.'),
    })
    .prefault({})
    .describe('How an edge thread ends, at SIGTERM or when it is replaced.'),
});

export type Config = z.output<typeof configSchema>;
export type Host = z.output<typeof host>;

/** The same as JSON Schema, for editors, docs/config.md and the words of errors. */
export function jsonSchema(): Shape {
  const schema = shapeOf(configSchema);
  return { $schema: schema.$schema, title: 'Portcullis configuration', ...schema };
}

export function shapeOf(schema: z.ZodType): Shape {
  return z.toJSONSchema(schema, { io: 'input', override: ({ jsonSchema }) => tidy(jsonSchema) }) as Shape;
}

function tidy(schema: Record<string, unknown>): void {
  if (schema.forms) schema.examples = schema.forms;
  delete schema.forms;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
}

/** The part of JSON Schema that zod writes for us. */
export interface Shape {
  $schema?: unknown;
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  examples?: unknown[];
  enum?: unknown[];
  properties?: Record<string, Shape>;
  required?: string[];
  additionalProperties?: Shape | boolean;
  items?: Shape;
  anyOf?: Shape[];
}
