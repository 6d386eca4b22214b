// Whatever is denied is a status to a gRPC client: the cases of test/corpus/grpc/answers/denials.json by gRPC over HTTP/2 and by
// gRPC-Web over HTTP/1.1, each with the status that docs/reasons.md has for its reason. A new case needs no code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { detailsOf, frame, unframe } from '../support/grpc.js';
import { connectFrames, type Pair } from '../support/h2-frames.js';
import { connect } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { authority, type Identity } from '../support/pki.js';
import { tokenIssuer } from '../support/tokens.js';

interface Case {
  name: string;
  host: string;
  /** Without, none is presented. */
  certificate?: 'stranger';
  /** Where it is not the host. */
  authority?: string;
  path?: string;
  headers?: Record<string, string>;
  /** Claims of a token; times count from now. */
  token?: { iat?: number; exp?: number; aud?: string };
  /** Of the message. */
  bytes?: number;
  /** As many calls before, which are not denied. */
  before?: number;
  reason: string;
  /** When to come back is told. */
  retry?: boolean;
}

const ROOT = join(import.meta.dirname, '../..');
const CASES: Case[] = JSON.parse(readFileSync(join(ROOT, 'test/corpus/grpc/answers/denials.json'), 'utf8'));
/** By reason: the code of gRPC. */
const CODES = new Map(
  [...readFileSync(join(ROOT, 'docs/reasons.md'), 'utf8').matchAll(/^\| `(\S+)` \| \d+ \| (\d+) \|/gm)].map(
    ([, reason, code]) => [reason, Number(code)],
  ),
);
const PATH = '/test.v1.Echo/Once';
const DESCRIPTION = { openapi: '3.1.0', paths: { [PATH]: { get: { operationId: 'once' } } } };

const issuer = tokenIssuer('https://login.test/', 'echo');
let origin: HttpOrigin;
let front: Front;
let stranger: Identity;

beforeAll(async () => {
  origin = await httpOrigin();
  const strangers = await authority('strangers');
  stranger = await strangers.client('lost');
  const mtls = { mode: 'off' };
  const few = { characteristics: ['http.request.headers["x-limited"]'], requestsPerPeriod: 1, period: '1h' };
  front = await startFront(
    {
      'devices.test': { origin: origin.url },
      'open.test': { origin: origin.url, mtls },
      'strangers.test': { origin: origin.url, mtls: { mode: 'require', trust: ['strangers'] } },
      'small.test': { origin: origin.url, mtls, maxBodyBytes: 1000 },
      'gone.test': { origin: 'http://127.0.0.1:9', mtls },
      'described.test': {
        ...{ origin: origin.url, mtls },
        openapi: { file: 'openapi.json', action: 'block', fallthrough: 'block' },
      },
      'credentials.test': {
        ...{ origin: origin.url, mtls },
        credentials: { keys: [{ header: 'X-API-Key' }], require: [{ keys: true }, { jwt: ['login'] }] },
      },
    },
    {
      files: { 'openapi.json': JSON.stringify(DESCRIPTION), 'strangers.pem': strangers.pem },
      config: {
        authorities: { devices: { certificates: 'devices.pem' }, strangers: { certificates: 'strangers.pem' } },
        jwt: {
          login: {
            ...{ issuer: 'https://login.test/', audiences: ['echo'], algorithms: ['ES256'] },
            keys: { inline: issuer.keys },
          },
        },
        rules: [{ name: 'blocked', action: 'block', expression: 'any(http.request.headers["x-blocked"][*] eq "yes")' }],
        limits: {
          rules: [{ name: 'few', expression: 'len(http.request.headers["x-limited"]) gt 0', ...few }],
        },
      },
    },
  );
});

beforeEach(() => {
  origin.arrived.length = 0;
});

interface Told {
  status: number;
  fields: Record<string, string>;
}

/** By gRPC over HTTP/2: the status stands in the head, and nothing follows it. */
async function byGrpc(one: Case, headers: [string, string][]): Promise<Told> {
  const client = await connectFrames(front.caller(one.host, one.certificate ? stranger : null));
  const pairs: Pair[] = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':authority', one.authority ?? one.host],
    [':path', one.path ?? PATH],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...headers,
  ];
  client.begin().headers(1, pairs, 4);
  await client.upload(1, frame({ bytes: Buffer.alloc(one.bytes ?? 0) }));
  const outcome = await client.outcome(1);
  client.close();
  if (!('status' in outcome)) throw new Error(`no answer but ${JSON.stringify(outcome)}`);
  expect([outcome.body, outcome.trailers], 'trailers-only').toEqual(['', []]);
  return { status: outcome.status, fields: Object.fromEntries(outcome.fields) };
}

/** By gRPC-Web over HTTP/1.1: the status stands in a frame of the body. */
async function byWeb(one: Case, headers: [string, string][]): Promise<Told> {
  const caller = front.caller(one.host, one.certificate ? stranger : null);
  // Its TLS lets strangers in where they are trusted.
  const client = await connect(one.certificate ? { ...caller, tls: { servername: 'strangers.test' } } : caller);
  const body = frame({ bytes: Buffer.alloc(one.bytes ?? 0) }).toString('latin1');
  const fields = [
    ['host', one.authority ?? one.host],
    ['content-type', 'application/grpc-web'],
    ['content-length', String(body.length)],
    ...headers,
  ];
  const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const { status, body: answered } = await client.ask(`POST ${one.path ?? PATH} HTTP/1.1\r\n${head}\r\n${body}`);
  client.close();
  return { status, fields: unframe(Buffer.from(answered, 'latin1')).trailers };
}

describe.each([
  ['gRPC over HTTP/2', byGrpc],
  ['gRPC-Web over HTTP/1.1', byWeb],
])('%s', (door, call) => {
  test.each(CASES.map(one => [one.name, one] as const))('%s', async (_, one) => {
    const headers = Object.entries(one.headers ?? {});
    const now = Math.floor(Date.now() / 1000);
    if (one.token) {
      const times = Object.entries(one.token).map(([name, value]) => [
        name,
        typeof value === 'number' ? now + value : value,
      ]);
      headers.push(['authorization', `Bearer ${issuer.token({ sub: 'ada', ...Object.fromEntries(times) })}`]);
    }
    // A bucket of this door's own.
    if (one.before) headers.splice(0, 1, [headers[0]?.[0] ?? '', door]);
    for (let before = 0; before < (one.before ?? 0); before++) await call(one, headers).catch(() => {});
    const arrived = origin.arrived.length;
    const { status, fields } = await call(one, headers);
    expect(status).toBe(200);
    const code = CODES.get(one.reason) ?? CODES.get(one.reason.replace(/\..*/, '.<name>'));
    expect(fields['grpc-status']).toBe(String(code));
    const details = detailsOf(Buffer.from(fields['grpc-status-details-bin'] ?? '', 'base64'));
    expect(details.info).toMatchObject({ reason: one.reason, domain: 'portcullis' });
    expect([details.code, details.message]).toEqual([code, fields['grpc-message']]);
    expect(details.retry !== null, 'when to come back').toBe(one.retry ?? false);
    expect(origin.arrived).toHaveLength(arrived);
  });
});
