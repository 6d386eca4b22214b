// What limits will be enforced, as `portcullis check` tells it: a line a limit; and which of them hold for an operation.

import { operationsOf } from '../../config/operations.js';
import type { Policy, PolicyLimit } from '../../config/policy.js';
import { printable } from '../../config/problem.js';
import { aligned } from './aligned.js';

const HEADINGS = ['limit', 'holds for', 'counts', 'for each', 'allows', 'then', 'counted'];
const UNITS = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** As `portcullis check --format json` tells it. */
export interface Limiting {
  name: string;
  /** Both null: every request. */
  operation: { host: string; id: string } | null;
  expression: string | null;
  /** null: each request. */
  countingExpression: string | null;
  characteristics: string[];
  algorithm: 'gcra' | 'slidingWindow' | null;
  amount: number | null;
  period: string | null;
  burst: number | null;
  concurrency: number | null;
  score: { responseHeader: string } | { expression: string } | null;
  mitigationTimeout: string;
  action: 'off' | 'log' | 'block' | 'delay';
  delay: string | null;
  mode: PolicyLimit['sharing']['mode'];
  fallback: PolicyLimit['sharing']['fallback'] | null;
  advance: number | null;
}

export function limiting({ limits, hosts }: Policy): Limiting[] {
  return limits.rules.map(limit => {
    const host = limit.operation === null ? undefined : hosts[limit.operation[0]];
    const operation = host && limit.operation ? operationsOf(host)[limit.operation[1]] : undefined;
    const timed = limit.concurrency === null;
    const { mode, fallback, advance } = limit.sharing;
    const delay = typeof limit.action === 'object' ? limit.action.delay : null;
    return {
      name: limit.name,
      operation: host && operation ? { host: host.name, id: operation.id } : null,
      expression: limit.expression?.expression ?? null,
      countingExpression: limit.counting?.expression ?? null,
      characteristics: limit.characteristics.map(({ expression }) => expression),
      algorithm: timed ? (limit.algorithm === 'gcra' ? 'gcra' : 'slidingWindow') : null,
      amount: timed ? limit.amount : null,
      period: timed ? span(limit.period_ms) : null,
      burst: timed && limit.algorithm === 'gcra' ? limit.burst : null,
      concurrency: limit.concurrency,
      score: scoreOf(limit),
      mitigationTimeout: span(limit.mitigation_timeout_ms),
      action: typeof limit.action === 'object' ? 'delay' : limit.action,
      delay: delay === null ? null : span(delay),
      mode,
      fallback: mode === 'local' ? null : fallback,
      advance: mode === 'fast' ? advance : null,
    };
  });
}

/** Empty where there are none. */
export function limitsTable(policy: Policy): string {
  const rows = limiting(policy);
  if (rows.length === 0) return '';
  return ['limits:', ...aligned([HEADINGS, ...rows.map(row => cells(row).map(printable))])].join('\n');
}

/** Of a request that was found to be an operation: limits that hold for it, and those that hold if their expression does. */
export function limitsOf(policy: Policy, host: string, operation: string | null): { always: string[]; if: string[] } {
  const found = limiting(policy).filter(
    one =>
      one.action !== 'off' &&
      (one.operation === null || (one.operation.host === host && one.operation.id === operation)),
  );
  const named = (some: Limiting[]) => some.map(one => `${one.name} (${allowed(one)} ${each(one)})`);
  return {
    always: named(found.filter(({ expression }) => expression === null)),
    if: named(found.filter(({ expression }) => expression !== null)),
  };
}

function cells(row: Limiting): string[] {
  const holds = row.operation ? `${row.operation.host} ${row.operation.id}` : (row.expression ?? 'all requests');
  const penalty = row.mitigationTimeout === '0s' ? '' : `, for ${row.mitigationTimeout}`;
  const then = row.action === 'delay' ? `delay up to ${row.delay}` : row.action;
  const where = row.mode === 'local' ? 'here' : `${row.mode}, else ${row.fallback}`;
  return [
    row.name,
    holds,
    row.countingExpression ?? '-',
    row.characteristics.join(', ') || 'everybody together',
    allowed(row),
    then + penalty,
    row.advance === null ? where : `${where}; advance ${row.advance}`,
  ];
}

function allowed({ amount, period, burst, concurrency, score, algorithm }: Limiting): string {
  if (concurrency !== null) return `${concurrency} at once`;
  const of = score === null ? '' : ` of ${'responseHeader' in score ? score.responseHeader : score.expression}`;
  const how = algorithm === 'gcra' ? (burst === amount ? '' : `, burst ${burst}`) : ', sliding';
  return `${amount}${of} in ${period}${how}`;
}

function each({ characteristics }: Limiting): string {
  return characteristics.length === 0 ? 'for everybody together' : `for each ${characteristics.join(', ')}`;
}

function scoreOf({ score }: PolicyLimit): Limiting['score'] {
  if (score === null) return null;
  return 'response_header' in score
    ? { responseHeader: score.response_header }
    : { expression: score.expression.expression };
}

/** As an operator writes it. */
function span(ms: number): string {
  if (ms === 0) return '0s';
  const unit = UNITS.find(([, length]) => ms % length === 0);
  return unit ? `${ms / unit[1]}${unit[0]}` : `${ms}ms`;
}
