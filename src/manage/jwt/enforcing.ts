// How tokens that were taken back come into force: from the store to the engine of this process, within a fraction of a
// second of the commit, whichever process wrote it. While the store cannot be read, what is known stays in force.

import type { JwtMetrics } from '../../journal/metrics/jwt.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import type { TokenRevocationsTable } from '../store/tables.js';

/** Rows that are read, and told, at once. */
const PAGE = 10_000;
/** Between two attempts to hand everything over anew, which reads all rows. */
const ANEW_MS = 10_000;

/** The part of the native door that is told. */
export interface RevokingNative {
  /** JSON of `Change` in native/engine/src/jwt/revoked.rs. */
  revokeTokens(change: string): void;
}

export interface EnforcingParts {
  store: Store;
  native: RevokingNative;
  log: Log;
  metrics: JwtMetrics;
  clock: Clock;
}

export class Enforcing {
  readonly #parts: EnforcingParts;
  readonly #pulling: Pulling;
  /** The engine did not take all of it, and denies everybody until it is handed over anew. By the steady clock. */
  #anewAt: number | null = null;

  constructor(parts: EnforcingParts) {
    const { store, log, metrics, clock } = parts;
    this.#parts = parts;
    this.#pulling = new Pulling({
      ...{ store, log, clock, topic: 'token_revocations' },
      pull: (known, revision) => this.#pull(known, revision),
      older: (revision, known) => this.#older(revision, known),
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: tokens that are taken back stay so, new revocations are not seen',
        back: 'the store can be read again: revoked tokens are up to date',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    this.#parts.native.revokeTokens(JSON.stringify({ reset: true, ...changeOf([]) }));
    await this.#pulling.first();
    this.#parts.metrics.lag(() => this.#pulling.lagMs / 1_000);
    this.#pulling.follow();
  }

  stop(): void {
    this.#pulling.stop();
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#pulling.look();
  }

  async #pull(known: number, revision: number): Promise<void> {
    if (this.#anewAt !== null) return await this.#anew(revision);
    try {
      for await (const rows of this.#pages(known, revision)) this.#tell(changeOf(rows));
    } catch (error) {
      if (error instanceof Untaken) this.#anewAt = this.#parts.clock.elapsed() + ANEW_MS;
      throw error;
    }
  }

  /** In one step, so that nothing passes in between. */
  async #anew(revision: number): Promise<void> {
    const { clock, log } = this.#parts;
    if (clock.elapsed() < (this.#anewAt ?? 0)) throw new Untaken('more tokens are revoked than the engine holds');
    this.#anewAt = clock.elapsed() + ANEW_MS;
    const all: TokenRevocationsTable[] = [];
    for await (const rows of this.#pages(-1, revision)) all.push(...rows.filter(({ state }) => state === 'revoked'));
    this.#tell({ reset: true, ...changeOf(all) });
    this.#anewAt = null;
    log.info({ revoked: all.length }, 'the engine holds all revoked tokens again');
  }

  #tell(change: object): void {
    try {
      this.#parts.native.revokeTokens(JSON.stringify(change));
    } catch (error) {
      throw new Untaken((error as Error).message, { cause: error });
    }
  }

  /** What changed and has not lapsed. */
  async *#pages(known: number, revision: number): AsyncGenerator<TokenRevocationsTable[]> {
    const now = this.#parts.clock.now();
    for (let after = ''; ; ) {
      const rows = await this.#parts.store.db
        .selectFrom('token_revocations')
        .selectAll()
        .where('revision', '>', known)
        .where('revision', '<=', revision)
        .where(it => it.or([it('until', 'is', null), it('until', '>', now)]))
        .where('id', '>', after)
        .orderBy('id')
        .limit(PAGE)
        .execute();
      if (rows.length > 0) yield rows;
      if (rows.length < PAGE) return;
      after = rows.at(-1)?.id ?? '';
    }
  }

  /** Nothing is given back: what the engine refuses and this store does not know stays refused. */
  #older(revision: number, known: number): number {
    this.#parts.log.error(
      { revision, known },
      'the store is older than it was: revoked tokens are read anew, and those it has lost stay refused until a restart',
    );
    return -1;
  }
}

/** The engine says that it is too much, or no change. */
class Untaken extends Error {}

/** As the door's `revokeTokens` takes it. */
function changeOf(rows: readonly TokenRevocationsTable[]) {
  const told = (state: TokenRevocationsTable['state']) =>
    rows
      .filter(row => row.state === state)
      .map(({ configuration, kind, value, at, until }) => ({ configuration, kind, value, at, until }));
  return { revoked: told('revoked'), restored: told('restored') };
}
