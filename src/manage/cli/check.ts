import { type Command, Option } from 'commander';
import { type Lookups, load } from '../../config/load.js';
import type { EngineProblem } from '../../config/policy.js';
import { flat, inOrder, type Problem, render, wantsColour } from '../../config/problem.js';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';

export type Compile = (policy: string, activate: boolean) => string;

/** `portcullis check`: everything that `run` would refuse or warn of. Exit code 0, or 1 when there are problems. */
export function addCheck(program: Command, compile: () => Promise<Compile>, lookups: Lookups): void {
  program
    .command('check')
    .description('tell every problem of a configuration, with its place')
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .addOption(new Option('--format <format>', 'how to tell').choices(['text', 'json']).default('text'))
    .action(async ({ config, format }: { config: string; format: 'text' | 'json' }) => {
      const remarks = await check(config, await compile(), lookups);
      process.stdout.write(format === 'json' ? asJson(remarks) : asText(config, remarks));
      process.exitCode = count(remarks, 'problem') > 0 ? 1 : 0;
    });
}

export async function check(file: string, compile: Compile, lookups: Lookups): Promise<Problem[]> {
  const loaded = await load(file, lookups);
  if (!loaded.parts) return loaded.remarks;
  const { problems } = JSON.parse(compile(JSON.stringify(loaded.parts.policy), false)) as { problems: EngineProblem[] };
  return inOrder([...loaded.remarks, ...loaded.place(problems)]);
}

function asText(file: string, remarks: readonly Problem[]): string {
  const colour = wantsColour(process.stdout);
  const counts = [number(remarks, 'problem'), number(remarks, 'warning')].filter(Boolean).join(', ');
  return `${[...remarks.map(remark => render(remark, colour)), `${file}: ${counts || 'no problems'}`].join('\n\n')}\n`;
}

function asJson(remarks: readonly Problem[]): string {
  return `${JSON.stringify({ problems: remarks.map(flat) }, null, 2)}\n`;
}

function number(remarks: readonly Problem[], severity: Problem['severity']): string {
  const found = count(remarks, severity);
  return found === 0 ? '' : `${found} ${severity}${found === 1 ? '' : 's'}`;
}

function count(remarks: readonly Problem[], severity: Problem['severity']): number {
  return remarks.filter(remark => remark.severity === severity).length;
}
