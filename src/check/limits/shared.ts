// Where the counters of a fleet live, as plain values: files read, nothing connected.

import { type ReadPair, readAuthorities, readShown } from '../../config/certificates.js';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import { loopback } from '../../config/units.js';
import type { SharedConfig } from './config.js';

/** Where Valkey and Redis listen unless the URL says. */
const PORT = 6_379;
const URL_HINT = '`rediss://user:password@host:6379/0`; special characters of a password as %XX';

interface CountersNode {
  /** A name or an address, IPv6 without brackets. */
  host: string;
  port: number;
}

/** The servers that count for a fleet, how to reach them, and how long to wait. */
export type SharedPlan = SharedCommon &
  (
    | { kind: 'single'; node: CountersNode; database: number }
    | { kind: 'cluster'; nodes: CountersNode[] }
    | {
        kind: 'sentinel';
        /** What the sentinels call the server. */
        name: string;
        nodes: CountersNode[];
        database: number;
        /** Of the sentinels themselves. */
        sentinelUser: string | null;
        sentinelPassword: string | null;
      }
  );

interface SharedCommon {
  /** ACL user; null with a password: the default user. */
  user: string | null;
  password: string | null;
  /** null: plain TCP. Otherwise the servers are verified. */
  tls: SharedTls | null;
  timeoutMs: number;
  /** What the names of all keys begin with. */
  prefix: string;
}

interface SharedTls {
  /** PEM; null: the system's authorities. */
  ca: string | null;
  /** PEM; null: no certificate is shown. */
  certificate: string | null;
  key: string | null;
  servername: string | null;
}

/** null when something is wrong with it. */
export function compileShared(
  config: SharedConfig,
  at: string,
  loading: Loading,
  readPair: ReadPair,
): SharedPlan | null {
  const { url, cluster, sentinels } = config;
  const given = Object.entries({ url, cluster, sentinels }).flatMap(([way, value]) => (value ? [way] : []));
  if (given.length !== 1) {
    loading.problem(at, given.length === 0 ? 'no server' : `servers by ${given.join(' and ')}: which of them count?`, {
      key: true,
      hint: 'exactly one of `url`, `cluster` and `sentinels`',
    });
    return null;
  }
  const common = {
    user: config.user ?? null,
    password: config.password ?? null,
    tls: config.tls ? compileTls(config.tls, child(at, 'tls'), loading, readPair) : null,
    timeoutMs: config.timeout,
    prefix: config.prefix,
  };
  if (common.user !== null && common.password === null) {
    loading.problem(child(at, 'user'), 'a user without a password', { key: true, hint: 'add `password`' });
  }
  if (url !== undefined) return single(url, common, at, loading);
  const listed = cluster ?? sentinels?.nodes ?? [];
  const place = cluster ? child(at, 'cluster') : child(child(at, 'sentinels'), 'nodes');
  const nodes = listed.flatMap((written, index) => nodeOf(written, child(place, index), loading) ?? []);
  if (nodes.length < listed.length) return null;
  if (common.tls === null) warnOfPlain(nodes, place, loading);
  if (sentinels === undefined) return { kind: 'cluster', nodes, ...common };
  if (sentinels.user !== undefined && sentinels.password === undefined) {
    loading.problem(child(child(at, 'sentinels'), 'user'), 'a user without a password', {
      key: true,
      hint: 'add `password`',
    });
  }
  return {
    kind: 'sentinel',
    name: sentinels.name,
    nodes,
    database: 0,
    sentinelUser: sentinels.user ?? null,
    sentinelPassword: sentinels.password ?? null,
    ...common,
  };
}

/** Never a word of the URL itself: it holds a password. */
function single(written: string, common: SharedCommon, at: string, loading: Loading): SharedPlan | null {
  const place = child(at, 'url');
  const refuse = (message: string, hint = URL_HINT) => {
    loading.problem(place, message, { hint });
    return null;
  };
  const url = URL.canParse(written) ? new URL(written) : null;
  if (url === null) return refuse('this is no URL');
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') return refuse('is no URL of Valkey or Redis');
  if (url.hostname === '') return refuse('the URL names no host');
  if (url.search !== '' || url.hash !== '') {
    return refuse('what stands behind the database is not understood', '`tls`, `user` and `password` say it instead');
  }
  const database = /^\/?(\d{1,4})?$/.exec(url.pathname);
  if (database === null) return refuse('a database is a number', 'such as `/0`, which holds unless given');
  const user = decoded(url.username);
  const password = decoded(url.password);
  if (user === null || password === null) return refuse('user and password are not percent-encoded as they have to be');
  if ((user !== '' && common.user !== null) || (password !== '' && common.password !== null)) {
    return refuse('the URL and `user` or `password` beside it say who asks', 'one of the two');
  }
  const secure = url.protocol === 'rediss:';
  if (!secure && common.tls !== null) {
    return refuse('`tls` with a URL that does without it', '`rediss://` instead of `redis://`');
  }
  if (user !== '' && password === '' && common.password === null) return refuse('a user without a password');
  const node = { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: url.port === '' ? PORT : Number(url.port) };
  if (node.port === 0) return refuse('port 0 is nobody');
  if (!secure) warnOfPlain([node], place, loading);
  return {
    kind: 'single',
    node,
    database: Number(database[1] ?? 0),
    ...common,
    user: common.user ?? (user === '' ? null : user),
    password: common.password ?? (password === '' ? null : password),
    tls: secure ? (common.tls ?? { ca: null, certificate: null, key: null, servername: null }) : null,
  };
}

function compileTls(
  { ca, servername, ...own }: NonNullable<SharedConfig['tls']>,
  at: string,
  loading: Loading,
  readPair: ReadPair,
): SharedTls {
  const shown = readShown(own, at, loading, readPair);
  const pair = shown === 'faulty' ? null : shown;
  return {
    ca: ca === undefined ? null : readAuthorities(ca, child(at, 'ca'), loading),
    certificate: pair?.pem ?? null,
    key: pair?.secret ?? null,
    servername: servername ?? null,
  };
}

function nodeOf(written: string, at: string, loading: Loading): CountersNode | null {
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(written) ?? [];
  const port = Number(digits);
  if (port >= 1 && port <= 65_535) return { host: bracketed ?? plain ?? '', port };
  loading.problem(at, 'a port lies between 1 and 65535');
  return null;
}

/** Whoever is on the way could set counters back, and read the password. */
function warnOfPlain(nodes: readonly CountersNode[], at: string, loading: Loading): void {
  if (nodes.every(({ host }) => loopback(host))) return;
  loading.warning(at, 'the counters are asked without TLS beyond this machine', {
    hint: 'a `rediss://` URL; beside `cluster` and `sentinels`, `tls: {}` or `tls: { ca: <file> }`',
  });
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
