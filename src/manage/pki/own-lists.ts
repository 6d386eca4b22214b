// The revocation lists of authorities whose keys are here: signed again within a second of a revocation and long before
// the last one ends, by one process for all, and kept in the store for all to publish.

import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { RevocationListsTable } from '../store/tables.js';
import { type Generation, signerOf } from './authorities.js';
import { CLOCK_SKEW_MS, type Clock } from './clock.js';
import { makeList, type Reason, type Run } from './commands.js';
import { takeTurn } from './turns.js';

/** What those who check lists live with between two fetches; they look again at half of it. */
export const LIFE_MS = 24 * 3_600_000;
const HALF_LIFE = 0.5;
const TICK_MS = 1_000;
/** Revocations of one moment go into one list. */
const SETTLE_MS = 150;
/** Two million entries take some seconds. */
const TURN_MS = 60_000;
/** Rows at once. */
const PAGE = 20_000;
/** A certificate stays on the list until the list after its end (RFC 5280, 3.3). */
const STAYS_MS = 2 * LIFE_MS;

export interface OwnList {
  keyId: string;
  number: string;
  der: Buffer;
  thisUpdate: number;
  nextUpdate: number;
}

export interface OwnListsParts {
  store: Store;
  run: Run;
  log: Log;
  clock: Clock;
}

type Kept = Pick<RevocationListsTable, 'number' | 'this_update' | 'next_update'>;

interface Covered {
  /** Of the topic `revocations`: the list holds all up to it. */
  revision: number;
}

export class OwnLists {
  readonly #parts: OwnListsParts;
  /** What each key's list is known to cover. */
  readonly #covered = new Map<string, number>();
  readonly #cache = new Map<string, OwnList>();
  /** Counts what made the cache old: a row that was read before is not kept after. */
  #epoch = 0;
  #passing: Promise<void> | null = null;
  #soon: NodeJS.Timeout | undefined;
  #failing = false;
  #stops: (() => void)[] = [];

  constructor(parts: OwnListsParts) {
    this.#parts = parts;
  }

  start(): void {
    const { store, clock } = this.#parts;
    this.#stops = [
      store.follow('revocations', () => this.#settle()),
      store.follow('authorities', () => this.#settle()),
      store.follow('revocation_lists', () => this.#forget()),
      clock.every(TICK_MS, () => void this.pass()),
    ];
  }

  stop(): void {
    clearTimeout(this.#soon);
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** As it is published; null while there is none. */
  async latest(keyId: string): Promise<OwnList | null> {
    const known = this.#cache.get(keyId);
    if (known) return known;
    const epoch = this.#epoch;
    const row = await this.#parts.store.db
      .selectFrom('revocation_lists')
      .select(['number', 'list', 'this_update', 'next_update'])
      .where('id', '=', idOf(keyId))
      .executeTakeFirst();
    if (!row) return null;
    const { number, list, this_update: thisUpdate, next_update: nextUpdate } = row;
    const found = { keyId, number, der: Buffer.from(list, 'base64'), thisUpdate, nextUpdate };
    if (epoch === this.#epoch) this.#cache.set(keyId, found);
    return found;
  }

  /** Signs whatever is due. Never rejects. */
  pass(): Promise<void> {
    this.#passing ??= this.#pass().finally(() => {
      this.#passing = null;
    });
    return this.#passing;
  }

  #forget(): void {
    this.#epoch += 1;
    this.#cache.clear();
  }

  #settle(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      // One under way may have read before the change.
      void (this.#passing ?? Promise.resolve()).then(() => this.pass());
    }, SETTLE_MS).unref();
  }

  async #pass(): Promise<void> {
    const { store, log, clock } = this.#parts;
    try {
      const now = clock.now();
      const generations = await store.db
        .selectFrom('generations')
        .selectAll()
        .where('sealed_key', 'is not', null)
        .where('not_after', '>', now)
        .execute();
      for (const generation of generations) {
        if (await this.#isDue(generation.key_id, now)) await this.#sign(generation, now);
      }
      this.#failing = false;
    } catch (error) {
      if (!this.#failing) {
        log.error(
          { error: (error as Error).message },
          'revocation lists of our own cannot be signed: the last ones stay published',
        );
      }
      this.#failing = true;
    }
  }

