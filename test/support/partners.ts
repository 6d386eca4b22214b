// Partners, keys and issued certificates over one store, with an engine that remembers what it was told.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { KeyMetrics } from '../../src/journal/metrics/keys.js';
import { PartnerMetrics } from '../../src/journal/metrics/partners.js';
import type { Api } from '../../src/manage/admin/api.js';
import { KeyFlow } from '../../src/manage/keys/flow.js';
import { PartnerExpiry } from '../../src/manage/partners/expiry.js';
import { PartnerFlow } from '../../src/manage/partners/flow.js';
import type { Clock } from '../../src/manage/pki/clock.js';
import { Pki } from '../../src/manage/pki/service.js';
import type { Store } from '../../src/manage/store/open.js';
import type { CertificatesTable } from '../../src/manage/store/tables.js';
import { atTheEnd } from './cleanup.js';
import { FakeClock } from './clock.js';

const DAY_MS = 86_400_000;

/** As the engine is told of one. */
export interface Told {
  name: string;
  suspended: boolean;
  expires_at: number | null;
  certificates: Record<string, string>[];
  tokens: Record<string, string>[];
  operations: string[];
  quota?: { requests: number; period_s: number };
}

export interface Callers {
  partners: PartnerFlow;
  clock: Clock;
  /** Everything the engine was told, the last at the end. */
  told: Told[][];
  /** As the engine knows it now. */
  known(name: string): Told | undefined;
  events: [string, Readonly<Record<string, unknown>>][];
  /** One look at which partners end soon. */
  expiry(): Promise<void>;
  metrics(): Promise<string>;
  routes(api: Api): void;
}

/** One process. */
export function callers(
  store: Store,
  { clock = new FakeClock(), refuse }: { clock?: Clock; refuse?: (told: Told[]) => void } = {},
): Callers {
  const told: Told[][] = [];
  const events: Callers['events'] = [];
  const registry = new Registry();
  const log = pino({ level: 'silent' });
  const tell = (event: string, fields: Readonly<Record<string, unknown>>) => void events.push([event, fields]);
  const host = { name: 'api.test', operations: [{ id: 'listOrders', method: 'GET', path: '/orders' }] };
  const native = {
    changeKeys: () => {},
    usedKeys: () => '[]',
    replacePartners: (text: string) => {
      const partners: Told[] = JSON.parse(text);
      refuse?.(partners);
      told.push(partners);
    },
  };
  const metrics = new PartnerMetrics(registry);
  const expiry = new PartnerExpiry({ store, log, tell, clock, metrics });
  const pki = new Pki({
    store,
    log,
    run: () => Promise.reject(new Error('nothing is signed here')),
    now: () => clock.now(),
  });
  const keys = new KeyFlow({
    ...{ store, native, log, tell, clock, metrics: new KeyMetrics(registry) },
    hosts: () => [host.name],
  });
  const partners = new PartnerFlow({
    ...{ store, native, log, tell, clock, pki, keys, metrics },
    hosts: () => [host],
    authorities: async () => ['devices'],
    configurations: () => ['customers'],
  });
  atTheEnd(() => partners.stop());
  return {
    partners,
    clock,
    told,
    known: name => told.at(-1)?.find(one => one.name === name),
    events,
    expiry: () => expiry.look(),
    metrics: () => registry.metrics(),
    routes: api => {
      partners.routes(api);
      keys.routes(api);
    },
  };
}

/** Rows as issuing leaves them; answers the fingerprints. */
export async function issued(
  store: Store,
  ...some: (Partial<CertificatesTable> & { partner: string | null })[]
): Promise<string[]> {
  const rows = some.map(one => ({
    key_id: 'aa'.repeat(32),
    serial: randomBytes(16).toString('hex').toUpperCase(),
    fingerprint: randomBytes(32).toString('hex'),
    ...{ authority: 'devices', generation: 1, name: 'pump', subject: 'CN=pump', names: '{}', profile: 'device' },
    ...{ not_before: 0, not_after: Date.now() + 90 * DAY_MS, issued_at: 0, issued_by: 'tester', renews: null },
    ...{ certificate: '', ...one },
  }));
  await store.write(['certificates'], async (tx, { certificates }) => {
    await tx
      .insertInto('certificates')
      .values(rows.map(row => ({ ...row, revision: certificates })))
      .execute();
  });
  return rows.map(({ fingerprint }) => fingerprint);
}
