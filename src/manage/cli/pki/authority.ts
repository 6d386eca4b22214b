// `portcullis pki authority`: who issues client certificates.

import { type Command, Option } from 'commander';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import type { KeyType } from '../../pki/commands.js';
import type { authority, retirement } from '../../pki/shapes.js';
import { at, connect } from '../client.js';
import { usage } from '../fault.js';
import { folderOf, mustBeFree, readInput, write } from '../files.js';
import { count, dayAndDistance, moment, print, say } from '../print.js';
import { type ReachOptions, reaching } from '../reach.js';
import { pairs, shownTable } from '../table.js';
import { confirm, type Terminal } from '../terminal.js';
import { collect, namesOf } from './names.js';
import { addRevocationList } from './revocation-list.js';

type Authority = z.output<typeof authority>;
type Retirement = z.output<typeof retirement>;

/** Of keys that are made by the gateway. */
export const KEY_TYPES = Object.keys({
  'P-256': 0,
  'P-384': 0,
  Ed25519: 0,
  'RSA 3072': 0,
  'RSA 4096': 0,
} satisfies Record<KeyType, 0>);

/** Of certificates that would be locked out. */
const SHOWN = 20;
const ALL = 10_000;

export function addAuthority(pki: Command, terminal: Terminal): void {
  const group = pki.command('authority').description('authorities: who issues client certificates');
  addCreate(group, terminal);
  addImport(group, terminal);
  addRotate(group, terminal);
  addRetire(group, terminal);
  addRevocationList(group, terminal);
  reaching(group.command('list'))
    .description('list the authorities of the store')
    .action(async (options: ReachOptions) => {
      const found = await connect(options, terminal).list<Authority>('/pki/authorities', {}, ALL);
      print(terminal, options.output, found, () => listed(terminal, found.items));
    });
  reaching(group.command('show').argument('<name>', 'of the authority'))
    .description('show an authority, its generations and its profiles')
    .action(async (name: string, options: ReachOptions) => {
      const found = await connect(options, terminal).get<Authority>(at`/pki/authorities/${name}`);
      print(terminal, options.output, found, () => shown(terminal, found));
    });
  reaching(group.command('download').argument('<name>', 'of the authority'))
    .description('write what an authority trusts, or what issues, as PEM')
    .addOption(
      new Option('--which <which>', 'trusted: what is trusted now; issuing: what issues and what is above it')
        .choices(['trusted', 'issuing'])
        .default('trusted'),
    )
    .option('--out <file>', 'write there instead of standard output')
    .option('--force', 'over a file that is there')
    .action(async (name: string, options: ReachOptions & { which: string; out?: string; force?: boolean }) => {
      const { out, which, force } = options;
      if (out !== undefined) mustBeFree([out], force);
      const client = connect(options, terminal);
      const pem = await client.fetch('GET', at`/pki/authorities/${name}/certificates`, { query: { which } });
      if (out === undefined) {
        terminal.output.write(pem);
        return;
      }
      folderOf(out);
      write(out, pem, 'public', force);
      say(terminal, `${out} written`);
    });
}

interface Create extends ReachOptions {
  keyType?: string;
  validity?: string;
  commonName?: string;
  organization?: string;
  organizationalUnit?: string;
  country?: string;
  intermediate?: boolean;
  permit: string[];
  exclude: string[];
  profiles?: string;
}

function addCreate(group: Command, terminal: Terminal): void {
  reaching(group.command('create').argument('<name>', 'what it is called here and under `mtls.trust`'))
    .description('make an authority whose key the gateway keeps')
    .addOption(new Option('--key-type <type>', 'P-256 unless given').choices(KEY_TYPES))
    .option('--validity <time>', 'how long its certificate is good for; 10y unless given')
    .option('--common-name <text>', 'of its subject; its name unless given')
    .option('--organization <text>', 'of its subject')
    .option('--organizational-unit <text>', 'of its subject')
    .option('--country <code>', 'of its subject; two letters')
    .option('--intermediate', 'make a root too, that signs only what issues')
    .option('--permit <names>', 'only these may stand in its certificates: dns:example.com; repeatable', collect, [])
    .option('--exclude <names>', 'these never may: dns:internal.example.com; repeatable', collect, [])
    .option('--profiles <file>', 'its profiles, YAML or JSON')
    .action(async (name: string, options: Create) => {
      const { keyType, validity, intermediate, permit, exclude } = options;
      const subject = {
        ...given('common_name', options.commonName),
        ...given('organization', options.organization),
        ...given('organizational_unit', options.organizationalUnit),
        ...given('country', options.country),
      };
      const constrained = permit.length + exclude.length > 0;
      const body = {
        name,
        ...given('key_type', keyType),
        ...given('validity', validity),
        ...(Object.keys(subject).length > 0 && { subject }),
        ...(intermediate && { intermediate }),
        ...(constrained && { name_constraints: { permitted: namesOf(permit), excluded: namesOf(exclude) } }),
        ...profilesOf(options.profiles),
      };
      const made = await connect(options, terminal).send<Authority>('POST', '/pki/authorities', { body });
      print(terminal, options.output, made, () => shown(terminal, made));
    });
}

