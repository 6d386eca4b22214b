// One limit, as the engine takes it. What it says has to mean something together: what does not is a problem.

import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyExpression, PolicyLimit, PolicySharing } from '../../config/policy.js';
import type { LimitConfig } from './config.js';

/** One per microsecond: what the servers' clock tells. */
const MOST_SHARED_PER_SECOND = 1_000_000;
/** Of an eighth of a window: native/engine/src/limits/window.rs. */
const MOST_IN_WINDOW = 2 ** 21 - 1;
/** Of the amount, unless `advance` is given. */
const ADVANCE_SHARE = 10;

/** A limit as it is written, and which requests it holds for. */
export interface Written {
  name: string;
  at: string;
  limit: LimitConfig;
  /** Keys as they stand there, also those whose values were refused: nothing is said of them twice. */
  keys: ReadonlySet<string>;
  expression: PolicyExpression | null;
  operation: PolicyLimit['operation'];
}

export function compileLimit(written: Written, loading: Loading): PolicyLimit {
  const { name, at, limit, expression, operation } = written;
  checkAmount(written, loading);
  checkDelay(written, loading);
  checkSharing(limit, at, loading);
  const timed = limit.concurrency === undefined;
  // Where something is missing the engine has nothing to add.
  const amount = timed ? (limit.requestsPerPeriod ?? limit.scorePerPeriod ?? 1) : 0;
  return {
    name,
    at,
    expression,
    operation,
    counting:
      limit.countingExpression === undefined
        ? null
        : { at: child(at, 'countingExpression'), expression: limit.countingExpression },
    characteristics: limit.characteristics.map((expression, index) => ({
      at: child(child(at, 'characteristics'), index),
      expression,
    })),
    algorithm: limit.algorithm === 'slidingWindow' ? 'sliding_window' : 'gcra',
    amount,
    period_ms: timed ? (limit.period ?? 1_000) : 0,
    burst: limit.burst ?? amount,
    concurrency: limit.concurrency ?? null,
    per: limit.per,
    score: scoreOf(limit, at),
    mitigation_timeout_ms: limit.mitigationTimeout ?? 0,
    action: limit.action === 'delay' ? { delay: limit.delay ?? 1 } : limit.action,
    sharing: sharingOf(limit, amount),
  };
}

/** Its cost is known when it is answered. */
function countsAnswers({ countingExpression, score }: LimitConfig): boolean {
  return score?.responseHeader !== undefined || readsAnswer(countingExpression);
}

function readsAnswer(expression = ''): boolean {
  return /\bhttp\.response\./.test(withoutTexts(expression));
}

