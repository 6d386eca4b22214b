// What operations require of who calls them, over the wire: read from the description, answered with what would do.

import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { type Answered, type Asked, ask, connect } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';

const ISSUER = 'https://login.test/';
const HOST = 'api.test';

const DESCRIPTION = {
  openapi: '3.1.0',
  paths: {
    '/orders': {
      get: { operationId: 'list', security: [{ login: ['orders:read'] }, { program: ['orders:read'] }] },
      delete: {
        operationId: 'clear',
        security: [
          { program: [], machine: [] },
          { login: ['orders:write'], machine: [] },
        ],
      },
    },
    '/orders/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
      get: { operationId: 'read', security: [{ login: [] }] },
      delete: {
        operationId: 'cancel',
        security: [{ login: [] }],
        'x-portcullis': { roles: ['clerk', 'boss'], claims: { tenant: ['acme', 'umbrella'] } },
      },
    },
    '/silent': { get: { operationId: 'silent' } },
    '/open': { get: { operationId: 'open', security: [], 'x-portcullis': { public: true } } },
    '/optional': { get: { operationId: 'optional', security: [{ login: [] }, {}], 'x-portcullis': { public: true } } },
    '/device': { get: { operationId: 'device', security: [{ machine: [] }] } },
    '/basic': { get: { operationId: 'basic', security: [{ basic: [] }] } },
    '/query': { get: { operationId: 'query', security: [{ query: [] }] } },
  },
  components: {
    securitySchemes: {
      login: { type: 'oauth2', flows: {} },
      program: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      machine: { type: 'mutualTLS' },
      basic: { type: 'http', scheme: 'basic' },
      query: { type: 'apiKey', in: 'query', name: 'api_key' },
    },
  },
};

let origin: HttpOrigin;
let front: Front;
let signing: KeyObject;
let key: { id: string; secret: string };

beforeAll(async () => {
  origin = await httpOrigin();
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  signing = pair.privateKey;
  const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' };
  const openapi = { file: 'openapi.json', fallthrough: 'log' };
  const mtls = { mode: 'request', trust: ['devices'] };
  front = await startFront(
    {
      [HOST]: {
        mtls,
        origin: origin.url,
        openapi,
        credentials: {
          keys: [{ header: 'X-API-Key' }, { basic: true }, { query: 'api_key', allowQuery: true }],
          operations: { read: { action: 'log' }, 'GET /device': { require: { certificate: 'devices' } } },
          claims: { 'X-User-Id': 'sub' },
          strip: true,
        },
      },
      'watched.test': {
        mtls,
        origin: origin.url,
        openapi,
        credentials: { action: 'log', schemes: { query: 'never' }, operations: { query: { public: true } } },
      },
      'off.test': { mtls, origin: origin.url, credentials: { action: 'off', claims: { 'X-User-Id': 'sub' } } },
    },
    {
      files: { 'openapi.json': JSON.stringify(DESCRIPTION), 'jwks.json': JSON.stringify({ keys: [jwk] }) },
      config: {
        jwt: { login: { issuer: ISSUER, audiences: ['orders'], algorithms: ['ES256'], keys: { file: 'jwks.json' } } },
        events: { destination: 'stdout', sampleRate: 1 },
      },
    },
  );
  key = await makeKey({ name: 'program', scopes: ['orders:read'] });
});

beforeEach(() => {
  origin.arrived.length = 0;
});

async function makeKey(asked: { name: string; scopes: string[] }): Promise<{ id: string; secret: string }> {
  const expires_at = new Date(Date.now() + 3_600_000).toISOString();
  const made = await front.gateway.ask('/admin/v1/keys', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...asked, expires_at }),
  });
  const { id, key } = (await made.json()) as { id: string; key: string };
  expect(made.status).toBe(201);
  return { id, secret: key };
}

