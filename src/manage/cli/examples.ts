// Examples of every command, in one list: `--help` shows them, docs/cli.md too.

import type { Command } from 'commander';

/** By the words after `portcullis`; `#` begins what is said about the line below. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  run: ['portcullis run', 'portcullis run -c /etc/portcullis/portcullis.yaml'],
  upgrade: [
    '# after another version was installed: the one before goes on if it cannot serve',
    'portcullis upgrade',
    'portcullis upgrade -c /etc/portcullis/portcullis.yaml -o json',
  ],
  check: [
    'portcullis check',
    '# who may call what: a line an operation',
    'portcullis check --requires',
    'portcullis check -c portcullis.yaml --format json',
  ],
  explain: [
    'portcullis explain request.http',
    `portcullis explain -- curl -X POST https://api.example.com/orders --json '{"sku":"ABC-1"}'`,
    `portcullis explain "curl 'https://api.example.com/orders?limit=ten'"`,
    '# a call of gRPC with its message',
    `portcullis explain --message '{"sku":"ABC-1"}' -- curl https://api.example.com/shop.v1.Orders/Place`,
  ],
  schema: ['portcullis schema > portcullis.schema.json'],
  version: ['portcullis version'],
  completion: [
    '# bash, in ~/.bashrc',
    'source <(portcullis completion bash)',
    '# zsh, in a folder of $fpath',
    'portcullis completion zsh > ~/.zfunc/_portcullis',
    '# fish',
    'portcullis completion fish > ~/.config/fish/completions/portcullis.fish',
  ],
  login: [
    '# asks for the token without showing it',
    'portcullis login',
    'portcullis login --admin https://gateway.internal:9090 --ca admin-ca.pem --token-file token',
  ],
  logout: ['portcullis logout'],
  'pki authority create': [
    'portcullis pki authority create devices',
    'portcullis pki authority create partners --key-type P-384 --validity 20y --intermediate',
    '# its certificates can only ever name hosts below example.com',
    'portcullis pki authority create vehicles --permit dns:example.com --organization "Example Ltd"',
  ],
  'pki authority import': [
    'portcullis pki authority import partners --certificates partners.pem',
    '# with its key it issues here',
    'portcullis pki authority import devices --certificates ca.pem --key ca.key',
  ],
  'pki authority rotate': ['portcullis pki authority rotate devices --overlap 90d'],
  'pki authority retire': ['# shows who would lose access, and asks', 'portcullis pki authority retire old-devices'],
  'pki authority revocation-list': ['portcullis pki authority revocation-list partners partners.crl'],
  'pki authority list': [
    'portcullis pki authority list',
    'portcullis pki authority list -o json | jq -r .items[].name',
  ],
  'pki authority show': ['portcullis pki authority show devices'],
  'pki authority download': ['portcullis pki authority download devices --out devices.pem'],
  'pki issue': [
    '# key and certificate, made by the gateway: sensor-1/sensor-1.pem, sensor-1/sensor-1.key',
    'portcullis pki issue sensor-1 --authority devices --out sensor-1',
    '# the device keeps its key',
    'portcullis pki issue sensor-2 --authority devices --csr sensor-2.csr --out sensor-2',
    '# for a phone or a browser; asks for a password',
    'portcullis pki issue alice --authority people --email alice@example.com --format pkcs12',
    '# a device a line; the first line names the columns: name,dns,email,uri,ip,partner,password',
    'portcullis pki issue --authority devices --bulk devices.csv --out devices',
  ],
  'pki renew': [
    'portcullis pki renew https://api.example.com --cert sensor-1.pem --key sensor-1.key --force',
    '# with a key of its own; the old one stays good until its end',
    'portcullis pki renew https://api.example.com --cert sensor-1.pem --key sensor-1.key --new-key --out renewed',
  ],
  'pki revoke': [
    'portcullis pki revoke 5F3A90B1 --authority devices --reason keyCompromise',
    '# everything that this partner holds, without asking',
    'portcullis pki revoke --partner acme --yes',
    'portcullis pki revoke --subject CN=sensor-1 --dry-run',
  ],
  'pki hold': ['portcullis pki hold --subject CN=sensor-1'],
  'pki restore': ['portcullis pki restore --subject CN=sensor-1'],
  'pki revocations': ['portcullis pki revocations --state held'],
  'pki list': [
    'portcullis pki list --authority devices',
    '# what ends within 30 days',
    'portcullis pki list --expiring 30d',
  ],
  'pki show': [
    'portcullis pki show 5F3A90B1 --authority devices',
    'portcullis pki show 5F3A90B1 --authority devices --pem',
  ],
  'pki inspect': [
    'portcullis pki inspect sensor-1.pem',
    '# would this host take it?',
    'portcullis pki inspect sensor-1.pem --host api.example.com',
    'portcullis pki inspect bundle.p12 request.csr revoked.crl',
  ],
  'pki enrolment create': [
    'portcullis pki enrolment create "line-4-*" --authority devices --uses 100 --expires 7d --out secret',
  ],
  'pki enrolment list': ['portcullis pki enrolment list'],
  'pki enrolment revoke': ['portcullis pki enrolment revoke 9f2c4e1ab370'],
  'mtls enable': [
    '# shows what it would do, and asks',
    'portcullis mtls enable api.example.com --trust devices,partners',
    '# first only recorded',
    'portcullis mtls enable api.example.com --trust devices --path /v2 --mode log',
  ],
  'mtls preview': ['portcullis mtls preview api.example.com --trust devices'],
  'mtls promote': ['portcullis mtls promote api.example.com --path /v2'],
  'mtls disable': ['portcullis mtls disable api.example.com --path /v2'],
  'mtls list': ['portcullis mtls list'],
  'jwt list': ['portcullis jwt list', "portcullis jwt list -o json | jq '.items[] | {name, state: .key_set.state}'"],
  'jwt show': ['portcullis jwt show customers'],
  'jwt refresh': ['portcullis jwt refresh customers'],
  'jwt inspect': [
    'portcullis jwt inspect customers < token',
    '# or typed, without echo',
    'portcullis jwt inspect customers',
  ],
  'jwt revoke': [
    'portcullis jwt revoke customers --subject user-4711 --why "laptop stolen"',
    '# one token that was found somewhere',
    'portcullis jwt revoke customers --from-stdin --yes < token',
  ],
  'jwt revocations': ['portcullis jwt revocations customers --subject user-4711'],
  'jwt restore': ['portcullis jwt restore customers --subject user-4711'],
  'keys create': [
    'KEY=$(portcullis keys create billing --partner acme --scope "orders:read orders:write" --expires 90d)',
    '# a client id and a client secret, bound to a network',
    'portcullis keys create robot --kind service --network 192.0.2.0/24 --out robot.env',
  ],
  'keys list': [
    'portcullis keys list --partner acme',
    '# what nobody needs any more',
    'portcullis keys list --unused-since 90d -o json | jq -r .items[].id',
  ],
  'keys show': ['portcullis keys show billing'],
  'keys update': [
    'portcullis keys update billing --scope orders:read --expires 365d',
    '# from anywhere again',
    'portcullis keys update 9f2c4e1ab370 --clear networks',
    '# everybody has the new secret: the one before ends',
    'portcullis keys update billing --end-previous',
  ],
  'keys rotate': [
    'portcullis keys rotate billing --overlap 7d --out billing.key',
    '# it leaked: nothing of it counts any more but the new one',
    'portcullis keys rotate billing --overlap 0h',
  ],
  'keys revoke': ['portcullis keys revoke 9f2c4e1ab370 --why "found in a public repository"'],
  'keys check': [
    'portcullis keys check < found.txt',
    '# is it one at all?',
    'portcullis keys check --offline --file found.txt',
  ],
  'token create': [
    'portcullis token create deploy-pipeline --role operator --expires 90d --out deploy.token',
    'PORTCULLIS_TOKEN=$(portcullis token create dashboard --role viewer)',
  ],
  'token list': ['portcullis token list --all'],
  'token revoke': ['portcullis token revoke deploy-pipeline'],
  'token recover': ['PORTCULLIS_TOKEN=$(portcullis token recover) portcullis token create me --role admin'],
  'partner add': [
    '# what an authority issues to it, and one key set of its own',
    'portcullis partner add acme --owner Payments --contact security@acme.example --expires 365d \\',
    "  --certificate 'authority=partners;subject=CN=*,O=Acme' --jwt customers:azp=acme",
    '# a certificate as it is, and nothing but two operations',
    'portcullis partner add acme --owner Payments --contact +49-30-1234 --certificate acme.pem \\',
    "  --operation listOrders --operation 'POST /orders' --quota 1000/1h",
  ],
  'partner list': ['portcullis partner list --status suspended'],
  'partner show': ['portcullis partner show acme'],
  'partner update': [
    'portcullis partner update acme --expires 2028-01-31 --operation listOrders',
    'portcullis partner update acme --clear operations',
  ],
  'partner suspend': ["portcullis partner suspend acme --why 'keys on a forum' --yes"],
  'partner resume': ['# shows why it was suspended, and asks', 'portcullis partner resume acme'],
  'partner rotate': ['portcullis partner rotate acme --overlap 7d --out acme-keys'],
  'partner remove': ['portcullis partner remove acme'],
  'limits list': ['portcullis limits list', "portcullis limits list -o json | jq '.items[] | {name, figures}'"],
  'limits show': ['portcullis limits show logins'],
  'limits top': ['portcullis limits top', 'portcullis limits top logins --most 5'],
  'limits reset': [
    '# the key is what `limits top` shows; events have its first 8 digits, which do as well',
    'portcullis limits reset logins 9f2c4e1ab3700d5e9f2c4e1ab3700d5e',
    'portcullis limits reset logins 9f2c4e1a',
  ],
  'limits exempt': ['portcullis limits exempt logins 9f2c4e1ab3700d5e9f2c4e1ab3700d5e --until 7d --why "load test"'],
  'limits unexempt': ['portcullis limits unexempt logins 9f2c4e1ab3700d5e9f2c4e1ab3700d5e'],
  'limits exemptions': ['portcullis limits exemptions', 'portcullis limits exemptions logins -o json'],
  'limits recommend': [
    'portcullis limits recommend',
    '# why, and what to write',
    'portcullis limits recommend login',
    'portcullis limits recommend --yaml > limits.yaml',
  ],
  'limits simulate': [
    'portcullis limits simulate listOrders --requests 60 --period 1m',
    "portcullis limits simulate 'POST /login' --host api.example.com --requests 5 --period 10m --counters fleet",
  ],
  'audit list': [
    'portcullis audit list --since 2d',
    'portcullis audit list --actor deploy-pipeline --action pki -o json',
  ],
  'audit verify': ['portcullis audit verify'],
};

/** Adds them to the commands that act. A test holds that each has one, and that none is of a command that is gone. */
export function addExamples(program: Command): void {
  for (const { path, command } of acting(program)) {
    const lines = EXAMPLES[path] ?? [];
    if (lines.length > 0) command.addHelpText('after', `\nExamples:\n${lines.map(line => `  ${line}`).join('\n')}`);
  }
}

/** Commands that a person may call, without those that only group others. */
export function acting(program: Command): { path: string; command: Command }[] {
  const help = program.createHelp();
  const walk = (command: Command, path: string[]): { path: string; command: Command }[] =>
    help
      .visibleCommands(command)
      .filter(below => below.name() !== 'help')
      .flatMap(below => {
        const longer = [...path, below.name()];
        return below.commands.length > 0 ? walk(below, longer) : [{ path: longer.join(' '), command: below }];
      });
  return walk(program, []);
}
