// A configuration file to a policy: read, validated, files and names looked up, all problems at once.

import { dirname, resolve as resolvePath } from 'node:path';
import { compileTls, readPair, type TlsHost } from '../accept/tls/compile.js';
import { compileCredentials, keysInQuery } from '../check/credentials/compile.js';
import { compileOpenapi } from '../check/endpoints/compile.js';
import { compileGrpc, type DescribeCalls } from '../check/grpc/compile.js';
import { compileJwt, type KeySetPlan } from '../check/jwt/compile.js';
import { compileLimits } from '../check/limits/compile.js';
import type { DatabasePlan } from '../check/limits/databases.js';
import type { DescribedHost } from '../check/limits/described.js';
import type { SharedPlan } from '../check/limits/shared.js';
import { clientAuthorities, compileAuthorities, compileMtls, NO_LISTS } from '../check/mtls/compile.js';
import { NOTHING_STORED, type Stored, withRules } from '../check/mtls/stored.js';
import { compileLists, compileRules } from '../check/rules/compile.js';
import { compileOrigins, type Resolve } from '../forward/origins/compile.js';
import { compileEvents } from '../journal/events/compile.js';
import { type AdminPlan, compileAdmin } from '../manage/admin/compile.js';
import { compileStore, type StorePlan } from '../manage/store/compile.js';
import { Loading, readBounded, readSurroundings } from './loading.js';
import { systemLookups } from './lookups.js';
import { child, path, pointer } from './pointer.js';
import type { EngineProblem, Policy, PolicyHost, PolicyLimit } from './policy.js';
import { beginning, inOrder, type Problem } from './problem.js';
import { Source } from './read.js';
import type { Config } from './schema.js';
import { NOTHING_DESCRIBED, type StatedHost } from './security.js';
import { checkNames, validate } from './validate.js';

/** RFC 1123 labels, `*` only as the first; underscores as seen in the wild. */
const HOST_NAME = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;
const LIST_NAME = /^[a-z][a-z0-9_]{0,49}$/;

export interface Loaded {
  /** Problems and warnings, by place. */
  remarks: Problem[];
  files: string[];
  /** null when a problem leaves nothing to look at. */
  parts: Parts | null;
  /** Problems of the engine, with their places. */
  place(problems: readonly EngineProblem[]): Problem[];
}

export interface Parts {
  config: Config;
  /** Of events: `stdout`, or an absolute path. */
  destination: string;
  store: StorePlan;
  admin: AdminPlan;
  policy: Policy;
  /** Who said what is required, by host. */
  stated: ReadonlyMap<string, StatedHost>;
  /** What tokens are verified with and no file holds. */
  keySets: KeySetPlan[];
  /** Where the counters of a fleet live; null: each process counts for itself. */
  shared: SharedPlan | null;
  /** What tells where an address is. */
  databases: DatabasePlan[];
  tls: TlsHost[];
  /** The same policy with the origins' names resolved anew. */
  resolved(resolve: Resolve): Promise<Policy>;
}

export interface Lookups {
  env: NodeJS.ProcessEnv;
  resolve: Resolve;
  /** Asks the engine what descriptors of gRPC services describe. Without it nothing is known of them. */
  describeCalls?: DescribeCalls;
  /**
   * What the store adds; `hosted` are the authorities that the configuration expects there. Without, a configuration is
   * judged by itself. Rejects when the store cannot be read.
   */
  stored?(store: StorePlan, hosted: readonly string[]): Promise<Stored>;
}

export async function load(file: string, lookups: Lookups = systemLookups): Promise<Loaded> {
  const absolute = resolvePath(file);
  const files = new Set([absolute]);
  let text: string;
  try {
    text = readBounded(absolute).toString('utf8');
  } catch (error) {
    const hint = 'name another file with `--config`';
    const problem: Problem = { severity: 'problem', place: beginning(file), message: (error as Error).message, hint };
    return { remarks: [problem], files: [...files], parts: null, place: () => [] };
  }
  const source = new Source(file, text, readSurroundings(absolute, lookups.env, files));
  const loading = new Loading(source, dirname(absolute));
  const config = source.value === undefined ? null : validate(loading);
  const parts = config && (await compile(config, loading, lookups));
  return {
    remarks: inOrder([...source.problems, ...loading.problems]),
    files: [...files, ...loading.files],
    parts,
    place: problems => inOrder(placed(problems, loading)),
  };
}