interface Brought extends ReachOptions {
  certificates?: string;
  intermediates?: string;
  key?: string;
  profiles?: string;
  stale?: string;
  grace?: string;
  fetch?: boolean;
  ocsp?: boolean;
}

function addImport(group: Command, terminal: Terminal): void {
  bringing(reaching(group.command('import').argument('<name>', 'what it is called here and under `mtls.trust`')))
    .description('take up an authority that exists: its certificates, or also its key')
    .option('--profiles <file>', 'its profiles, YAML or JSON')
    .addOption(
      new Option('--stale <way>', 'what no fresh news of a revocation means').choices(['hard', 'soft', 'grace']),
    )
    .option('--grace <seconds>', 'with `--stale grace`: how long a certificate passes without')
    .option('--fetch', 'fetch revocation lists from where its certificates say')
    .option('--ocsp', 'ask the responder that its certificates name')
    .action(async (name: string, options: Brought) => {
      const { stale, grace, fetch, ocsp } = options;
      const revocation = {
        ...given('stale', stale),
        ...given('grace_s', grace === undefined ? undefined : Number(grace)),
        ...given('fetch', fetch),
        ...given('ocsp', ocsp),
      };
      if (options.certificates === undefined) throw usage('`--certificates` is missing');
      const body = {
        name,
        ...broughtOf(options),
        ...(Object.keys(revocation).length > 0 && { revocation }),
        ...profilesOf(options.profiles),
      };
      const made = await connect(options, terminal).send<Authority>('POST', '/pki/authorities/import', { body });
      print(terminal, options.output, made, () => shown(terminal, made));
    });
}

interface Rotate extends Brought {
  overlap?: string;
  keyType?: string;
  validity?: string;
  newRoot?: boolean;
}

function addRotate(group: Command, terminal: Terminal): void {
  bringing(reaching(group.command('rotate').argument('<name>', 'of the authority')))
    .description('issue from a new key; what was trusted until now stays so for the overlap')
    .option('--overlap <time>', 'time in which every client gets a new certificate; 90d unless given')
    .addOption(new Option('--key-type <type>', 'hosted: another kind of key').choices(KEY_TYPES))
    .option('--validity <time>', 'hosted: another validity')
    .option('--new-root', 'hosted, with a root: a new root too')
    .action(async (name: string, options: Rotate) => {
      const body = {
        ...given('overlap', options.overlap),
        ...given('key_type', options.keyType),
        ...given('validity', options.validity),
        ...given('new_root', options.newRoot),
        ...broughtOf(options),
      };
      const client = connect(options, terminal);
      const made = await client.send<Authority>('POST', at`/pki/authorities/${name}/rotate`, { body });
      print(terminal, options.output, made, () => shown(terminal, made));
    });
}

function addRetire(group: Command, terminal: Terminal): void {
  reaching(group.command('retire').argument('<name>', 'of the authority'))
    .description('end an authority: shows who would be locked out, asks, then nobody is let in by it')
    .option('--dry-run', 'only show who would be locked out')
    .option('-y, --yes', 'do it without asking')
    .action(async (name: string, options: ReachOptions & { dryRun?: boolean; yes?: boolean }) => {
      const client = connect(options, terminal);
      const would = await client.get<Retirement>(at`/pki/authorities/${name}/retirement`);
      if (options.dryRun) {
        print(terminal, options.output, would, () => lockedOut(terminal, would));
        return;
      }
      terminal.error.write(lockedOut(terminal, would));
      await confirm(terminal, `Retire ${name}? Nobody is let in by its certificates from then on.`, options.yes);
      const done = await client.send<Authority>('POST', at`/pki/authorities/${name}/retire`, {
        body: { confirm: name },
      });
      print(terminal, options.output, done, () => `${name} is retired\n`);
    });
}

