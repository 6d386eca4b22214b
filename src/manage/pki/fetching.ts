// Fetches revocation lists of brought authorities from their distribution points, ahead of their end.
//
// One process of a fleet fetches a URL, whoever asks; the others read what it kept in the store. Which URLs: those of the
// configuration, and those of certificates that were seen and verified; an unverified one could name any.

import type { Tell } from '../../journal/events/notices.js';
import type { Fetched, RevocationMetrics } from '../../journal/metrics/revocation.js';
import { type Downloaded, download, MAX_LIST_BYTES, MAX_URL_CHARACTERS, TIMEOUT_MS } from '../download.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { BroughtAuthority } from './brought.js';
import type { Clock } from './clock.js';
import { ListRefused, type Lists, type LoadedList } from './lists.js';
import { backoff, type Due, jittered, Rounds } from './rounds.js';
import { type Turn, takeTurn } from './turns.js';

const TICK_MS = 1_000;
/** Distribution points at once; each may bring 64 MiB. */
const CONCURRENT = 2;
/** An authority that splits its lists has some hundred of them (Let's Encrypt: 128). */
const MAX_URLS = 1_000;
/** Of one certificate: alternatives, or the parts of a list. */
const MAX_URLS_EACH = 4;
/** A fetch, with the list's check and its way into the store. */
const TURN_MS = TIMEOUT_MS + 60_000;
const LEAST_MS = 60_000;
/** Lists appear before the one in force ends; asking costs nothing while the other side has validators. */
const ASK_AGAIN_MS = 3_600_000;
const MOST_MS = 86_400_000;
const FIRST_BACKOFF_MS = 30_000;
const MOST_BACKOFF_MS = 3_600_000;
/** After two thirds of a list's life. */
const PART_OF_LIFE = 2 / 3;

interface Remembered {
  etag: string | null;
  lastModified: string | null;
  thisUpdate: number;
  nextUpdate: number;
  failures: number;
}

const NOTHING: Remembered = { etag: null, lastModified: null, thisUpdate: 0, nextUpdate: 0, failures: 0 };

/** Due when its turn is to be looked at again. */
interface Point extends Due {
  url: string;
  authorities: Set<string>;
}

export interface FetchingParts {
  store: Store;
  lists: Lists;
  log: Log;
  metrics: RevocationMetrics;
  tell: Tell;
  clock: Clock;
}

export class Fetching {
  readonly #parts: FetchingParts;
  readonly #points = new Map<string, Point>();
  #authorities = new Map<string, BroughtAuthority>();
  #full = false;
  readonly #rounds: Rounds;

