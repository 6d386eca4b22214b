// `portcullis limits recommend` and `simulate`: limits out of what was asked.

import { type Command, Option } from 'commander';
import type { z } from 'zod';
import type { recommendation, recommendations, simulated } from '../limits/volume-shapes.js';
import { connect } from './client.js';
import { usage } from './fault.js';
import { MOST_AT_ONCE, numberOf } from './limit.js';
import { count, moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { pairs, shownTable } from './table.js';
import type { Terminal } from './terminal.js';
import { whenPast } from './time.js';

type Recommendation = z.output<typeof recommendation>;
type Recommendations = z.output<typeof recommendations>;
type Simulated = z.output<typeof simulated>;

type Recommend = ReachOptions & { host?: string; since?: string; yaml?: true };
type Simulate = ReachOptions & {
  host?: string;
  since?: string;
  requests: string;
  period: string;
  burst?: string;
  counters: 'local' | 'fleet';
  most: string;
};

const OPERATION = '`operationId`, else `METHOD /template`; `-` for what is not described';
const SHOWN = '20';

export function addVolume(group: Command, terminal: Terminal): void {
  reaching(group.command('recommend').argument('[operation]', `${OPERATION}; all unless given`))
    .description(
      'propose limits by what was asked of each operation in seven days, with reasons and as a configuration',
    )
    .option('--host <host>', 'of this host')
    .option('--since <when>', 'by what was asked since then: 2d, 2027-01-31')
    .option('--yaml', 'print `limits.rules` alone, in log mode')
    .action(async (operation: string | undefined, { host, since, yaml, ...options }: Recommend) => {
      const query = { host, operation, since: since && whenPast(since, '--since', terminal.now()) };
      const found = await connect(options, terminal).get<Recommendations>('/limits/recommendations', query);
      print(terminal, options.output, found, () => (yaml ? found.yaml : told(terminal, found, operation)));
      if (found.items.length === 0) say(terminal, NOTHING);
      else if (yaml)
        say(terminal, 'put this into the configuration: it records whom it would refuse, until `action: block`');
    });
  reaching(group.command('simulate').argument('<operation>', OPERATION))
    .description('tell which sessions a limit would have refused in the last seven days')
    .requiredOption('--requests <number>', 'that each session may make in a period')
    .requiredOption('--period <length>', 'the time that this speaks of: 1s to 24h')
    .option('--burst <number>', 'at once; as many as in a period unless given')
    .addOption(
      new Option('--counters <which>', 'each gateway counts by itself, or all together')
        .choices(['local', 'fleet'])
        .default('local'),
    )
    .option('--host <host>', 'where several have such an operation')
    .option('--since <when>', 'by what was asked since then: 2d, 2027-01-31')
    .option('--most <number>', 'how many sessions to list', SHOWN)
    .action(async (operation: string, options: Simulate) => {
      const { host, since, requests, period, burst, counters, most, output } = options;
      const body = {
        ...{ host, operation, counters, most: numberOf(most, '--most', MOST_AT_ONCE) },
        requests_per_period: wholeOf(requests, '--requests'),
        period_seconds: secondsOf(period),
        burst: burst === undefined ? undefined : wholeOf(burst, '--burst'),
        since: since && whenPast(since, '--since', terminal.now()),
      };
      const found = await connect(options, terminal).send<Simulated>('POST', '/limits/simulations', { body });
      print(terminal, output, found, () => outcome(terminal, found));
      for (const note of found.notes) say(terminal, note);
    });
}

const NOTHING = 'nothing is recorded yet: it is, in steps of ten minutes, from the first request on';

function wholeOf(written: string, option: string): number {
  const number = Number(written);
  if (/^\d{1,10}$/.test(written) && number >= 1) return number;
  throw usage(`${option}: \`${written}\` is no whole number above 0`);
}

const SECONDS = { s: 1, m: 60, h: 3_600 } as const;

/** As in the configuration, in whole seconds. */
function secondsOf(written: string): number {
  const [, digits, unit] = /^(\d{1,5})(s|m|h)$/.exec(written) ?? [];
  const seconds = Number(digits) * SECONDS[unit as keyof typeof SECONDS];
  if (seconds >= 1 && seconds <= 86_400) return seconds;
  throw usage(`--period: \`${written}\` is no length from 1s to 24h`, 'such as `10s`, `1m` or `1h`');
}

function told(terminal: Terminal, { items, yaml }: Recommendations, operation: string | undefined): string {
  if (items.length === 0) return '';
  const table = shownTable(
    terminal,
    ['host', 'operation', 'p50', 'p90', 'p99', 'limit', 'looks like', 'confidence'],
    items.map(one => [
      ...[one.host, one.operation, String(one.p50), String(one.p90), String(one.p99)],
      ...[`${one.requests_per_period} in ${one.period_seconds / 60} min`, one.class, one.confidence],
    ]),
  );
  return operation === undefined ? table : `${items.map(described).join('\n')}\n${yaml}`;
}

function described(one: Recommendation): string {
  const { share, anonymous, requests } = one;
  const rows: [string, string][] = [
    ['operation', `${one.operation} of ${one.host}`],
    ['limit', `${one.requests_per_period} requests of a ${one.counted_by} in ${one.period_seconds / 60} min`],
    ['formula', one.formula],
    ['looks like', `${one.class}: ${one.reason}`],
    ['confidence', `${one.confidence}: ${one.confidence_reason}`],
    ['requests of a session in ten minutes', `p50 ${one.p50}, p90 ${one.p90}, p99 ${one.p99}`],
    ['seen', `${one.sessions} sessions of ten minutes, ${one.buckets} times ten minutes, ${count(one.days, 'day')}`],
    ['from', `${moment(one.from)} to ${moment(one.until)}, by ${count(one.nodes, 'process', 'processes')}`],
    ...(anonymous > 0
      ? [['without a session', `${anonymous} of ${requests} requests, by their address`] as [string, string]]
      : []),
    ...(share < 1 ? [['sampled', `one of ${Math.round(1 / share)} sessions, at the least`] as [string, string]] : []),
  ];
  return pairs(rows);
}

function outcome(terminal: Terminal, found: Simulated): string {
  const { sessions, others, hits, refused_at_least, buckets, requests } = found;
  const summary = pairs([
    ['operation', `${found.operation} of ${found.host}`],
    ['recorded', `${requests} requests, ${buckets} times ten minutes, since ${moment(found.from)}`],
    ['hit for certain', `${count(sessions.certain, 'session')}, ${count(refused_at_least, 'request')} at least`],
    ['hit possibly', count(sessions.possible, 'session')],
    ['never hit', count(sessions.spared, 'session')],
    ['not named', `${others.sessions} sessions of ten minutes: ${OTHERS[others.verdict](others.certain)}`],
  ]);
  if (hits.length === 0) return summary;
  const table = shownTable(
    terminal,
    ['session', 'hit', 'requests', 'refused at least', 'first before'],
    hits.map(({ session, verdict, requests, refused_at_least, first_refused_until }) => [
      ...[session, verdict, String(requests), String(refused_at_least), moment(first_refused_until)],
    ]),
  );
  return `${summary}\n${table}`;
}

const OTHERS: Record<Simulated['others']['verdict'], (certain: number) => string> = {
  certain: certain => `${certain} hit for certain`,
  possible: () => 'hit possibly',
  spared: () => 'never hit',
};
