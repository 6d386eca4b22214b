// Rate limits over one store, with an engine that remembers what it was told.

import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { PolicyLimit } from '../../src/config/policy.js';
import { LimitMetrics } from '../../src/journal/metrics/limits.js';
import { LimitFlow, type LimitFlowParts } from '../../src/manage/limits/flow.js';
import type { Clock } from '../../src/manage/pki/clock.js';
import { systemClock } from '../../src/manage/pki/clock.js';
import type { Store } from '../../src/manage/store/open.js';
import { atTheEnd } from './cleanup.js';

export interface FakeEngine {
  exempt: { rule: string; key: string; until: number | null }[];
  reset: { rule: string; key: string }[];
  /** What `limits`, `topLimited` and `volumes` answer. */
  figures: object[];
  top: object[];
  /** Calls of `topLimited`. */
  asked: { rule: string | null; most: number }[];
  /** Buckets that are not told yet. */
  volumes: { bucket: number }[];
}

/** One process. */
export function limiting(store: Store, changes: Partial<LimitFlowParts> & { clock?: Clock } = {}) {
  const engine: FakeEngine = { exempt: [], reset: [], figures: [], top: [], asked: [], volumes: [] };
  const registry = new Registry();
  const flow = new LimitFlow({
    store,
    log: pino({ level: 'silent' }),
    metrics: new LimitMetrics(registry),
    clock: systemClock,
    node: 'here/1',
    limits: () => [policyLimit('logins'), policyLimit('shared', { sharing: SHARED })],
    hosts: () => [{ name: 'api.test', operations: [{ id: 'login', method: 'POST', path: '/login' }], sessions: true }],
    native: {
      limits: () => JSON.stringify(engine.figures),
      topLimited: text => {
        engine.asked.push(JSON.parse(text));
        return JSON.stringify(engine.top);
      },
      resetLimited: text => {
        engine.reset.push(JSON.parse(text));
        return true;
      },
      exemptLimited: text => {
        engine.exempt = JSON.parse(text);
      },
      volumes: until => {
        const ended = engine.volumes.filter(({ bucket }) => bucket + 600_000 <= until);
        engine.volumes = engine.volumes.filter(one => !ended.includes(one));
        return JSON.stringify(ended);
      },
    },
    ...changes,
  });
  atTheEnd(() => flow.stop());
  return { flow, engine, metrics: () => registry.metrics() };
}

const SHARED: PolicyLimit['sharing'] = { mode: 'strict', fallback: 'local', advance: 1 };

export function policyLimit(name: string, changes: Partial<PolicyLimit> = {}): PolicyLimit {
  return {
    ...{ name, at: '/limits/rules/0', expression: null, operation: null, counting: null },
    characteristics: [{ at: '/limits/rules/0/characteristics/0', expression: 'ip.src' }],
    ...{ algorithm: 'gcra', amount: 10, period_ms: 60_000, burst: 5, concurrency: null, per: 'request', score: null },
    ...{ mitigation_timeout_ms: 0, action: 'block' },
    sharing: { mode: 'local', fallback: 'local', advance: 1 },
    ...changes,
  };
}