function token(claims: object = {}, header: object = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const whole = { iss: ISSUER, aud: 'orders', sub: 'ada', iat: now, exp: now + 600, ...claims };
  const parts = [{ alg: 'ES256', kid: 'one', ...header }, whole];
  const text = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const signature = sign('sha256', Buffer.from(text), { key: signing, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

const bearer = (claims?: object) => ({ authorization: `Bearer ${token(claims)}` });
/** Without a certificate unless told otherwise. */
const call = (path: string, asked: Asked = {}, { host = HOST, device = false } = {}) =>
  ask(front.caller(host, device ? front.client : null), path, asked);
const told = ({ status, headers, body }: Answered) => ({
  status,
  reason: status >= 400 ? JSON.parse(body).reason : undefined,
  challenge: headers['www-authenticate'],
});
const eventOf = ({ headers }: Answered) => front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

describe('nothing was presented', () => {
  test('401 names each scheme that would do, and no error', async () => {
    const answered = await call('/orders');
    expect(told(answered)).toEqual({
      status: 401,
      reason: 'credentials.missing',
      challenge: `Bearer realm="${HOST}", ApiKey realm="${HOST}", in="header", name="x-api-key"`,
    });
    expect(origin.arrived).toEqual([]);
    expect(await eventOf(answered)).toMatchObject({ SecurityAction: 'block', SecurityRuleID: 'credentials.missing' });
  });

  test('where the description says nothing, any one token or key of the host is needed', async () => {
    expect(told(await call('/silent'))).toMatchObject({ status: 401, reason: 'credentials.missing' });
    expect(told(await call('/nowhere'))).toMatchObject({ status: 401, reason: 'credentials.missing' });
    expect((await call('/silent', { headers: bearer() })).status).toBe(200);
    expect((await call('/silent', { headers: { 'x-api-key': key.secret } })).status).toBe(200);
  });

  test('what is public passes, and what is optional', async () => {
    expect((await call('/open')).status).toBe(200);
    expect((await call('/optional')).status).toBe(200);
    expect((await call('/optional', { headers: { authorization: 'Bearer nonsense' } })).status).toBe(200);
  });

  test('a certificate that is missing is what mtls says of it', async () => {
    expect(told(await call('/device'))).toEqual({ status: 403, reason: 'mtls.missing', challenge: undefined });
    expect((await call('/device', {}, { device: true })).status).toBe(200);
  });
});

describe('a token', () => {
  test('passes with its scope', async () => {
    expect((await call('/orders', { headers: bearer({ scope: 'orders:read orders:write' }) })).status).toBe(200);
  });

  test('without the scope is 403 insufficient_scope', async () => {
    expect(told(await call('/orders', { headers: bearer({ scope: 'orders:write' }) }))).toEqual({
      status: 403,
      reason: 'credentials.scope',
      challenge: `Bearer realm="${HOST}", error="insufficient_scope", scope="orders:read"`,
    });
  });

  test('that has expired is 401 invalid_token', async () => {
    const past = Math.floor(Date.now() / 1000) - 600;
    const answered = await call('/orders', { headers: bearer({ scope: 'orders:read', iat: past - 60, exp: past }) });
    expect(told(answered)).toMatchObject({ status: 401, reason: 'jwt.expired' });
    expect(answered.headers['www-authenticate']).toContain(`Bearer realm="${HOST}", error="invalid_token"`);
  });

  test('needs one of the roles, and a claim with one of the values', async () => {
    const cancel = (claims: object) => call('/orders/1', { method: 'DELETE', headers: bearer(claims) });
    expect(told(await cancel({ tenant: 'acme' }))).toMatchObject({ status: 403, reason: 'credentials.role' });
    expect(told(await cancel({ roles: ['clerk'], tenant: 'other' }))).toMatchObject({
      status: 403,
      reason: 'credentials.claim',
    });
    expect((await cancel({ roles: ['clerk'], tenant: 'umbrella' })).status).toBe(200);
  });

  test('twice is refused, never chosen from', async () => {
    const client = await connect(front.caller(HOST, null));
    const field = `Authorization: Bearer ${token({ scope: 'orders:read' })}\r\n`;
    const answered = await client.ask(`GET /orders HTTP/1.1\r\nHost: ${HOST}\r\n${field}${field}\r\n`);
    expect([answered.status, JSON.parse(answered.body).reason]).toEqual([400, 'credentials.repeated']);
    client.close();
  });
});

describe('a key', () => {
  test('passes in its header, by Basic and in the query where the description says so', async () => {
    expect((await call('/orders', { headers: { 'x-api-key': key.secret } })).status).toBe(200);
    const basic = Buffer.from(`${key.id}:${key.secret}`).toString('base64');
    expect((await call('/basic', { headers: { authorization: `Basic ${basic}` } })).status).toBe(200);
    expect((await call(`/query?api_key=${key.secret}`)).status).toBe(200);
  });

  test('in the query is no unknown parameter, also where no description speaks of it', async () => {
    expect((await call(`/silent?api_key=${key.secret}`)).status).toBe(200);
    expect(told(await call(`/silent?api_key=${key.secret}&debug=1`))).toMatchObject({
      status: 400,
      reason: 'schema.unknown_parameter',
    });
  });

  test('in another place than the operation says is of no use there', async () => {
    const answered = await call('/basic', { headers: { 'x-api-key': key.secret } });
    expect(told(answered)).toMatchObject({ status: 403, reason: 'credentials.unaccepted' });
    expect(told(await call('/basic'))).toMatchObject({
      status: 401,
      challenge: `Basic realm="${HOST}", charset="UTF-8"`,
    });
  });

  test('that was mistyped is 401', async () => {
    const answered = await call('/orders', { headers: { 'x-api-key': `${key.secret.slice(0, -1)}x` } });
    expect(told(answered)).toMatchObject({ status: 401, reason: 'keys.malformed' });
  });
});

test('what goes together has to come together', async () => {
  const clear = (headers: Record<string, string>, device: boolean) =>
    call('/orders', { method: 'DELETE', headers }, { device });
  const withKey = { 'x-api-key': key.secret };
  expect(told(await clear(withKey, false))).toMatchObject({ status: 403, reason: 'mtls.missing' });
  expect(told(await clear({}, true))).toMatchObject({ status: 401, reason: 'credentials.missing' });
  expect((await clear(withKey, true)).status).toBe(200);
  expect(told(await clear(bearer({ scope: 'orders:read' }), true))).toMatchObject({
    status: 403,
    reason: 'credentials.scope',
  });
  expect((await clear(bearer({ scope: 'orders:write' }), true)).status).toBe(200);
});

describe('staged', () => {
  test('in log mode who would be refused passes and is recorded', async () => {
    for (const answered of [await call('/orders/1'), await call('/orders', {}, { host: 'watched.test' })]) {
      expect(answered.status).toBe(200);
      expect(await eventOf(answered)).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'credentials.missing' });
    }
  });

  test('off requires nothing, and tells origins of who is there all the same', async () => {
    expect((await call('/any', {}, { host: 'off.test' })).status).toBe(200);
    expect((await call('/any', { headers: bearer() }, { host: 'off.test' })).status).toBe(200);
    expect(origin.arrived.map(({ headers }) => headers['x-user-id'])).toEqual([undefined, 'ada']);
  });
});

describe('towards the origin', () => {
  test('claims are told, and what clients say under those names is not', async () => {
    const headers = { ...bearer({ scope: 'orders:read', sub: 'grace' }), 'x-user-id': 'boss', x_user_id: 'boss' };
    expect((await call('/orders', { headers })).status).toBe(200);
    expect((await call('/open', { headers: { 'x-user-id': 'boss' } })).status).toBe(200);
    const [told, open] = origin.arrived;
    expect([told?.headers['x-user-id'], told?.headers.x_user_id]).toEqual(['grace', undefined]);
    expect(open?.headers['x-user-id']).toBeUndefined();
  });

  test('the credential that counted does not arrive', async () => {
    await call('/orders', { headers: bearer({ scope: 'orders:read' }) });
    await call('/orders', { headers: { 'x-api-key': key.secret } });
    await call(`/query?api_key=${key.secret}`);
    expect(origin.arrived).toHaveLength(3);
    for (const { url, rawHeaders } of origin.arrived) {
      const text = [url, ...rawHeaders].join('\n');
      expect(text).not.toContain('Bearer');
      expect(text).not.toContain(key.secret);
    }
  });
});

test('no record holds a credential', async () => {
  const secret = token({ scope: 'orders:read' });
  const answered = await call('/orders', { headers: { authorization: `Bearer ${secret}` } });
  await call(`/query?api_key=${key.secret}`);
  await eventOf(answered);
  const written = JSON.stringify(front.gateway.events) + front.gateway.log;
  expect(written).not.toContain(secret);
  expect(written).not.toContain(key.secret);
  expect(written).not.toContain(createHash('sha256').update(key.secret).digest('hex').slice(0, 16));
});