/** What an authority from elsewhere consists of. */
function bringing(command: Command): Command {
  return command
    .option('--certificates <file>', 'imported: its certificates, PEM')
    .option('--intermediates <file>', 'imported: what chains need and clients do not send, PEM')
    .option('--key <file>', 'imported: its private key, PEM; then it issues here');
}

function broughtOf({ certificates, intermediates, key }: Brought): object {
  const pem = (file: string | undefined) => (file === undefined ? undefined : readInput(file).toString('utf8'));
  return {
    ...given('certificates', pem(certificates)),
    ...given('intermediates', pem(intermediates)),
    ...given('key', pem(key)),
  };
}

function profilesOf(file: string | undefined): object {
  if (file === undefined) return {};
  try {
    return { profiles: parseYaml(readInput(file).toString('utf8')) };
  } catch (error) {
    throw usage(`${file} holds no profiles: ${(error as Error).message.split('\n', 1)[0]}`);
  }
}

/** Nothing of what was not said: the API's defaults count. */
export function given<V>(name: string, value: V | undefined): Record<string, V> {
  return value === undefined ? {} : { [name]: value };
}

function listed(terminal: Terminal, authorities: readonly Authority[]): string {
  if (authorities.length === 0) return 'no authorities yet: `portcullis pki authority create` makes one\n';
  return shownTable(
    terminal,
    ['name', 'kind', 'state', 'issues', 'key', 'ends', 'generations'],
    authorities.map(one => {
      const [newest] = one.generations;
      const trusted = one.generations.filter(({ state }) => state === 'issuing' || state === 'trusted').length;
      return [
        one.name,
        one.kind,
        one.state,
        one.issues ? 'yes' : 'no',
        one.key_type ?? '-',
        dayAndDistance(newest?.not_after, terminal.now()),
        `${trusted} trusted`,
      ];
    }),
  );
}

function shown(terminal: Terminal, one: Authority): string {
  const { revocation } = one;
  const stale = revocation.stale === 'grace' ? `grace of ${revocation.grace_s} s` : revocation.stale;
  const looks = [revocation.fetch && 'lists are fetched', revocation.ocsp && 'OCSP is asked'].filter(Boolean);
  const rows: [string, string][] = [
    ['name', one.name],
    ['kind', one.root ? `${one.kind}, below a root of its own` : one.kind],
    ['state', one.state],
    ['issues', one.issues ? 'yes' : 'no'],
    ['key', one.key_type ?? '-'],
    ['created', moment(one.created_at)],
    ['revocation', [stale, ...looks].join(', ')],
    ['profiles', Object.keys(one.profiles).join(', ')],
  ];
  const generations = shownTable(
    terminal,
    ['generation', 'state', 'subject', 'ends', 'trusted until', 'key id'],
    one.generations.map(({ number, state, subject, not_after, trusted_until, key_id }) => [
      String(number),
      state,
      subject,
      dayAndDistance(not_after, terminal.now()),
      dayAndDistance(trusted_until, terminal.now()),
      key_id,
    ]),
  );
  return `${pairs(rows)}\n${generations}`;
}

function lockedOut(terminal: Terminal, would: Retirement): string {
  const { certificates_in_use, certificates_valid, hosts, rules, in_use } = would;
  const trusting = [...hosts, ...rules.map(({ host, path }) => (path === '/' ? host : host + path))];
  const lines = [
    `${count(certificates_in_use, 'certificate')} of it came in the last 30 days; ${certificates_valid} that it issued here have not expired.`,
    trusting.length > 0 ? `It is trusted by ${[...new Set(trusting)].join(', ')}.` : 'No host trusts it.',
  ];
  if (in_use.length === 0) return `${lines.join('\n')}\n`;
  const rows = in_use
    .slice(0, SHOWN)
    .map(({ subject, last_seen, requests, hosts }) => [subject, moment(last_seen), String(requests), hosts.join(', ')]);
  const more = certificates_in_use > SHOWN ? `and ${certificates_in_use - SHOWN} more\n` : '';
  return `${lines.join('\n')}\n\n${shownTable(terminal, ['locked out', 'last seen', 'requests', 'hosts'], rows)}${more}\n`;
}