  constructor(parts: FetchingParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.clock, CONCURRENT);
  }

  start(): void {
    this.#rounds.start(TICK_MS, () => this.tick());
  }

  stop(): void {
    this.#rounds.stop();
  }

  /** The authorities of the policy in force; what is no longer asked for is no longer fetched. */
  adopt(authorities: readonly BroughtAuthority[]): void {
    this.#authorities = new Map(authorities.filter(it => it.revocation.fetch).map(it => [it.name, it]));
    for (const [url, { authorities: names }] of this.#points) {
      for (const name of names) if (!this.#authorities.has(name)) names.delete(name);
      if (names.size === 0) this.#points.delete(url);
    }
    for (const { name, revocation } of this.#authorities.values()) this.#want(name, revocation.urls, Infinity);
  }

  /** A verified certificate of the authority names these. */
  seen(authority: string, urls: readonly string[]): void {
    if (this.#authorities.has(authority)) this.#want(authority, urls, MAX_URLS_EACH);
  }

  /** Starts what is due. Resolves when all of that has ended. */
  async tick(): Promise<void> {
    await this.#rounds.begin(this.#points.values(), point =>
      this.#visit(point).catch(error => {
        // The store is away: what is in force stays.
        this.#parts.log.warn(
          { url: point.url, error: (error as Error).message },
          'a revocation list cannot be looked at',
        );
        return FIRST_BACKOFF_MS;
      }),
    );
  }

  #want(authority: string, urls: readonly string[], most: number): void {
    const usable = urls.filter(url => /^https?:\/\//i.test(url) && url.length <= MAX_URL_CHARACTERS);
    for (const url of usable.slice(0, most)) {
      const known = this.#points.get(url);
      if (known) known.authorities.add(authority);
      else if (this.#points.size < MAX_URLS) {
        this.#points.set(url, { url, authorities: new Set([authority]), due: 0, busy: false });
      } else if (!this.#full) {
        this.#full = true;
        this.#parts.log.error({ url, most: MAX_URLS }, 'too many distribution points: the rest is not fetched');
      }
    }
  }

  /** Answers how long to wait. */
  async #visit(point: Point): Promise<number> {
    const { store, clock } = this.#parts;
    const key = `fetch ${point.url}`;
    const taken = await takeTurn(store, key, NOTHING, clock.now(), { forMs: TURN_MS, mostMs: MOST_MS });
    if (!taken.turn) return Math.min(MOST_MS, Math.max(TICK_MS, taken.next - clock.now()));
    const [state, waitMs] = await this.#fetch(point, taken.turn);
    const wait = jittered(waitMs);
    await taken.turn.end(state, clock.now() + wait);
    return wait;
  }

  /** What to remember, and how long to wait. */
  async #fetch(point: Point, { state }: Turn<Remembered>): Promise<[Remembered, number]> {
    const { clock, metrics, log, tell } = this.#parts;
    const takers = [...point.authorities].flatMap(name => this.#authorities.get(name) ?? []);
    const first = takers[0];
    if (!first) return [state, LEAST_MS];
    const told = (result: Fetched) => {
      for (const { name } of takers) metrics.fetched(name, 'crl', result);
    };
    try {
      const found = await download(point.url, {
        allowPrivateAddresses: takers.every(({ revocation }) => revocation.allowPrivateAddresses),
        maxBytes: MAX_LIST_BYTES,
        etag: state.etag,
        lastModified: state.lastModified,
        signal: this.#rounds.signal,
      });
      const loaded = found.bytes && (await this.#take(point, takers, found.bytes));
      told(loaded?.replaced ? 'replaced' : 'unchanged');
      if (loaded?.replaced)
        log.info({ url: point.url, number: loaded.number, serials: loaded.serials }, 'a revocation list was fetched');
      const kept: Remembered = {
        etag: found.etag,
        lastModified: found.lastModified,
        thisUpdate: loaded?.this_update ?? state.thisUpdate,
        nextUpdate: loaded?.next_update ?? state.nextUpdate,
        failures: 0,
      };
      return [kept, waitFor(kept, found, clock.now())];
    } catch (error) {
      const refused = error instanceof ListRefused;
      told(refused ? 'refused' : 'failed');
      const fields = { url: point.url, authorities: [...point.authorities], error: (error as Error).message };
      const kept = 'the one in force stays';
      if (refused) log.error({ ...fields, hint: error.hint }, `a fetched revocation list was refused; ${kept}`);
      else log.warn(fields, `a revocation list could not be fetched; ${kept}`);
      tell(refused ? 'pki.revocation_list_refused' : 'pki.revocation_list_failed', {
        ListURL: point.url,
        Authorities: fields.authorities,
        Error: fields.error,
      });
      // Validators of what was refused would keep its correction from being looked at.
      const failures = state.failures + 1;
      const again = { ...state, failures, ...(refused && { etag: null, lastModified: null }) };
      return [again, backoff(failures, FIRST_BACKOFF_MS, MOST_BACKOFF_MS)];
    }
  }

  /** Into the engine for every authority that it speaks for, and into the store once. */
  async #take(point: Point, takers: readonly BroughtAuthority[], bytes: Buffer): Promise<LoadedList> {
    const { lists } = this.#parts;
    let [loaded, refusal]: [LoadedList | null, unknown] = [null, null];
    for (const { name } of takers) {
      try {
        const one = await lists.load(name, bytes);
        if (!loaded || one.replaced) loaded = one;
      } catch (error) {
        refusal = error;
      }
    }
    if (!loaded) throw refusal;
    if (loaded.replaced) {
      await lists.keep(takers[0]?.name ?? '', bytes, loaded, { source: 'fetched', id: point.url });
    }
    return loaded;
  }
}

/** Until the next visit: ahead of the list's end, and sooner where asking for a newer one is cheap. */
function waitFor({ thisUpdate, nextUpdate }: Remembered, found: Downloaded, now: number): number {
  const due = thisUpdate + (nextUpdate - thisUpdate) * PART_OF_LIFE - now;
  // Past that the authority is late with its next one: it is asked more and more often until the list ends.
  const life = due > 0 ? due : Math.max(0, nextUpdate - now) / 3;
  const cheap = found.etag !== null || found.lastModified !== null;
  const often = cheap ? Math.max(found.maxAgeMs ?? ASK_AGAIN_MS, ASK_AGAIN_MS / 6) : MOST_MS;
  return Math.min(MOST_MS, Math.max(LEAST_MS, Math.min(life, often)));
}
