// How keys come into force: from the store to the engine of this process.
//
// At the start everything, in pages, before the first request; then rows above the revision that the engine knows. What
// is expired or revoked is taken away from it, so that it holds no more than can count.

import { setImmediate as others } from 'node:timers/promises';
import type { KeyMetrics } from '../../journal/metrics/keys.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import type { KeySecretsTable, KeysTable } from '../store/tables.js';
import { counting, EXPIRED_MS, listsOf } from './keys.js';

/** Rows that are read, and told, at once. SQLite works on the thread that asks: nobody else does meanwhile. */
const PAGE = 2_000;
/** Between two looks for keys that expired long ago. */
const SWEEP_MS = 3_600_000;
/** Keys that one line of the log names. */
const NAMED = 5;
/** Of the engine, whose table is full: what fits of the change is in force. */
const FULL = /^More than \d+ keys/;

/** The part of the native door that is told. */
export interface Admitting {
  /** JSON of `Change` in native/engine/src/keys/mod.rs. */
  changeKeys(change: string): void;
}

export interface EnforcingParts {
  store: Store;
  native: Admitting;
  log: Log;
  metrics: KeyMetrics;
  clock: Clock;
}

/** Of native/engine/src/keys/mod.rs. */
interface Written {
  id: string;
  secrets: { digest: string; not_after: number | null }[];
  partner: string | null;
  scopes: string[];
  expires_at: number | null;
  certificates: string[];
  networks: string[];
  hosts: string[];
}

/** What the engine is told of, and what tells whether it is. */
const COLUMNS = [
  ...(['id', 'partner', 'scopes', 'certificates', 'networks', 'hosts'] as const),
  ...(['expires_at', 'revoked_at', 'revision'] as const),
] as const;
const SECRET_COLUMNS = ['digest', 'key_id', 'not_after'] as const;

/** A row that cannot be meant. */
interface Fault {
  id: string;
  error: string;
}

interface Change {
  keys: Written[];
  removed: string[];
  faults: Fault[];
}

interface Page {
  rows: Pick<KeysTable, (typeof COLUMNS)[number]>[];
  secrets: Secret[];
}
type Secret = Pick<KeySecretsTable, (typeof SECRET_COLUMNS)[number]>;

export class Enforcing {
  readonly #parts: EnforcingParts;
  readonly #pulling: Pulling;
  #turn: Promise<void> = Promise.resolve();
  /** Keys that expired until then are not in the engine. Unix milliseconds. */
  #sweptTo = 0;
  /** It was told. */
  #full = false;
  #stopSweeping = () => {};

  constructor(parts: EnforcingParts) {
    const { store, log, clock, metrics } = parts;
    this.#parts = parts;
    this.#pulling = new Pulling({
      ...{ store, log, clock, topic: 'keys' },
      pull: (known, revision) =>
        this.#alone(() => (known === -1 ? this.#all(revision) : this.#changes(known, revision))),
      older: (revision, known) => this.#older(revision, known),
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: keys that are known go on counting, changes of them are not seen',
        back: 'the store can be read again: keys are up to date',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { metrics, clock } = this.#parts;
    this.#must({ reset: true });
    await this.#pulling.first();
    // What changed while a million of them were read.
    await this.#pulling.look();
    this.#must({ ready: true });
    metrics.lag(() => this.#pulling.lagMs / 1_000);
    this.#pulling.follow();
    this.#stopSweeping = clock.every(SWEEP_MS, () => void this.sweep());
  }

  stop(): void {
    this.#stopSweeping();
    this.#pulling.stop();
  }

  /** Brings the engine up to date. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#pulling.look();
  }

  /** In the order of ids, as they lie; what changes meanwhile has a newer revision, and follows. */
  async #all(revision: number): Promise<void> {
    const { store, clock } = this.#parts;
    this.#sweptTo = clock.now() - EXPIRED_MS;
    for (let after = ''; ; ) {
      const rows = await store.db
        .selectFrom('keys')
        .select(COLUMNS)
        .where('id', '>', after)
        .orderBy('id')
        .limit(PAGE)
        .execute();
      const last = rows.at(-1)?.id ?? after;
      const live = rows.filter(row => row.revision <= revision && row.revoked_at === null);
      const secrets = await store.db
        .selectFrom('key_secrets')
        .select(SECRET_COLUMNS)
        .where('key_id', '>', after)
        .where('key_id', '<=', last)
        .execute();
      this.#tell(changeOf({ rows: live, secrets }, clock.now()));
      if (rows.length < PAGE) return;
      after = last;
      await others();
    }
  }

