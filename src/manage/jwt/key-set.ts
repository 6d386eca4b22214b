// The key set of one token configuration that names a URL: fetched ahead of its end, kept while its provider is down, and
// never asked for more often than the configuration says, whatever tokens come.

import { type KeySetPlan, MAX_KEY_SET_BYTES } from '../../check/jwt/compile.js';
import type { Tell } from '../../journal/events/notices.js';
import type { JwtMetrics } from '../../journal/metrics/jwt.js';
import { download, MAX_REDIRECTS } from '../download.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { backoff, JITTER } from '../pki/rounds.js';
import type { KeptKeySet } from './kept.js';

/** In all, from the name being looked up to the last byte. A provider answers within a second. */
export const FETCH_MS = 5_000;
/** Of a provider that says nothing about it. */
const FRESH_MS = 600_000;
const FIRST_BACKOFF_MS = 1_000;
/** Between two fetches that operators ask for. */
const FORCED_MS = 1_000;
/** Of a set that is found unchanged; one that changed is kept at once. */
const KEEP_EVERY_MS = 60_000;
/** RFC 7517, 8.5.2; providers send the general one. A page of HTML that somebody put there is none. */
const TYPES = ['application/jwk-set+json', 'application/json'];

/** The part of the native door that takes key sets. */
export interface KeySetNative {
  loadKeySet(configuration: string, url: string, document: string): string;
  forgetKeySet(configuration: string): void;
}

export interface KeySetParts {
  native: KeySetNative;
  log: Log;
  metrics: JwtMetrics;
  tell: Tell;
  clock: Clock;
  /** Keeps it beyond this process. Never rejects. */
  keep(name: string, set: KeptKeySet): void;
  /** Instead of `FETCH_MS`. */
  fetchMs?: number;
}

/** As the engine tells it. */
export interface LoadedKeys {
  keys: { kid: string | null; algorithms: string[]; thumbprint: string }[];
  skipped: { kid: string | null; why: string }[];
  changed: boolean;
}

export interface KeySetState extends Omit<LoadedKeys, 'changed'> {
  name: string;
  /** Without its query, which may hold what is nobody's business. */
  url: string;
  /** `missing`: there never was one. `failing`: the last good one serves. `stale`: it no longer does. */
  state: 'missing' | 'good' | 'failing' | 'stale';
  from: 'url' | 'store' | null;
  /** Unix milliseconds: when the provider last said so. */
  fetchedAt: number | null;
  nextAt: number;
  /** Of the last fetch; null: it succeeded. */
  error: { at: number; message: string } | null;
}

/** The answer is not what the engine takes for a key set. */
class Refused extends Error {}

export class KeySet {
  readonly #parts: KeySetParts;
  readonly #closing = new AbortController();
  /** The first attempt is over, however it went. */
  readonly first: Promise<void>;
  #tried = () => {};
  #plan: KeySetPlan;
  #loaded: Omit<LoadedKeys, 'changed'> = { keys: [], skipped: [] };
  #from: KeySetState['from'] = null;
  /** What is in force, with what its provider said of it. Null: nothing. */
  #good: { document: string; etag: string | null; lastModified: string | null } | null = null;
  /** By the steady clock: when the provider last said so. */
  #goodAt = 0;
  #fetchedAt: number | null = null;
  #keptAt = Number.NEGATIVE_INFINITY;
  #outdated = false;
  #error: KeySetState['error'] = null;
  #failures = 0;
  /** By the steady clock. */
  #due: number;
  #forcedAt = Number.NEGATIVE_INFINITY;
  /** A token came whose key the set lacks. */
  #wanted = false;
  #wantedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<void> | null = null;

  constructor(plan: KeySetPlan, parts: KeySetParts) {
    this.#plan = plan;
    this.#parts = parts;
    this.#due = parts.clock.elapsed();
    this.first = new Promise(resolve => {
      this.#tried = resolve;
    });
  }

  get plan(): KeySetPlan {
    return this.#plan;
  }

