// A configuration file to a policy: read, validated, files and names looked up, all problems at once.

import { lookup } from 'node:dns/promises';
import { dirname, resolve as resolvePath } from 'node:path';
import { compileTls, type TlsHost } from '../accept/tls/compile.js';
import { compileOpenapi } from '../check/endpoints/compile.js';
import { compileAuthorities, compileMtls } from '../check/mtls/compile.js';
import { compileLists, compileRules } from '../check/rules/compile.js';
import { compileOrigin, type Resolve } from '../forward/origins/compile.js';
import { Loading, readBounded, readSurroundings } from './loading.js';
import { child, path, pointer } from './pointer.js';
import type { EngineProblem, Policy, PolicyHost, PolicyOrigin } from './policy.js';
import { beginning, inOrder, type Problem } from './problem.js';
import { Source } from './read.js';
import type { Config, Host } from './schema.js';
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
  policy: Policy;
  tls: TlsHost[];
}

export interface Lookups {
  env: NodeJS.ProcessEnv;
  resolve: Resolve;
}

export const systemLookups: Lookups = {
  env: process.env,
  // IPv4 first, so that the order does not change with the resolver's mood.
  resolve: async name => {
    const found = await lookup(name, { all: true });
    return found.sort((a, b) => a.family - b.family || (a.address < b.address ? -1 : 1)).map(({ address }) => address);
  },
};

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
  const { config, incomplete } = source.value === undefined ? NOTHING : validate(loading);
  const parts = config && (await compile(config, loading, lookups));
  return {
    remarks: inOrder([...source.problems, ...loading.problems]),
    files: [...files, ...loading.files],
    parts,
    place: problems => inOrder(placed(problems, loading, incomplete)),
  };
}

const NOTHING = { config: null, incomplete: new Set<string>() };

async function compile(config: Config, loading: Loading, lookups: Lookups): Promise<Parts> {
  checkNames(loading, 'hosts', HOST_NAME, 'a host name', 'lower-case, such as `api.example.com` or `*.example.com`');
  checkNames(loading, 'authorities', NAME, 'a name', 'letters, digits, `-` and `_`, at most 64');
  checkNames(loading, 'lists', LIST_NAME, 'a list name', 'lower-case letters, digits and `_`, at most 50');
  if (Object.keys(config.hosts).length === 0 && loading.names('/hosts').length === 0) {
    loading.problem('/hosts', 'no host is served', { key: true, hint: 'add one, such as `api.example.com:`' });
  }
  const policy: Policy = {
    authorities: compileAuthorities(config.authorities, loading),
    lists: compileLists(config.lists),
    rules: compileRules(config.rules, loading),
    origins: [],
    hosts: [],
  };
  const tls: TlsHost[] = [];
  for (const [name, host] of Object.entries(config.hosts)) {
    const at = pointer(['hosts', name]);
    const shown = compileTls(name, host.tls, child(at, 'tls'), loading);
    if (shown) tls.push(shown);
    const origin = await compileOrigin(host.origin, child(at, 'origin'), loading, lookups.resolve);
    policy.hosts.push(await compileHost(name, host, at, originIndex(policy.origins, origin), loading));
  }
  return { config, policy, tls };
}

/** Hosts with the same origin share its connections. */
function originIndex(origins: PolicyOrigin[], origin: PolicyOrigin | null): number {
  if (!origin) return 0;
  const same = origins.findIndex(other => JSON.stringify(other) === JSON.stringify(origin));
  return same >= 0 ? same : origins.push(origin) - 1;
}

async function compileHost(
  name: string,
  host: Host,
  at: string,
  origin: number,
  loading: Loading,
): Promise<PolicyHost> {
  return {
    name,
    at,
    origin,
    mtls: compileMtls(host.mtls, child(at, 'mtls'), loading),
    openapi: host.openapi ? await compileOpenapi(host.openapi, child(at, 'openapi'), loading) : null,
    max_body_bytes: host.maxBodyBytes,
  };
}

/** Sections whose problems in the engine may only be echoes of a part that was left out elsewhere. */
const ECHOES: Readonly<Record<string, readonly string[]>> = { lists: ['rules'], authorities: ['authorities', 'hosts'] };

function placed(problems: readonly EngineProblem[], loading: Loading, incomplete: ReadonlySet<string>): Problem[] {
  const muted = new Set([...incomplete].flatMap(section => ECHOES[section] ?? []));
  return problems
    .filter(({ at }) => !muted.has(path(at)[0] ?? ''))
    .map(({ at, span, message, hint }) => ({
      severity: 'problem',
      place: loading.source.place(loading.original(at), span ? { bytes: span } : {}),
      message,
      ...(hint && { hint }),
    }));
}
