// An identity provider's server of keys, over TLS, that answers what a test says.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { KeySetPlan } from '../../src/check/jwt/compile.js';
import { JwtMetrics } from '../../src/journal/metrics/jwt.js';
import { Refresh, type RefreshParts } from '../../src/manage/jwt/refresh.js';
import type { Store } from '../../src/manage/store/open.js';
import { atTheEnd } from './cleanup.js';
import { FakeClock } from './clock.js';
import { authority } from './pki.js';

export interface Provider {
  url: string;
  /** PEM, of its certificate. */
  ca: string;
  /** Requests so far. */
  asked: IncomingMessage[];
  /** By path; the set unless said otherwise. */
  answer: (request: IncomingMessage, response: ServerResponse) => void;
}

export async function provider(): Promise<Provider> {
  const issuer = await authority('provider');
  const { cert, key } = await issuer.server(['localhost']);
  const made: Provider = { url: '', ca: issuer.pem, asked: [], answer: sends(keySet('one')) };
  const server = createServer({ cert, key }, (request, response) => {
    made.asked.push(request);
    response.on('error', () => {});
    made.answer(request, response);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  made.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return made;
}

export function sends(body: string | Buffer, headers: Record<string, string> = {}): Provider['answer'] {
  return (_, response) => response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(body);
}

/** With keys that only a fake engine takes. */
export function keySet(...kids: string[]): string {
  return JSON.stringify({ keys: kids.map(kid => ({ kty: 'EC', kid })) });
}

/** What the engine holds, by configuration; it takes documents as the real one does, and keys without looking. */
export class FakeKeySets {
  readonly held = new Map<string, { url: string; kids: string[] }>();
  /** Configurations whose tokens came with an unknown key. */
  lacking: string[] = [];
  revoked: unknown[] = [];

  loadKeySet(configuration: string, url: string, document: string): string {
    let keys: { kty: string; kid: string }[] | undefined;
    try {
      keys = JSON.parse(document).keys;
    } catch {
      return '{"problem":"the key set is not JSON"}';
    }
    if (!Array.isArray(keys)) return '{"problem":"the key set is no JWK Set: an object with a list `keys`"}';
    const usable = keys.filter(({ kty }) => kty === 'EC');
    if (usable.length === 0) return '{"problem":"the key set holds no usable key"}';
    const kids = usable.map(({ kid }) => kid);
    const changed = JSON.stringify({ url, kids }) !== JSON.stringify(this.held.get(configuration));
    this.held.set(configuration, { url, kids });
    return JSON.stringify({
      keys: kids.map(kid => ({ kid, algorithms: ['ES256'], thumbprint: `thumbprint of ${kid}` })),
      skipped: keys.filter(({ kty }) => kty !== 'EC').map(({ kid }) => ({ kid, why: 'is of an unknown type' })),
      changed,
    });
  }

  forgetKeySet(configuration: string): void {
    this.held.delete(configuration);
  }

  unknownKeyIds(): string {
    return JSON.stringify(this.lacking.splice(0));
  }

  kids(configuration = 'customers'): string[] | undefined {
    return this.held.get(configuration)?.kids;
  }
}

export function plan(from: Pick<Provider, 'url' | 'ca'>, changes: Partial<KeySetPlan> = {}): KeySetPlan {
  return {
    name: 'customers',
    url: from.url,
    leastMs: 60_000,
    mostMs: 3_600_000,
    cooldownMs: 30_000,
    staleMs: 86_400_000,
    allowPrivateAddresses: true,
    allowRedirects: false,
    allowHttp: false,
    ca: from.ca,
    ...changes,
  };
}

/** What refreshes key sets in a process, with its clock in the test's hand. */
export function refreshing(store: Store, changes: Partial<RefreshParts> = {}) {
  const native = new FakeKeySets();
  const clock = new FakeClock();
  const lines: string[] = [];
  const told: [string, Readonly<Record<string, unknown>>][] = [];
  const registry = new Registry();
  const refresh = new Refresh({
    store,
    native,
    clock,
    log: pino({}, { write: line => void lines.push(line) }),
    metrics: new JwtMetrics(registry),
    tell: (event, fields) => void told.push([event, fields]),
    ...changes,
  });
  atTheEnd(() => refresh.stop());
  /** As a start does it. */
  const begin = async (...plans: KeySetPlan[]) => {
    await refresh.prepare(plans);
    refresh.adopt(plans);
  };
  const state = (name = 'customers') => refresh.states().find(one => one.name === name);
  return { refresh, native, clock, lines, told, begin, state, text: () => registry.metrics() };
}