  /** Other settings of the same set: they may be what it lacked. */
  settle(plan: KeySetPlan): void {
    if (JSON.stringify(plan) !== JSON.stringify(this.#plan)) this.#due = this.#parts.clock.elapsed();
    this.#plan = plan;
  }

  /** What was good when another process, or this one before its start, last asked. */
  restore(kept: KeptKeySet): boolean {
    const { clock } = this.#parts;
    // A clock that was put back makes nothing younger than now.
    const ageMs = Math.max(0, clock.now() - kept.at);
    if (this.#good || ageMs >= this.#plan.staleMs) return false;
    const loaded = this.#load(kept.document);
    [this.#loaded, this.#good, this.#from] = [loaded, kept, 'store'];
    this.#goodAt = clock.elapsed() - ageMs;
    [this.#fetchedAt, this.#keptAt] = [kept.at, clock.elapsed()];
    return true;
  }

  /** A token came with a key that is not in the set. */
  want(): void {
    this.#wanted = true;
  }

  /** Whether it is to be fetched now. */
  isDue(): boolean {
    const now = this.#parts.clock.elapsed();
    if (this.#fetching) return false;
    return now >= this.#due || (this.#wanted && now - this.#wantedAt >= this.#plan.cooldownMs);
  }

  /** One fetch at a time: whoever asks meanwhile waits for the same. Never rejects. */
  fetch(): Promise<void> {
    return this.#fetch(false);
  }

  /**
   * For an operator: whatever validators say, and after a fetch that has begun already, which may not have seen what the
   * operator knows. Answers 0, or how long to wait when that was asked for within this second.
   */
  async force(): Promise<number> {
    const now = this.#parts.clock.elapsed();
    const early = this.#forcedAt + FORCED_MS - now;
    if (early > 0) return early;
    this.#forcedAt = now;
    await this.#fetching;
    await this.#fetch(true);
    return 0;
  }

  /** The last good set serves no longer than the configuration says. Whether that is now. */
  expire(): boolean {
    const { native, clock, log, tell } = this.#parts;
    if (!this.#good || clock.elapsed() - this.#goodAt < this.#plan.staleMs) return false;
    const { name } = this.#plan;
    native.forgetKeySet(name);
    [this.#good, this.#outdated, this.#loaded] = [null, true, { keys: [], skipped: [] }];
    const error = this.#error?.message ?? 'it was not asked for';
    log.error(
      { configuration: name, url: this.#shown, error },
      'the key set is too old: tokens of this configuration are answered 503 until it can be fetched',
    );
    tell('jwt.key_set_stale', { Configuration: name, KeySetURL: this.#shown, Error: error });
    this.#due = clock.elapsed();
    return true;
  }

  close(): void {
    this.#closing.abort();
  }

  state(): KeySetState {
    const { clock } = this.#parts;
    const serving = this.#error ? 'failing' : 'good';
    return {
      name: this.#plan.name,
      url: this.#shown,
      state: this.#good ? serving : this.#outdated ? 'stale' : 'missing',
      from: this.#from,
      fetchedAt: this.#fetchedAt,
      nextAt: clock.now() + Math.max(0, this.#due - clock.elapsed()),
      error: this.#error,
      ...this.#loaded,
    };
  }

  /** Since when it was good, by the steady clock; null while none serves. */
  get ageMs(): number | null {
    return this.#good ? this.#parts.clock.elapsed() - this.#goodAt : null;
  }

  get #shown(): string {
    const { origin, pathname, search } = new URL(this.#plan.url);
    return `${origin}${pathname}${search === '' ? '' : '?...'}`;
  }

  #fetch(whole: boolean): Promise<void> {
    this.#fetching ??= this.#attempt(whole).finally(() => {
      this.#fetching = null;
      this.#tried();
    });
    return this.#fetching;
  }

  async #attempt(whole: boolean): Promise<void> {
    const { clock, metrics } = this.#parts;
    const { name, url, mostMs, cooldownMs, allowPrivateAddresses, allowRedirects, allowHttp, ca } = this.#plan;
    if (this.#wanted) [this.#wanted, this.#wantedAt] = [false, clock.elapsed()];
    try {
      const known = whole ? null : this.#good;
      const found = await download(url, {
        allowPrivateAddresses,
        allowHttp,
        redirects: allowRedirects ? MAX_REDIRECTS : 0,
        ca: ca ?? undefined,
        maxBytes: MAX_KEY_SET_BYTES,
        timeoutMs: this.#parts.fetchMs ?? FETCH_MS,
        accept: TYPES.join(', '),
        types: TYPES,
        gzip: true,
        etag: known?.etag ?? null,
        lastModified: known?.lastModified ?? null,
        signal: this.#closing.signal,
      });
      if (this.#closing.signal.aborted) return;
      const changed = this.#take(found.bytes, found);
      metrics.fetched(name, changed ? 'replaced' : 'unchanged');
      this.#due = clock.elapsed() + this.#within(found.maxAgeMs ?? FRESH_MS);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#failed(error as Error);
      // While none serves, tokens are refused: as soon as its provider is back, they should not be.
      const longest = this.#good ? mostMs : Math.min(mostMs, cooldownMs);
      this.#due = clock.elapsed() + sooner(backoff(this.#failures, FIRST_BACKOFF_MS, longest));
    }
  }

  /** Whether the keys are others than before. */
  #take(bytes: Buffer | null, { etag, lastModified }: { etag: string | null; lastModified: string | null }): boolean {
    const { clock, log } = this.#parts;
    const { name } = this.#plan;
    // Dropped while it was asked whether it had changed.
    if (!bytes && !this.#good) throw new Error('the server answers 304 about what is no longer here');
    const document = bytes ? utf8(bytes) : (this.#good?.document ?? '');
    // Also when it is as it was: it costs nothing, and the engine has it whatever happened in between.
    const loaded = this.#load(document);
    this.#loaded = loaded;
    const { changed } = loaded;
    if (changed || this.#error) {
      const keys = loaded.keys.map(({ kid, thumbprint }) => kid ?? thumbprint);
      log.info({ configuration: name, keys, changed }, 'the key set was fetched');
    }
    const other = document !== this.#good?.document;
    [this.#good, this.#from, this.#outdated] = [{ document, etag, lastModified }, 'url', false];
    [this.#error, this.#failures] = [null, 0];
    [this.#goodAt, this.#fetchedAt] = [clock.elapsed(), clock.now()];
    if (other || this.#goodAt - this.#keptAt >= KEEP_EVERY_MS) {
      this.#keptAt = this.#goodAt;
      this.#parts.keep(name, { url: this.#plan.url, at: this.#fetchedAt, etag, lastModified, document });
    }
    return changed;
  }

  /** In force for every request that begins from now on. Throws Refused, and what was in force before stays. */
  #load(document: string): LoadedKeys {
    const { name, url } = this.#plan;
    const answer = JSON.parse(this.#parts.native.loadKeySet(name, url, document)) as LoadedKeys & { problem?: string };
    if (answer.problem !== undefined) throw new Refused(answer.problem);
    return answer;
  }

  #failed(error: Error): void {
    const { clock, metrics, log, tell } = this.#parts;
    const { name } = this.#plan;
    const { message } = error;
    const refused = error instanceof Refused;
    metrics.fetched(name, refused ? 'refused' : 'failed');
    this.#failures += 1;
    // Validators of what was refused would keep its correction from being looked at.
    if (refused && this.#good) this.#good = { ...this.#good, etag: null, lastModified: null };
    const known = this.#error?.message === message;
    this.#error = { at: clock.now(), message };
    // Of a provider that is down one line is enough.
    if (known) return;
    const serves = this.#good ? 'the last good one serves' : 'tokens of this configuration are answered 503';
    log.warn({ configuration: name, url: this.#shown, error: message }, `the key set cannot be had: ${serves}`);
    tell(refused ? 'jwt.key_set_refused' : 'jwt.key_set_failed', {
      Configuration: name,
      KeySetURL: this.#shown,
      Error: message,
    });
  }

  #within(ms: number): number {
    const { leastMs, mostMs } = this.#plan;
    return Math.max(leastMs, Math.min(mostMs, sooner(ms)));
  }
}

/** So that a fleet does not come at once; rather sooner than later. */
function sooner(ms: number): number {
  return ms * (1 - JITTER * Math.random());
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Refused('the answer is not UTF-8');
  }
}