  async #isDue(keyId: string, now: number): Promise<boolean> {
    if (!isFresh(await this.#kept(keyId), now)) return true;
    return (await this.#newest(keyId)) > (this.#covered.get(keyId) ?? -1);
  }

  #kept(keyId: string): Promise<Kept | undefined> {
    return this.#parts.store.db
      .selectFrom('revocation_lists')
      .select(['number', 'this_update', 'next_update'])
      .where('id', '=', idOf(keyId))
      .executeTakeFirst();
  }

  async #newest(keyId: string): Promise<number> {
    const { newest } = await this.#parts.store.db
      .selectFrom('revocations')
      .select(({ fn }) => fn.max('revision').as('newest'))
      .where('key_id', '=', keyId)
      .executeTakeFirstOrThrow();
    return Number(newest ?? 0);
  }

  async #sign(generation: Generation, now: number): Promise<void> {
    const { store, run, log } = this.#parts;
    const keyId = generation.key_id;
    const taken = await takeTurn<Covered>(store, `list ${keyId}`, { revision: -1 }, now, { forMs: TURN_MS, mostMs: 0 });
    if (!taken.turn) return;
    const { turn } = taken;
    const revision = await this.#newest(keyId);
    const before = await this.#kept(keyId);
    if (isFresh(before, now) && turn.state.revision >= revision) {
      // Another process has done it.
      this.#covered.set(keyId, turn.state.revision);
      await turn.end(turn.state, 0);
      return;
    }
    try {
      const number = Number(before?.number ?? 0) + 1;
      const revoked = await this.#revoked(keyId, now);
      const { der } = await makeList(run, {
        issuer: signerOf(store, generation),
        number,
        this_update: now - CLOCK_SKEW_MS,
        next_update: now + LIFE_MS,
        revoked,
      });
      await this.#keep(generation, number, der, now);
      this.#covered.set(keyId, revision);
      await turn.end({ revision }, 0);
      log.info({ authority: generation.authority, number, revoked: revoked.length }, 'a revocation list was signed');
    } catch (error) {
      await turn.end(turn.state, 0);
      throw error;
    }
  }

  async #revoked(keyId: string, now: number) {
    const all: { serial: string; at: number; reason: Reason | null }[] = [];
    for (let after = ''; ; ) {
      const rows = await this.#parts.store.db
        .selectFrom('revocations')
        .leftJoin('certificates', join =>
          join
            .onRef('certificates.key_id', '=', 'revocations.key_id')
            .onRef('certificates.serial', '=', 'revocations.serial'),
        )
        .select([
          'revocations.serial',
          'revocations.state',
          'revocations.reason',
          'revocations.at',
          'certificates.not_after',
        ])
        .where('revocations.key_id', '=', keyId)
        .where('revocations.serial', '>', after)
        .orderBy('revocations.serial')
        .limit(PAGE)
        .execute();
      for (const { serial, state, reason, at, not_after } of rows) {
        if (serial === null || state === 'restored') continue;
        if (not_after !== null && not_after < now - STAYS_MS) continue;
        all.push({ serial, at, reason: reasonOf(reason) });
      }
      if (rows.length < PAGE) return all;
      after = rows.at(-1)?.serial ?? '';
    }
  }

  async #keep({ authority, key_id }: Generation, number: number, list: string, now: number): Promise<void> {
    const row = {
      authority,
      source: 'own' as const,
      key_id,
      number: String(number),
      list,
      this_update: now,
      next_update: now + LIFE_MS,
      at: now,
    };
    await this.#parts.store.write(['revocation_lists'], async (tx, { revocation_lists: revision }) => {
      const known = await tx
        .selectFrom('revocation_lists')
        .select('number')
        .where('id', '=', idOf(key_id))
        .executeTakeFirst();
      // Numbers only grow, whoever signs.
      if (known && Number(known.number) >= number) return;
      await tx
        .insertInto('revocation_lists')
        .values({ id: idOf(key_id), ...row, revision })
        .onConflict(it => it.column('id').doUpdateSet({ ...row, revision }))
        .execute();
    });
    this.#forget();
  }
}

/** Half of its life is left at least; one from the future is from before a clock jumped back. */
function isFresh(list: Kept | undefined, now: number): boolean {
  if (!list) return false;
  const { this_update: from, next_update: until } = list;
  return from <= now && now <= from + (until - from) * HALF_LIFE;
}

function idOf(keyId: string): string {
  return `own/${keyId}`;
}

/** As native/pki spells it; unspecified is left out of lists (RFC 5280, 5.3.1). */
export function reasonOf(reason: string): Reason | null {
  if (reason === 'unspecified') return null;
  return reason
    .replace('cACompromise', 'caCompromise')
    .replace('aACompromise', 'aaCompromise')
    .replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`) as Reason;
}
