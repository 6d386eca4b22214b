// Where the gateway's admin API is, and who asks it: options, environment, configuration, the file of `login`.

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { readBounded, readSurroundings } from '../../config/loading.js';
import { Source } from '../../config/read.js';
import { configSchema } from '../../config/schema.js';
import { loopback } from '../../config/units.js';
import type { Tls } from './call.js';
import { usage } from './fault.js';
import { mustBePrivate, readInput, readSecret } from './files.js';
import { CONFIG_OPTION } from './options.js';
import type { Terminal } from './terminal.js';

const DEFAULT_ADMIN = 'http://127.0.0.1:9090';
export const DEFAULT_TIMEOUT = '30s';
const TIMEOUT = /^(\d{1,4})(s|m)$/;

export interface ReachOptions {
  admin?: string;
  config?: string;
  tokenFile?: string;
  ca?: string;
  clientCert?: string;
  clientKey?: string;
  timeout: string;
  output: 'table' | 'json';
}

/** Of these options in `--help`. */
export const GROUP = 'The gateway, and how to tell:';

/** Options of every command that asks the admin API. */
export function reaching(command: Command): Command {
  for (const option of [
    new Option('--admin <url>', `the admin API; PORTCULLIS_ADMIN, or ${DEFAULT_ADMIN}`),
    new Option(CONFIG_OPTION[0], 'configuration file, whose `listen.admin` is asked'),
    new Option('--token-file <file>', 'holds the token; PORTCULLIS_TOKEN, or what `portcullis login` keeps'),
    new Option('--ca <file>', 'who issued the certificate of the admin API, PEM'),
    new Option('--client-cert <file>', 'client certificate for the admin API, PEM'),
    new Option('--client-key <file>', 'its key, PEM'),
    new Option('--timeout <duration>', 'how long an answer may take').default(DEFAULT_TIMEOUT),
  ]) {
    command.addOption(option.helpGroup(GROUP));
  }
  return withOutput(command);
}

export function withOutput(command: Command): Command {
  const option = new Option('-o, --output <format>', 'how to tell').choices(['table', 'json']).default('table');
  return command.addOption(option.helpGroup(GROUP));
}

export interface Reach {
  /** Without a path. */
  base: URL;
  token: string | null;
  tls: Tls;
  timeoutMs: number;
}

export function reach(options: ReachOptions, terminal: Terminal): Reach {
  const base = baseOf(options, terminal);
  const token = tokenOf(options, terminal, base);
  if (token !== null) mustBeSafeFor(base);
  return { base, token, tls: tlsOf(options), timeoutMs: timeoutOf(options) };
}

/** A token or a password of somebody is sent over TLS, or stays on this machine. */
export function mustBeSafeFor(base: URL): void {
  if (base.protocol === 'https:' || loopback(base.hostname.replace(/^\[|\]$/g, ''))) return;
  throw usage(`a token is not sent in the clear to ${base.host}`, 'use https, or a tunnel to its loopback address');
}

export function baseOf({ admin, config }: Pick<ReachOptions, 'admin' | 'config'>, { env }: Terminal): URL {
  const written = admin ?? (env.PORTCULLIS_ADMIN || undefined);
  if (written !== undefined) return urlOf(written, admin ? '--admin' : 'PORTCULLIS_ADMIN');
  return config === undefined ? new URL(DEFAULT_ADMIN) : configured(config, env);
}

function urlOf(written: string, where: string): URL {
  const url = URL.canParse(written) ? new URL(written) : null;
  const bare = url && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (!bare || !/^https?:$/.test(url.protocol)) {
    throw usage(`${where} is no address of an admin API`, `such as ${DEFAULT_ADMIN}, without a path`);
  }
  return url;
}

/** Only that one key is read: the rest of the file is the gateway's business. */
function configured(file: string, env: NodeJS.ProcessEnv): URL {
  const absolute = resolve(file);
  let text: string;
  try {
    text = readBounded(absolute).toString('utf8');
  } catch (error) {
    throw usage((error as Error).message, 'name another file with `-c`');
  }
  const source = new Source(file, text, readSurroundings(absolute, env, new Set()));
  const { listen, admin } = (source.value ?? {}) as { listen?: unknown; admin?: { tls?: unknown } };
  const { data, success } = configSchema.shape.listen.safeParse(listen ?? {});
  if (!success) throw usage(`\`listen\` of ${file} has problems`, 'see `portcullis check`');
  const { address, port } = data.admin;
  const scheme = admin?.tls ? 'https' : 'http';
  return new URL(`${scheme}://${reachable(address)}:${port}`);
}

/** An address to listen on that means all of them is reached on this machine. */
function reachable(address: string | null): string {
  if (address === null || address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return address.includes(':') ? `[${address}]` : address;
}

function tlsOf({ ca, clientCert, clientKey }: ReachOptions): Tls {
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    throw usage('`--client-cert` and `--client-key` come together');
  }
  return {
    ...(ca !== undefined && { ca: readInput(ca) }),
    ...(clientCert !== undefined && { cert: readInput(clientCert) }),
    ...(clientKey !== undefined && { key: readInput(clientKey) }),
  };
}

export function timeoutOf({ timeout }: Pick<ReachOptions, 'timeout'>): number {
  const [, digits, unit] = TIMEOUT.exec(timeout) ?? [];
  const ms = Number(digits) * (unit === 'm' ? 60_000 : 1_000);
  if (!(ms > 0)) throw usage(`\`${timeout}\` is no time to wait`, 'such as `30s` or `2m`');
  return ms;
}

function tokenOf({ tokenFile }: ReachOptions, terminal: Terminal, base: URL): string | null {
  const { PORTCULLIS_TOKEN } = terminal.env;
  if (tokenFile !== undefined) {
    if (tokenFile !== '-') mustBePrivateUnlessMissing(tokenFile);
    return checked(readSecret(tokenFile), tokenFile);
  }
  if (PORTCULLIS_TOKEN) return checked(PORTCULLIS_TOKEN, 'PORTCULLIS_TOKEN');
  return kept(terminal).get(base.origin) ?? null;
}

function mustBePrivateUnlessMissing(file: string): void {
  if (existsSync(file)) mustBePrivate(file);
}

/** RFC 6750, 2.1: anything else cannot stand in the header. */
function checked(token: string, where: string): string {
  if (/^[A-Za-z0-9._~+/=-]{1,512}$/.test(token)) return token;
  throw usage(`${where} holds no token`);
}

/** `~/.config/portcullis/token`, or below XDG_CONFIG_HOME. */
export function keptFile({ env, home }: Terminal): string {
  return join(env.XDG_CONFIG_HOME || join(home, '.config'), 'portcullis', 'token');
}

/** A line each: the gateway's origin and its token, so that none is ever told to another gateway. */
export function kept(terminal: Terminal): Map<string, string> {
  const file = keptFile(terminal);
  if (!existsSync(file)) return new Map();
  mustBePrivate(file);
  const lines = readInput(file, 64 * 1024)
    .toString('utf8')
    .split(/\r?\n/)
    .filter(Boolean);
  return new Map(
    lines.map(line => {
      const [origin = '', token = ''] = line.split(' ');
      return [origin, checked(token, `${file}, line of ${origin}`)] as const;
    }),
  );
}