  async #changes(known: number, revision: number): Promise<void> {
    const { store, clock, metrics } = this.#parts;
    for (let after = { revision: known, id: AFTER_ALL }; ; ) {
      const rows = await store.db
        .selectFrom('keys')
        .select(COLUMNS)
        // The first of the two finds the place, the second leaves out what was there before.
        .where('revision', '>=', after.revision)
        .where(it =>
          it.or([
            it('revision', '>', after.revision),
            it.and([it('revision', '=', after.revision), it('id', '>', after.id)]),
          ]),
        )
        .where('revision', '<=', revision)
        .orderBy('revision')
        .orderBy('id')
        .limit(PAGE)
        .execute();
      const ids = rows.map(({ id }) => id);
      if (ids.length === 0) return;
      const secrets = await store.db
        .selectFrom('key_secrets')
        .select(SECRET_COLUMNS)
        .where('key_id', 'in', ids)
        .execute();
      this.#tell(changeOf({ rows, secrets }, clock.now()));
      for (const { revoked_at } of rows) {
        if (revoked_at !== null) metrics.revoked((clock.now() - revoked_at) / 1_000);
      }
      const last = rows.at(-1);
      if (!last || rows.length < PAGE) return;
      after = { revision: last.revision, id: last.id };
      await others();
    }
  }

  /** What expired long ago is taken away from the engine. Never rejects: the next time it is tried again. */
  async sweep(): Promise<void> {
    const { store, clock, log } = this.#parts;
    const to = clock.now() - EXPIRED_MS;
    try {
      await this.#alone(async () => {
        for (let [at, after] = [this.#sweptTo, AFTER_ALL]; ; ) {
          const rows = await store.db
            .selectFrom('keys')
            .select(['id', 'expires_at'])
            .where('revoked_at', 'is', null)
            .where('expires_at', '>=', at)
            .where('expires_at', '<=', to)
            .where(it => it.or([it('expires_at', '>', at), it.and([it('expires_at', '=', at), it('id', '>', after)])]))
            .orderBy('revoked_at')
            .orderBy('expires_at')
            .orderBy('id')
            .limit(PAGE)
            .execute();
          if (rows.length > 0) this.#tell({ keys: [], removed: rows.map(({ id }) => id), faults: [] });
          const last = rows.at(-1);
          if (!last || rows.length < PAGE) break;
          [at, after] = [last.expires_at ?? at, last.id];
          await others();
        }
        this.#sweptTo = to;
      });
    } catch (error) {
      log.warn({ error: (error as Error).message }, 'keys that expired long ago cannot be looked up now');
    }
  }

  /** One after the other: a key whose end was moved while it was swept would be told, and then taken away. */
  #alone(act: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(act);
    this.#turn = done.catch(() => {});
    return done;
  }

  /**
   * A row that the engine does not take keeps no other one from coming into force, least of all a revocation: it does
   * not count itself, and that is told.
   */
  #tell({ keys, removed, faults }: Change): void {
    if (this.#taken({ keys, removed }) !== null) {
      this.#must({ removed });
      this.#tellHalves(keys, faults);
    }
    if (faults.length === 0) return;
    const { log, metrics } = this.#parts;
    for (const _ of faults) metrics.unusable();
    log.error({ keys: faults.slice(0, NAMED), count: faults.length }, 'keys cannot be used: they are refused');
  }

  #tellHalves(keys: readonly Written[], faults: Fault[]): void {
    const halves = (some: readonly Written[]): void => {
      const [key] = some;
      const error = key ? this.#taken({ keys: some }) : null;
      if (!key || error === null) return;
      if (some.length > 1) {
        halves(some.slice(0, some.length / 2));
        halves(some.slice(some.length / 2));
        return;
      }
      if (ID.test(key.id)) this.#must({ removed: [key.id] });
      faults.push({ id: key.id, error });
    };
    halves(keys);
  }

  #must(change: object): void {
    const fault = this.#taken(change);
    if (fault !== null) throw new Error(fault);
  }

  /** Why the engine took nothing of a change; null when it did. */
  #taken(change: object): string | null {
    const { native, log, metrics } = this.#parts;
    try {
      native.changeKeys(JSON.stringify(change));
      return null;
    } catch (error) {
      const { message } = error as Error;
      if (!FULL.test(message)) return message;
      if (!this.#full) log.error({ error: message }, 'there are more keys than fit: restart when there are fewer');
      if (!this.#full) metrics.unusable();
      this.#full = true;
      return null;
    }
  }

  /**
   * Nothing is given back: what was revoked since the store's older state stays refused, though the store has it as
   * good again. What is changed from now on follows.
   */
  #older(revision: number, known: number): number {
    this.#parts.log.error(
      { revision, known },
      'the store is older than it was: keys count as they did, until they change or the gateway is started again',
    );
    return revision;
  }
}

const ID = /^[0-9a-f]{12}$/;
/** Behind every id. */
const AFTER_ALL = 'g';

function changeOf({ rows, secrets }: Page, now: number): Change {
  const of = new Map<string, Secret[]>();
  for (const secret of counting(secrets, now)) {
    const known = of.get(secret.key_id);
    if (known) known.push(secret);
    else of.set(secret.key_id, [secret]);
  }
  const change: Change = { keys: [], removed: [], faults: [] };
  for (const row of rows) {
    const { id, revoked_at, expires_at } = row;
    const over = revoked_at !== null || (expires_at !== null && expires_at <= now - EXPIRED_MS);
    const valid = of.get(id) ?? [];
    try {
      if (!over && valid.length > 0) {
        change.keys.push(writtenOf(row, valid));
        continue;
      }
    } catch (error) {
      change.faults.push({ id, error: (error as Error).message });
    }
    // Anything else is no key that anybody could come with.
    if (ID.test(id)) change.removed.push(id);
  }
  return change;
}

function writtenOf(row: Page['rows'][number], valid: readonly Secret[]): Written {
  const { id, partner, expires_at } = row;
  const secrets = valid.map(({ digest, not_after }) => ({ digest, not_after }));
  return { id, secrets, partner, expires_at, ...listsOf(row) };
}
