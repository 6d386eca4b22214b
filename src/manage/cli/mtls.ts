// `portcullis mtls`: which hosts and paths demand a client certificate, and whom that would shut out.

import { type Command, Option } from 'commander';
import type { Effect, ShownRule as Rule } from '../mtls/routes.js';
import { at, type Client, connect, type Page } from './client.js';
import { usage } from './fault.js';
import { count, moment, print, say } from './print.js';
import { type ReachOptions, reaching } from './reach.js';
import { shownTable } from './table.js';
import { confirm, type Terminal } from './terminal.js';

type Action = Rule['action'];

interface Place extends ReachOptions {
  path: string;
  yes?: boolean;
}

/** Of a table in a sentence's company; the API has the rest. */
const SHOWN = 10;

export function addMtls(program: Command, terminal: Terminal): void {
  const mtls = program.command('mtls').description('demand client certificates, by host and path');
  const placed = (command: Command) =>
    reaching(command.argument('<host>', 'as in the configuration: api.example.com or *.example.com')).option(
      '--path <prefix>',
      'only below this prefix of whole segments',
      '/',
    );
  const trusting = (command: Command) =>
    placed(command).requiredOption('--trust <names>', 'authorities whose certificates count, with commas between');
  const changing = (command: Command) => command.option('-y, --yes', 'do it without asking');

  changing(trusting(mtls.command('enable')))
    .description('demand a certificate: shows from the last day’s traffic what that would do, asks, then does it')
    .addOption(
      new Option('--mode <mode>', 'log: record what would be denied; block: deny it')
        .choices(['log', 'block'])
        .default('block'),
    )
    .action(async (host: string, options: Place & { trust: string; mode: Action }) => {
      const client = connect(options, terminal);
      await enable(terminal, client, host, options);
    });
  trusting(mtls.command('preview'))
    .description('tell from the last day’s traffic what `enable` would do')
    .action(async (host: string, options: Place & { trust: string }) => {
      const preview = await previewOf(connect(options, terminal), host, options.path, options.trust);
      print(terminal, options.output, preview, () => words(terminal, preview, 'block'));
    });
  changing(placed(mtls.command('promote')))
    .description('from log to block: what a rule only recorded is denied from now on')
    .action(async (host: string, options: Place) => {
      await promote(terminal, connect(options, terminal), host, options);
    });
  changing(placed(mtls.command('disable')))
    .description('take a rule away: what the configuration says counts again')
    .action(async (host: string, options: Place) => {
      const client = connect(options, terminal);
      const rule = await ruleAt(client, host, options.path);
      await confirm(terminal, `Take away the rule ${named(rule)}?`, options.yes);
      const { etag } = await client.read(at`/mtls/rules/${rule.id}`);
      await client.send('DELETE', at`/mtls/rules/${rule.id}`, { etag });
      print(terminal, options.output, rule, () => `${named(rule)}: what the configuration says counts again\n`);
    });
  reaching(mtls.command('list'))
    .description('list the rules that were made here')
    .action(async (options: ReachOptions) => {
      const rules = await connect(options, terminal).get<Page<Rule>>('/mtls/rules');
      print(terminal, options.output, rules, () =>
        rules.items.length === 0 ? 'no rules: what the configuration says counts\n' : listed(terminal, rules.items),
      );
    });
}

async function enable(
  terminal: Terminal,
  client: Client,
  host: string,
  { path, trust, mode, output, yes }: Place & { trust: string; mode: Action },
): Promise<void> {
  const [preview, there] = [await previewOf(client, host, path, trust), await findRule(client, host, path)];
  const names = namesOf(trust);
  const where = placeOf(host, path);
  say(terminal, there ? `There is a rule already: ${described(there)}` : `${where} has no rule yet.`);
  terminal.error.write(words(terminal, preview, mode));
  const what = mode === 'block' ? 'Demand' : 'Record what would happen when demanding';
  await confirm(terminal, `${what} a certificate of ${names.join(' or ')} at ${where}?`, yes);
  const wanted = { trust: names, mode: 'require', action: mode };
  const rule = there
    ? await change(client, there, wanted)
    : await client.send<Rule>('POST', '/mtls/rules', { body: { host, path, ...wanted } });
  print(terminal, output, rule, () => `${described(rule)}\n`);
  if (mode === 'log')
    say(terminal, `deny it with: portcullis mtls promote ${host}${path === '/' ? '' : ` --path ${path}`}`);
}

async function promote(terminal: Terminal, client: Client, host: string, { path, output, yes }: Place): Promise<void> {
  const rule = await ruleAt(client, host, path);
  if (rule.action === 'block') {
    print(terminal, output, rule, () => `${named(rule)} denies already\n`);
    return;
  }
  terminal.error.write(words(terminal, await previewOf(client, host, path, rule.trust.join(',')), 'block'));
  await confirm(terminal, `Deny what ${named(rule)} only recorded?`, yes);
  const changed = await change(client, rule, { action: 'block' });
  print(terminal, output, changed, () => `${described(changed)}\n`);
}

