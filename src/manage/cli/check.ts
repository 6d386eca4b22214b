import { type Command, Option } from 'commander';
import type { Lookups } from '../../config/load.js';
import type { EngineProblem, Policy } from '../../config/policy.js';
import { flat, inOrder, type Problem, render, wantsColour } from '../../config/problem.js';
import { limiting, limitsTable } from './limits-table.js';
import { callersTable, enforced, table } from './operations.js';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';
import { requiresOf, type StatedByHost } from './requirements.js';

export type Compile = (policy: string, activate: boolean) => string;

/**
 * `portcullis check`: everything that `run` would refuse or warn of, what it would enforce of each described operation,
 * and its limits. Exit code 0, or 1 when there are problems.
 */
export function addCheck(program: Command, compile: () => Promise<Compile>, lookups: Lookups): void {
  program
    .command('check')
    .description(
      'tell every problem of a configuration, with its place, and what is enforced of each operation and limit',
    )
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .option('--requires', 'show only which credential each operation requires, and who says so')
    .addOption(new Option('--format <format>', 'how to tell').choices(['text', 'json']).default('text'))
    .action(async ({ config, format, requires = false }: Options) => {
      const checked = await check(config, await compile(), lookups);
      const show = requires ? callersTable : enforcedTables;
      process.stdout.write(format === 'json' ? asJson(checked) : asText(config, checked, show));
      process.exitCode = checked.policy ? 0 : 1;
    });
}

interface Options {
  config: string;
  format: 'text' | 'json';
  requires?: boolean;
}

interface Checked {
  remarks: Problem[];
  /** null when there are problems: none of it would be enforced. */
  policy: Policy | null;
  /** Who said what operations require. */
  stated: StatedByHost;
}

export async function check(file: string, compile: Compile, lookups: Lookups): Promise<Checked> {
  const { load } = await import('../../config/load.js');
  const loaded = await load(file, lookups);
  if (!loaded.parts) return { remarks: loaded.remarks, policy: null, stated: new Map() };
  const { policy, stated } = loaded.parts;
  const { problems } = JSON.parse(compile(JSON.stringify(policy), false)) as { problems: EngineProblem[] };
  const remarks = inOrder([...loaded.remarks, ...loaded.place(problems)]);
  return { remarks, policy: count(remarks, 'problem') > 0 ? null : policy, stated };
}

function enforcedTables(policy: Policy, stated: StatedByHost): string {
  return [table(policy, stated), limitsTable(policy)].filter(Boolean).join('\n\n');
}

/** The verdict last: it is what stays on the screen. */
function asText(file: string, { remarks, policy, stated }: Checked, show: typeof table): string {
  const colour = wantsColour(process.stdout);
  const operations = policy ? show(policy, stated) : '';
  const counts = [number(remarks, 'problem'), number(remarks, 'warning')].filter(Boolean).join(', ');
  const parts = [operations, ...remarks.map(remark => render(remark, colour)), `${file}: ${counts || 'no problems'}`];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function asJson({ remarks, policy, stated }: Checked): string {
  const operations = policy ? enforced(policy, stated) : [];
  // What every other request has to come with.
  const others = (policy?.hosts ?? []).map(({ name }) => ({
    host: name,
    requires: policy && requiresOf(policy, stated, name, null),
  }));
  const limits = policy ? limiting(policy) : [];
  return `${JSON.stringify({ problems: remarks.map(flat), operations, others, limits }, null, 2)}\n`;
}

function number(remarks: readonly Problem[], severity: Problem['severity']): string {
  const found = count(remarks, severity);
  return found === 0 ? '' : `${found} ${severity}${found === 1 ? '' : 's'}`;
}

function count(remarks: readonly Problem[], severity: Problem['severity']): number {
  return remarks.filter(remark => remark.severity === severity).length;
}
