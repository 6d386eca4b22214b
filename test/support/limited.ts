// What the tests of rate limits ask and read: clients at addresses of their own, answers with their fields read strictly.

import { type Front, type Settings, startFront } from './front.js';
import { type Answered, type Asked, ask, type Caller } from './https.js';
import { type Bare, type Item, parseList } from './structured-fields.js';

export interface Seen {
  status: number;
  /** `limits.<name>` of a refusal; null when it passed. */
  reason: string | null;
  retryAfter: number | null;
  /** By limit: quota and window in seconds. */
  policy: Record<string, { q: Bare | undefined; w: Bare | undefined }>;
  /** The limit that has least left. */
  left: { name: string; r: Bare | undefined; t: Bare | undefined } | null;
  answered: Answered;
}

export interface Limited extends Front {
  /** Asks as whoever comes from that address of this machine, `127.0.0.1` unless told otherwise. */
  get(path: string, asked?: Asked & { from?: string; host?: string }): Promise<Seen>;
  /** Statuses of so many requests, one after the other. */
  statuses(count: number, path: string, asked?: Asked & { from?: string; host?: string }): Promise<number[]>;
  /** A client at an address of this machine. */
  at(from?: string, host?: string): Caller;
}

/** `limits` of a configuration. */
export interface Limits {
  rules: { name: string; concurrency?: number; [setting: string]: unknown }[];
  [setting: string]: unknown;
}

export const HOST = 'api.test';

/** A gateway that asks for no certificate; every limit is named, and holds for paths that begin with its name. */
export async function startLimited(
  origin: string,
  limits: Limits,
  { hosts = {}, config = {}, ...settings }: Settings & { hosts?: Record<string, object> } = {},
): Promise<Limited> {
  const host = { origin, mtls: { mode: 'request', trust: ['devices'] } };
  const all = { [HOST]: host, ...mapped(hosts, one => ({ ...host, ...one })) };
  const front = await startFront(all, {
    ...settings,
    config: { events: { destination: 'stdout', sampleRate: 1 }, limits: named(limits), ...config },
  });
  const at = (from = '127.0.0.1', name = HOST): Caller => ({
    ...front.caller(name, null),
    tls: { localAddress: from, ...(from.includes(':') && { host: '::1' }) } as NonNullable<Caller['tls']>,
  });
  const get: Limited['get'] = async (path, { from, host: name, ...asked } = {}) =>
    seen(await ask(at(from, name), path, asked));
  const statuses: Limited['statuses'] = async (count, path, asked) => {
    const all: number[] = [];
    while (all.length < count) all.push((await get(path, asked)).status);
    return all;
  };
  return { ...front, at, get, statuses };
}

/** As they stand in the configuration: with the path that a limit holds for, unless it says what it holds for. */
export function named({ rules, ...limits }: Limits): object {
  const whole = rules.map(rule => ({
    ...{ expression: `starts_with(http.request.uri.path, "/${rule.name}")`, characteristics: ['ip.src'] },
    // Requests under way are of no period.
    ...(rule.concurrency === undefined && { period: '1h' }),
    ...rule,
  }));
  return { ...limits, rules: whole };
}

/** Throws when a field is not what its specification says. */
export function seen(answered: Answered): Seen {
  const { status, headers, body } = answered;
  const policy: Seen['policy'] = {};
  for (const item of list(headers['ratelimit-policy'])) {
    policy[nameOf(item)] = { q: count(item, 'q'), w: count(item, 'w') };
  }
  const [least, ...more] = list(headers.ratelimit);
  if (more.length > 0) throw new Error(`more than one limit: ${headers.ratelimit}`);
  const left = least === undefined ? null : { name: nameOf(least), r: count(least, 'r'), t: count(least, 't') };
  const after = headers['retry-after'];
  if (after !== undefined && !/^[1-9]\d*$/.test(after)) throw new Error(`Retry-After: ${after}`);
  return {
    status,
    reason: body !== '' && headers['content-type'] === 'application/problem+json' ? JSON.parse(body).reason : null,
    retryAfter: after === undefined ? null : Number(after),
    ...{ policy, left, answered },
  };
}

function list(field: string | string[] | undefined): Item[] {
  if (field === undefined) return [];
  return parseList([field].flat().join(', '));
}

/** The draft wants strings. */
function nameOf({ value }: Item): string {
  if (typeof value !== 'string') throw new Error(`${JSON.stringify(value)} is no string`);
  return value;
}

/** The draft wants integers that are not negative. */
function count({ parameters }: Item, name: string): Bare | undefined {
  const value = parameters[name];
  if (value !== undefined && !(Number.isInteger(value) && (value as number) >= 0)) {
    throw new Error(`${name} is ${JSON.stringify(value)}`);
  }
  return value;
}

function mapped<T, U>(all: Record<string, T>, change: (one: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(all).map(([name, one]) => [name, change(one)]));
}