async function change(client: Client, { id }: Rule, wanted: object): Promise<Rule> {
  const { etag } = await client.read(at`/mtls/rules/${id}`);
  return client.send('PATCH', at`/mtls/rules/${id}`, { body: wanted, etag });
}

function previewOf(client: Client, host: string, path: string, trust: string): Promise<Effect> {
  return client.get('/mtls/preview', { host, path, trust: namesOf(trust).join(',') });
}

function namesOf(trust: string): string[] {
  const names = trust
    .split(',')
    .map(name => name.trim())
    .filter(Boolean);
  if (names.length === 0) throw usage('`--trust` names no authority');
  return [...new Set(names)];
}

async function findRule(client: Client, host: string, path: string): Promise<Rule | undefined> {
  const { items } = await client.get<Page<Rule>>('/mtls/rules');
  return items.find(rule => rule.host === host && trimmed(rule.path) === trimmed(path));
}

async function ruleAt(client: Client, host: string, path: string): Promise<Rule> {
  const rule = await findRule(client, host, path);
  if (rule) return rule;
  throw usage(`there is no rule for ${placeOf(host, path)}`, '`portcullis mtls list` shows them');
}

/** `/v2/` and `/v2` are one prefix. */
function trimmed(path: string): string {
  return path === '/' ? path : path.replace(/\/$/, '');
}

function placeOf(host: string, path: string): string {
  return path === '/' ? host : `${host}${path}`;
}

function named({ host, path }: Rule): string {
  return placeOf(host, path);
}

function described(rule: Rule): string {
  const does = {
    off: 'client certificates are not looked at',
    request: `certificates of ${rule.trust.join(', ')} are verified when they are shown`,
    require: `a certificate of ${rule.trust.join(' or ')} is demanded`,
  }[rule.mode];
  const only = rule.mode === 'require' && rule.action === 'log' ? '; what fails is recorded, not denied' : '';
  return `${named(rule)}: ${does}${only}`;
}

/** What a rule would have done to the requests of the last day. */
function words(terminal: Terminal, preview: Effect, mode: Action): string {
  const { since, requests, valid, absent, invalid, operations, undescribed, losing } = preview;
  if (requests === 0) return `No request was seen there since ${moment(since)}: nothing can be foretold.\n`;
  const denied = absent + invalid;
  const numbers = [requests, valid, absent, invalid].map(number => number.toLocaleString('en'));
  const widest = Math.max(...numbers.map(number => number.length));
  const [all, good, none, bad] = numbers.map(number => number.padStart(widest));
  const lines = [
    `Since ${moment(since)} there were`,
    `  ${all} requests, of which`,
    `  ${good} had a valid certificate,`,
    `  ${none} had none,`,
    `  ${bad} had one that is not accepted.`,
    denied === 0
      ? 'None of them would be denied for want of a certificate.'
      : `${share(denied, requests)} would be denied${mode === 'log' ? '; with `--mode log` they pass and are recorded' : ''}.`,
  ];
  if (undescribed > 0) {
    lines.push(
      `${count(undescribed, 'request')} of no described operation counted, wherever below the host they went.`,
    );
  }
  const parts = [`${lines.join('\n')}\n`];
  if (operations.length > 0) {
    const rows = operations.slice(0, SHOWN).map(({ id, requests, denied }) => [id, String(denied), String(requests)]);
    parts.push(`${shownTable(terminal, ['operation', 'denied', 'of'], rows)}${rest(operations.length, 'operation')}`);
  }
  if (losing.count > 0) {
    const rows = losing.certificates
      .slice(0, SHOWN)
      .map(({ subject, authority, last_seen }) => [subject, authority, moment(last_seen)]);
    parts.push(
      `${count(losing.count, 'certificate')} would lose access: accepted now, of authorities that the rule does not trust.\n` +
        `${shownTable(terminal, ['subject', 'authority', 'last seen'], rows)}${rest(losing.count, 'certificate')}`,
    );
  }
  return `${parts.join('\n')}\n`;
}

function share(part: number, all: number): string {
  const percent = (100 * part) / all;
  const written = percent >= 0.1 ? `${percent.toFixed(1)} %` : 'less than 0.1 %';
  return `${count(part, 'request')} (${written})`;
}

function rest(all: number, what: string): string {
  return all > SHOWN ? `and ${count(all - SHOWN, `${what} more`, `${what}s more`)}; all with \`-o json\`\n` : '';
}

function listed(terminal: Terminal, rules: readonly Rule[]): string {
  return shownTable(
    terminal,
    ['host', 'path', 'mode', 'action', 'trust', 'since'],
    rules.map(({ host, path, mode, action, trust, created_at }) => [
      host,
      path,
      mode,
      action,
      trust.join(', '),
      moment(created_at),
    ]),
  );
}
