// The admin API over a store of its own, asked in the process: no port, no gateway.
//
//     const admin = await adminApi({ capabilities: [api => routes(api, ...)] });
//     const answer = await admin.ask('POST', '/pki/authorities', { name: 'devices' });
//     expect(answer.status).toBe(201);

import type { Hono } from 'hono';
import type { Api } from '../../src/manage/admin/api.js';
import { Failures } from '../../src/manage/admin/failures.js';
import { routes, type Surface } from '../../src/manage/admin/routes.js';
import { addToken, Tokens } from '../../src/manage/admin/tokens.js';
import type { Store } from '../../src/manage/store/open.js';
import type { Role } from '../../src/manage/store/tables.js';
import { atTheEnd } from './cleanup.js';
import { type Place, sqlitePlace } from './stores.js';

export interface Asked {
  role?: Role;
  /** Instead of a role's. */
  token?: string | null;
  headers?: Record<string, string>;
  /** Of the client. */
  address?: string;
}

export interface Answer {
  status: number;
  headers: Headers;
  /** What JSON said; the text when it is none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  body: any;
}

export interface Admin {
  store: Store;
  tokens: Tokens;
  app: Hono;
  /** What the log was told. */
  log: [object, string][];
  /** Failed authentications by reason. */
  failures: string[];
  token(role: Role): string;
  /** Below /admin/v1; a body becomes JSON, a string is sent as it is. By default as an admin. */
  ask(method: string, path: string, body?: unknown, asked?: Asked): Promise<Answer>;
}

export async function adminApi(
  changes: Partial<Omit<Surface, 'capabilities'>> & {
    capabilities?: ((api: Api, store: Store) => void)[];
    place?: Place;
  } = {},
): Promise<Admin> {
  const { capabilities = [], place = await sqlitePlace(), ...surface } = changes;
  const store = await place.open();
  const tokens = new Tokens(store);
  atTheEnd(() => tokens.close());
  const [log, refusals]: [Admin['log'], string[]] = [[], []];
  const tell = (fields: object, message: string) => void log.push([fields, message]);
  const failures = new Failures({ warn: tell } as never);
  atTheEnd(() => failures.close());
  const app = routes({
    gateway: {
      ready: () => true,
      metrics: async () => ({ contentType: 'text/plain', text: 'portcullis 1\n' }),
      reload: async () => ({ applied: true, generation: 7 }),
      upgrade: async () => ({ upgraded: true, version: '1.2.3', process: 12 }),
    },
    store,
    tokens,
    failures,
    certificates: () => null,
    counted: why => refusals.push(why),
    log: { error: tell, warn: tell } as never,
    remote: false,
    scheme: 'http',
    ours: () => false,
    ...surface,
    capabilities: capabilities.map(add => (api: Api) => add(api, store)),
  });
  const made = await store.write(['tokens'], async tx => {
    const all = {} as Record<Role, string>;
    for (const role of ['viewer', 'operator', 'admin'] as const) {
      all[role] = (await addToken(tx, { name: `a-${role}`, role, expiresAt: null, createdBy: 'test' })).token;
    }
    return all;
  });
  const ask: Admin['ask'] = async (method, path, body, asked = {}) => {
    const { role = 'admin', token = made[role], headers = {}, address = '127.0.0.1' } = asked;
    const json = body !== undefined && typeof body !== 'string';
    const init: RequestInit = {
      method,
      headers: {
        host: '127.0.0.1:9090',
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(json && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: json ? JSON.stringify(body) : (body as string) }),
    };
    const incoming = { socket: { remoteAddress: address } };
    const answer = await app.request(`http://127.0.0.1:9090/admin/v1${path}`, init, { incoming });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: readable(text) };
  };
  return { store, tokens, app, log, failures: refusals, token: role => made[role], ask };
}

function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