/** An expression without the strings in it, in which no word is a field. */
export function withoutTexts(expression: string): string {
  return expression.replace(/r(#*)".*?"\1|"(?:\\.|[^"\\])*"/gs, '""');
}

const AMOUNTS = ['requestsPerPeriod', 'scorePerPeriod', 'concurrency'];

function checkAmount({ limit, at, keys }: Written, loading: Loading): void {
  const { requestsPerPeriod, scorePerPeriod, score } = limit;
  const given = AMOUNTS.filter(key => keys.has(key));
  if (given.length !== 1) {
    const message = given.length === 0 ? 'how much is allowed?' : `${given.join(' and ')}: which of them holds?`;
    loading.problem(given.length === 0 ? at : child(at, given[1] as string), message, {
      key: true,
      hint: 'exactly one of `requestsPerPeriod`, `scorePerPeriod` and `concurrency`; two limits hold both',
    });
    return;
  }
  if (keys.has('concurrency')) {
    for (const key of WITHOUT_CONCURRENCY) {
      if (keys.has(key)) refuse(key, '`concurrency` counts requests under way, not those of a period');
    }
    if (readsAnswer(limit.countingExpression)) {
      refuse('countingExpression', 'a request under way has no answer yet', 'the expression may read the request');
    }
    return;
  }
  if (!keys.has('period')) {
    loading.problem(at, '`period` is missing', { key: true, hint: 'the time that the amount speaks of, such as `1m`' });
  }
  if (scorePerPeriod !== undefined && !keys.has('score')) {
    refuse('scorePerPeriod', 'nothing says what a request costs', 'add `score`, or write `requestsPerPeriod`');
  }
  if (score !== undefined) checkScore(score);
  checkBurst();
  const amount = requestsPerPeriod ?? scorePerPeriod ?? 0;
  if (limit.algorithm === 'slidingWindow' && amount > MOST_IN_WINDOW) {
    loading.problem(child(at, given[0] as string), `a sliding window counts up to ${MOST_IN_WINDOW}`, {
      hint: '`algorithm: gcra`: its burst is as exact with so many',
    });
  }

  function checkScore({ responseHeader, expression }: NonNullable<LimitConfig['score']>): void {
    if (keys.has('requestsPerPeriod')) {
      refuse('score', 'requests are counted, not what they cost', '`scorePerPeriod` instead of `requestsPerPeriod`');
    }
    if ((responseHeader === undefined) === (expression === undefined)) {
      refuse(
        'score',
        expression === undefined ? 'costs nothing' : 'two costs',
        'either `responseHeader` or `expression`',
      );
    }
  }

  function checkBurst(): void {
    if (limit.burst === undefined) return;
    const amount = requestsPerPeriod ?? scorePerPeriod ?? limit.burst;
    if (limit.algorithm === 'slidingWindow') {
      refuse('burst', 'a sliding window has no burst: all of the amount may come at once', 'leave it out, or `gcra`');
    } else if (limit.burst > amount) {
      loading.problem(child(at, 'burst'), `the burst is above the amount, ${amount}`, {
        hint: 'no more than the amount can be spent at once; a larger amount for a longer period is the same rate',
      });
    }
  }

  function refuse(key: string, message: string, hint = 'leave it out'): void {
    loading.problem(child(at, key), message, { key: true, hint });
  }
}

const WITHOUT_CONCURRENCY = ['period', 'burst', 'algorithm', 'score', 'mitigationTimeout'] as const;

function checkDelay({ limit, at, keys }: Written, loading: Loading): void {
  if (limit.action !== 'delay') {
    if (limit.delay === undefined) return;
    loading.problem(child(at, 'delay'), `nothing waits: the action is \`${limit.action}\``, {
      key: true,
      hint: '`action: delay`, or leave it out',
    });
    return;
  }
  if (!keys.has('delay')) {
    loading.problem(child(at, 'action'), 'how long may a request wait?', { hint: 'add `delay`, such as `delay: 2s`' });
  }
  const refuse = (message: string) =>
    loading.problem(child(at, 'action'), message, { hint: '`block` refuses what goes over' });
  if (limit.concurrency !== undefined) refuse('nobody knows when a request under way will end: none can wait for it');
  if (countsAnswers(limit)) refuse('what is counted when it is answered has no turn to wait for');
  if (limit.mode === 'fast') refuse('leases have no turns to wait for: `mode: fast` refuses what goes over');
}

function checkSharing(limit: LimitConfig, at: string, loading: Loading): void {
  const { mode, advance } = limit;
  if (advance !== undefined && mode !== 'fast') {
    loading.problem(child(at, 'advance'), `nothing is advanced with \`mode: ${mode}\``, {
      key: true,
      hint: '`mode: fast`, or leave it out',
    });
  }
  if (mode === 'local') {
    if (limit.fallback !== undefined) {
      loading.problem(child(at, 'fallback'), 'a limit of this process needs no other', {
        key: true,
        hint: 'with `mode: fast` or `strict`, or leave it out',
      });
    }
    return;
  }
  if (limit.concurrency !== undefined) {
    loading.problem(child(at, 'mode'), 'requests under way are counted by each process for itself', {
      hint: '`mode: local`; the fleet then lets through as many times the number as it has processes',
    });
    return;
  }
  const amount = limit.requestsPerPeriod ?? limit.scorePerPeriod ?? 0;
  if (limit.period !== undefined && amount > MOST_SHARED_PER_SECOND * (limit.period / 1_000)) {
    loading.problem(child(at, 'mode'), 'more than a million in a second: the servers count in microseconds', {
      hint: '`mode: local`, or less',
    });
  }
  if (advance !== undefined && advance > (limit.burst ?? amount)) {
    loading.problem(child(at, 'advance'), 'more than may be spent at once', {
      hint: 'a part of it: each node may go over by as much (docs/limits.md)',
    });
  }
}

function scoreOf({ score, scorePerPeriod }: LimitConfig, at: string): PolicyLimit['score'] {
  if (scorePerPeriod === undefined || score === undefined) return null;
  if (score.responseHeader !== undefined) return { response_header: score.responseHeader.toLowerCase() };
  const { expression } = score;
  return expression === undefined ? null : { expression: { at: child(child(at, 'score'), 'expression'), expression } };
}

function sharingOf({ mode, fallback = 'local', advance, burst }: LimitConfig, amount: number): PolicySharing {
  return { mode, fallback, advance: advance ?? advanceOf(amount, burst) };
}

function advanceOf(amount: number, burst = amount): number {
  return Math.min(burst, Math.max(1, Math.floor(amount / ADVANCE_SHARE)));
}