async function compile(config: Config, loading: Loading, lookups: Lookups): Promise<Parts> {
  checkNames(loading, 'hosts', HOST_NAME, 'a host name', 'lower-case, such as `api.example.com` or `*.example.com`');
  checkNames(loading, 'authorities', NAME, 'a name', 'letters, digits, `-` and `_`, at most 64');
  checkNames(loading, 'jwt', NAME, 'a name', 'letters, digits, `-` and `_`, at most 64');
  checkNames(loading, 'lists', LIST_NAME, 'a list name', 'lower-case letters, digits and `_`, at most 50');
  if (Object.keys(config.hosts).length === 0 && loading.names('/hosts').length === 0) {
    loading.problem('/hosts', 'no host is served', { key: true, hint: 'add one, such as `api.example.com:`' });
  }
  const store = compileStore(config.store, loading, lookups.env);
  const stored = await readStored(config, store, loading, lookups);
  const authorities = compileAuthorities(config.authorities, stored.authorities, loading);
  // Also those that have problems: a name that exists is never reported as unknown.
  const known = [...new Set([...loading.names('/authorities'), ...authorities.map(({ name }) => name)])];
  const { policy: jwt, keySets } = compileJwt(config.jwt, loading);
  const tls: TlsHost[] = [];
  const hosts: Omit<PolicyHost, 'origin'>[] = [];
  const stated = new Map<string, StatedHost>();
  const described: DescribedHost[] = [];
  for (const [name, host] of Object.entries(config.hosts)) {
    const at = pointer(['hosts', name]);
    const mtls = withRules(name, host.mtls, stored.rules);
    const trusted = clientAuthorities(mtls, authorities);
    const shown = compileTls(name, host.tls, trusted, child(at, 'tls'), loading);
    if (shown) tls.push(shown);
    const certificates = { ...compileMtls(mtls, known, child(at, 'mtls'), loading), by: shown?.uris ?? [] };
    const openapi = host.openapi
      ? await compileOpenapi(host.openapi, child(at, 'openapi'), loading, keysInQuery(host.credentials))
      : null;
    const calls = host.grpc ? await compileGrpc(host.grpc, child(at, 'grpc'), loading, lookups.describeCalls) : null;
    if (host.grpc && (typeof host.origin === 'string' || host.origin.protocol !== 'h2')) {
      loading.warning(
        child(at, 'grpc'),
        'the origin is asked by HTTP/1.1: of calls, only those of gRPC-Web get there',
        {
          key: true,
          hint: 'say `protocol: h2` beside the URL of the origin',
        },
      );
    }
    if (host.grpc && calls === null && lookups.describeCalls) loading.faulty.add('grpc');
    const said = host.openapi ? (openapi?.security ?? null) : NOTHING_DESCRIBED;
    const isKnown = said !== null && (calls !== null || host.grpc === undefined);
    const callers = isKnown ? { ...said, operations: [...said.operations, ...(calls?.operations ?? [])] } : null;
    const around = {
      ...{ host: name, at: child(at, 'credentials'), described: callers, mtls: certificates },
      ...{ jwt, configurations: loading.names('/jwt'), authorities: known },
    };
    const credentials = compileCredentials(host.credentials, around, loading);
    if (credentials) stated.set(name, credentials.stated);
    const session = (credentials?.policy.session ?? []).length > 0;
    described.push({ name, operations: callers?.operations ?? [], session });
    hosts.push({
      name,
      at,
      mtls: certificates,
      openapi: openapi?.policy ?? null,
      grpc: calls?.policy ?? null,
      credentials: credentials?.policy ?? null,
      max_body_bytes: host.maxBodyBytes,
    });
  }
  const lists = compileLists(config.lists);
  const templates = hosts.flatMap(({ openapi }) => openapi?.operations.map(({ path }) => path) ?? []);
  const rules = compileRules(config.rules, templates, loading);
  const limits = compileLimits(config.limits, { hosts: described, rules, readPair }, loading);
  const forward = async (resolve: Resolve, told: Loading): Promise<Policy> => {
    const written = Object.entries(config.hosts).map(([name, { origin }]) => ({
      origin,
      at: pointer(['hosts', name, 'origin']),
    }));
    const { origins, chosen } = await compileOrigins(written, told, resolve, readPair);
    const whole = hosts.flatMap((host, i) => (typeof chosen[i] === 'number' ? [{ ...host, origin: chosen[i] }] : []));
    return {
      authorities,
      lists,
      rules,
      origins,
      hosts: whole,
      jwt,
      session_key: stored.sessionKey,
      limits: { ...limits.policy, rules: served(limits.policy.rules, chosen) },
    };
  };
  // `resolved` lives as long as the configuration is in force, and must not keep the descriptions that `loading` knows.
  const { source, directory } = loading;
  return {
    config,
    destination: compileEvents(config.events, loading),
    store,
    admin: compileAdmin(config.admin, config.listen.admin, loading),
    tls,
    policy: await forward(lookups.resolve, loading),
    stated,
    keySets,
    shared: limits.shared,
    databases: limits.databases,
    // What is said about names again later has nowhere to go: `resolve` answers for those that fail by then.
    resolved: resolve => forward(resolve, new Loading(source, directory)),
  };
}

