import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import type { Lookups } from '../../config/load.js';
import { printable, render, wantsColour } from '../../config/problem.js';
import { limitsOf } from './limits-table.js';
import { asCall, type EncodeMessage } from './messages.js';
import { CONFIG_OPTION, DEFAULT_FILE } from './options.js';
import { type Request, type Response, readCurl, readRequest, readResponse, words } from './request.js';
import { inWords, requiresOf } from './requirements.js';

/** Of the native door. */
export type Explain = (
  policy: string,
  head: string,
  body: Uint8Array,
  responseHead?: string | null,
  responseBody?: Uint8Array | null,
) => string;

/** The native door, as far as this command needs it. */
export interface Explaining {
  explain: Explain;
  encodeMessage: EncodeMessage;
}

/** native/engine/src/explain.rs */
export interface Explanation {
  host: string | null;
  operation: string | null;
  findings: {
    reason: string;
    status: number;
    title: string;
    action: 'off' | 'log' | 'block' | 'strip';
    message: number | null;
    errors: { location: string; class: string; pointer: string; message: string }[];
  }[];
  read: { message: number; path: string; values: string[] }[];
  unchecked: string[];
  stripped: string | null;
}

/**
 * `portcullis explain`: which operation a request is, and everything it violates, offline. Exit code 0, or 1 when
 * something would be blocked.
 */
export function addExplain(program: Command, door: () => Promise<Explaining>, lookups: Lookups): void {
  program
    .command('explain')
    .description(
      'say which operation a request is, what it requires and what it violates: a file as on the wire, or a curl line',
    )
    .argument('<request...>', 'a file (`-` for standard input), or `curl` and its arguments behind `--`')
    .option(...CONFIG_OPTION, DEFAULT_FILE)
    .option('-r, --response <file>', 'the response to look at as well, as `curl -i` prints it')
    .option('-m, --message <message>', MESSAGE, (one: string, before: string[]) => [...before, one], [])
    .addOption(new Option('--format <format>', 'how to tell').choices(['text', 'json']).default('text'))
    .addHelpText('after', LIMITS)
    .action(async (written: string[], { config, response, message, format }: Options) => {
      const { load } = await import('../../config/load.js');
      const loaded = await load(config, lookups);
      if (!loaded.parts || loaded.remarks.some(({ severity }) => severity === 'problem')) {
        const problems = loaded.remarks.filter(({ severity }) => severity === 'problem');
        process.stderr.write(`${problems.map(problem => render(problem, wantsColour(process.stderr))).join('\n\n')}\n`);
        process.exitCode = 2;
        return;
      }
      const asked = requestOf(written);
      const answered = response === undefined ? null : readResponse(readFileSync(response));
      const { policy, stated } = loaded.parts;
      const { explain, encodeMessage } = await door();
      const request = message.length > 0 ? asCall(asked, message, policy, encodeMessage) : asked;
      const found = explained(explain, JSON.stringify(policy), request, answered);
      const requires = found.host === null ? null : requiresOf(policy, stated, found.host, found.operation);
      const credentials = policy.hosts.find(({ name }) => name === found.host)?.credentials;
      const callers =
        requires && credentials ? `  ${requires.action}: requires ${inWords(requires, credentials)}` : null;
      const limits = found.host === null ? null : limitsOf(policy, found.host, found.operation);
      const above = [callers, ...limitLines(limits)].filter(line => line !== null);
      const shown =
        format === 'json'
          ? `${JSON.stringify({ ...found, requires, limits }, null, 2)}\n`
          : asText(request, found, above);
      process.stdout.write(shown);
      process.exitCode = found.findings.some(({ action }) => action === 'block' || action === 'strip') ? 1 : 0;
    });
}

interface Options {
  config: string;
  response?: string;
  message: string[];
  format: 'text' | 'json';
}

const MESSAGE =
  'makes the request a call of gRPC with this message: JSON, `@file`, `hex:...` or `base64:...`; repeatable';
const LIMITS = `
What the operation requires of its callers is told, but not whether the request has it; which limits there are, but not
how much of them is left. Client certificates and rules are
not looked at: they need a connection.`;

function requestOf(written: readonly string[]): Request {
  const [first = '', ...rest] = written;
  if (first === 'curl') return readCurl(rest);
  if (rest.length > 0) throw new Error('one file, or `curl` and its arguments');
  if (/^curl\s/.test(first)) return readCurl(words(first).slice(1));
  return readRequest(readFileSync(first === '-' ? 0 : first));
}

export function explained(explain: Explain, policy: string, request: Request, response: Response | null): Explanation {
  const lines = request.fields.map(([name, value]) => `${name}:${value}\n`).join('');
  const head = `${request.method} ${request.target}\n${lines}`;
  const { status, fields, body } = response ?? { status: 0, fields: [], body: null };
  const told = response === null ? null : JSON.stringify({ status, fields });
  return JSON.parse(explain(policy, head, request.body, told, body)) as Explanation;
}

function limitLines(limits: ReturnType<typeof limitsOf> | null): string[] {
  return [
    ...(limits?.always ?? []).map(one => `  limit ${one}`),
    ...(limits?.if ?? []).map(one => `  limit ${one}, if its expression holds`),
  ];
}

/** `above`: what is required of who calls, and how often it may. */
function asText({ method, target }: Request, found: Explanation, above: readonly string[]): string {
  const lines = [`${method} ${target}`];
  lines.push(
    found.operation === null
      ? `  no operation${found.host === null ? '' : ` of ${found.host}`} matches`
      : `  operation ${found.operation} of ${found.host}`,
  );
  lines.push(...above.map(printable));
  for (const { reason, status, title, action, message, errors } of found.findings) {
    lines.push(`  ${action}: ${reason} (${status})${message === null ? '' : `, message ${message}:`} ${title}`);
    for (const { location, pointer, message, class: kind } of errors) {
      lines.push(`    ${location} ${pointer || '(whole)'}: ${message} [${kind}]`);
    }
  }
  for (const { message, path, values } of found.read) {
    lines.push(printable(`  grpc.message["${path}"] of message ${message}: ${JSON.stringify(values)}`));
  }
  if (found.findings.length === 0) lines.push('  nothing is violated');
  for (const what of found.unchecked) lines.push(`  not looked at: ${what}`);
  if (found.stripped !== null) lines.push('  the response goes on as:', `    ${found.stripped}`);
  return `${lines.join('\n')}\n`;
}
