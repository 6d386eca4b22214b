// The admin API, as commands ask it: paths, JSON, and refusals as sentences.

import { type Answered, call } from './call.js';
import { Exit, Fault } from './fault.js';
import { type Reach, type ReachOptions, reach } from './reach.js';
import type { Terminal } from './terminal.js';

const BASE = '/admin/v1';
/** Most that a page may hold: fewer round trips for long lists. */
const PAGE = 1_000;

type Value = string | number | boolean | undefined;
export type Query = Record<string, Value | readonly string[]>;

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Given {
  query?: Query;
  /** JSON, or with `contentType` as it is. */
  body?: unknown;
  contentType?: string;
  /** As read with the thing that is changed. */
  etag?: string | null;
}

export class Client {
  readonly #reach: Reach;

  constructor(reach: Reach) {
    this.#reach = reach;
  }

  get origin(): string {
    return this.#reach.base.origin;
  }

  async get<T>(path: string, query?: Query): Promise<T> {
    return (await this.read<T>(path, query)).value;
  }

  /** With what a change of it has to name. */
  async read<T>(path: string, query?: Query): Promise<{ value: T; etag: string | null }> {
    const answer = await this.#ask('GET', path, query ? { query } : {});
    return { value: json(answer) as T, etag: answer.etag };
  }

  async send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, given: Given = {}): Promise<T> {
    const answer = await this.#ask(method, path, given);
    return (answer.body.length === 0 ? undefined : json(answer)) as T;
  }

  /** What is answered as a file. */
  async fetch(method: 'GET' | 'POST', path: string, given: Given = {}): Promise<Buffer> {
    return (await this.#ask(method, path, given)).body;
  }

  /** Page after page, `most` items at most; `next` of the answer is null when that were all. */
  async list<T>(path: string, query: Query, most: number): Promise<Page<T>> {
    const found: Page<T> = { items: [], next: null };
    for await (const { items, next } of this.pages<T>(path, query, most)) {
      found.items.push(...items);
      found.next = next;
    }
    return found;
  }

  async *pages<T>(path: string, query: Query = {}, most = Number.POSITIVE_INFINITY): AsyncGenerator<Page<T>> {
    let left = most;
    let cursor: string | null = null;
    do {
      const limit = Math.min(PAGE, left);
      const page: Page<T> = await this.get(path, { ...query, limit, ...(cursor !== null && { cursor }) });
      yield page;
      left -= page.items.length;
      cursor = page.next;
    } while (cursor !== null && left > 0);
  }

  async #ask(method: string, path: string, { query = {}, body, contentType, etag }: Given): Promise<Answered> {
    const { base, token, tls, timeoutMs } = this.#reach;
    const url = new URL(BASE + path + queryOf(query), base);
    const answer = await call(url, {
      method,
      tls,
      timeoutMs,
      headers: {
        accept: '*/*',
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': contentType ?? 'application/json' }),
        ...(etag && { 'if-match': etag }),
      },
      ...(body !== undefined && { body: contentType ? (body as string | Uint8Array) : JSON.stringify(body) }),
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw refusal(answer, token === null ? 'nothing' : 'token');
  }
}

export function connect(options: ReachOptions, terminal: Terminal): Client {
  return new Client(reach(options, terminal));
}

/** A path below the API out of names that anything may stand in. */
export function at(strings: TemplateStringsArray, ...names: string[]): string {
  return String.raw({ raw: strings }, ...names.map(encodeURIComponent));
}

function queryOf(query: Query): string {
  const pairs = Object.entries(query).flatMap(([name, value]): [string, string][] => {
    if (value === undefined) return [];
    return (Array.isArray(value) ? value : [value]).map(one => [name, String(one)]);
  });
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs)}`;
}

function json({ body, contentType }: Answered): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new Fault(`the answer is no JSON (${contentType || 'of no type'})`, Exit.Unreachable, [
      'is this the admin API of a gateway? See `--admin`',
    ]);
  }
}

interface ProblemJson {
  title?: string;
  detail?: string;
  errors?: { pointer?: string; detail?: string }[];
  /** In files, on the gateway's side. */
  problems?: { file?: string; line?: number; column?: number; message?: string; hint?: string }[];
}

/** What a 401 is told to have been asked with. */
type Shown = 'nothing' | 'token' | 'certificate';

/** RFC 9457, as a person reads it. */
export function refusal(answer: Answered, shown: Shown): Fault {
  const { status, contentType } = answer;
  const { title, detail, errors, problems } = (
    contentType === 'application/problem+json' ? json(answer) : {}
  ) as ProblemJson;
  const lines = [
    ...(errors ?? []).map(error => [error.pointer, error.detail].filter(Boolean).join(': ')),
    ...(problems ?? []).flatMap(({ file, line, column, message, hint }) => [
      `${file}:${line}:${column}: ${message}`,
      ...(hint === undefined ? [] : [`  ${hint}`]),
    ]),
    ...(detail ? [detail] : []),
  ];
  const sentence = title ?? `the gateway answered ${status}`;
  if (status === 401) return new Fault(sentence, Exit.Unreachable, [...lines, ...WOULD_DO[shown]]);
  if (title === undefined && status === 404 && shown !== 'certificate') {
    return new Fault(sentence, Exit.Failed, ['is this the admin API of a gateway? See `--admin`']);
  }
  return new Fault(sentence, status === 403 ? Exit.Unreachable : Exit.Failed, lines);
}

const WOULD_DO: Record<Shown, string[]> = {
  nothing: ['give a token with PORTCULLIS_TOKEN, `--token-file` or `portcullis login`'],
  token: ['the token is not known, expired or revoked: `portcullis login` keeps another one'],
  certificate: [],
};