/** Limits of hosts that are left, by their new places. */
function served(limits: readonly PolicyLimit[], chosen: readonly (number | null)[]): PolicyLimit[] {
  if (!chosen.includes(null)) return [...limits];
  return limits.flatMap(limit => {
    if (limit.operation === null) return [limit];
    const [host, operation] = limit.operation;
    const before = chosen.slice(0, host).filter(origin => origin !== null).length;
    return chosen[host] === null ? [] : [{ ...limit, operation: [before, operation] }];
  });
}

async function readStored(config: Config, store: StorePlan, loading: Loading, lookups: Lookups): Promise<Stored> {
  // A configuration that is refused anyway leaves no store behind.
  if (!lookups.stored || loading.faulty.size > 0) return NOTHING_STORED;
  const hosted = Object.entries(config.authorities).flatMap(([name, { hosted }]) => (hosted ? [name] : []));
  try {
    return complete(await lookups.stored(store, hosted), config, loading);
  } catch (error) {
    const { message, hint } = error as Error & { hint?: string };
    loading.problem('/store', message, { key: true, hint });
    return NOTHING_STORED;
  }
}

/**
 * A rule of the store may speak of what the configuration no longer has. The gateway starts all the same, since the rule
 * can only be taken away while it runs; an authority that is not there trusts nobody.
 */
function complete({ authorities, rules, sessionKey }: Stored, config: Config, loading: Loading): Stored {
  const there = new Set([...Object.keys(config.authorities), ...authorities.map(({ name }) => name)]);
  const missing = [...new Set(rules.flatMap(({ trust }) => trust))].filter(name => !there.has(name));
  for (const { host, path } of rules) {
    if (host in config.hosts) continue;
    loading.warning('/hosts', `a rule of the admin API is for ${host}${path}, which is not served`, {
      key: true,
      hint: `\`portcullis mtls disable ${host} --path ${path}\` takes it away`,
    });
  }
  for (const name of missing) {
    loading.warning(
      '/authorities',
      `a rule of the admin API trusts \`${name}\`, which is not there: it lets nobody in`,
      {
        key: true,
        hint: '`portcullis mtls list` shows the rules',
      },
    );
  }
  const empty = missing.map(name => ({ name, certificates: '', intermediates: '', revocation: NO_LISTS }));
  return { authorities: [...authorities, ...empty], rules, sessionKey };
}

/** Where the engine's problems may only be echoes of a problem that was found here, by its section. */
const ECHOES: Readonly<Record<string, readonly string[]>> = {
  lists: ['rules', 'limits'],
  authorities: ['authorities', 'hosts'],
  jwt: ['jwt', 'hosts'],
  // Of a host: nothing is known of the messages that expressions read.
  grpc: ['rules', 'limits'],
};

function placed(problems: readonly EngineProblem[], loading: Loading): Problem[] {
  const muted = new Set([...loading.faulty].flatMap(section => ECHOES[section] ?? []));
  return problems
    .filter(({ at }) => !muted.has(path(at)[0] ?? ''))
    .map(({ at, span, message, hint }) => ({
      severity: 'problem',
      place: loading.place(at, { bytes: span }),
      message,
      ...(hint && { hint }),
    }));
}
