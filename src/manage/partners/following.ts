// How partners come into force: from the store to the engine of this process, within a fraction of a second of the
// commit, whichever process wrote it.
//
// The engine is told all of them at once, with the fingerprints of what was issued here for each: a certificate's word
// `partner` ties it to a partner of that name, and to nobody while there is none. While the store cannot be read, what
// is known stays in force. When a partner expires is the engine's to see.

import type { PartnerMetrics } from '../../journal/metrics/partners.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import type { Store } from '../store/open.js';
import type { PartnersTable } from '../store/tables.js';
import { patternsOf } from './shapes.js';

/** Rows that are read at once. */
const PAGE = 5_000;
/** Beside the store's own notice: what came while the process started, or was missed, is seen this late at most. */
const LOOK_MS = 500;
/** Each time everything is told, and every verdict about partners is made anew: changes that come close together are told together. */
const GATHER_MS = 250;
/** A store that cannot be read for so long is worth a line. */
const AWAY_MS = 5_000;

/** The part of the native door that is told. */
export interface Tied {
  replacePartners(partners: string): void;
}

export interface FollowingParts {
  store: Store;
  native: Tied;
  log: Log;
  metrics: PartnerMetrics;
  clock: Clock;
}

type Row = Pick<
  PartnersTable,
  'name' | 'expires_at' | 'suspended_at' | 'certificates' | 'tokens' | 'operations' | 'revision'
>;

export class PartnerFollowing {
  readonly #parts: FollowingParts;
  /** The revisions that this process knows all about. */
  #known = { partners: -1, certificates: -1 };
  #partners: readonly Row[] = [];
  /** By partner: fingerprints of what was issued for it, and until when they count. */
  readonly #issued = new Map<string, Map<string, number>>();
  /** Partners as they were before the store was put back to an older state, and the revision that it came back with. */
  readonly #lost = new Map<string, Row & { back: number }>();
  /** Something is known here that the engine was not told. */
  #untold = true;
  #suspended: ReadonlySet<string> = new Set();
  #toldAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | null = null;
  #again = false;
  #gathering: NodeJS.Timeout | undefined;
  #readAt: number;
  #away = false;
  #refused = false;
  #stops: (() => void)[] = [];

  constructor(parts: FollowingParts) {
    this.#parts = parts;
    this.#readAt = parts.clock.elapsed();
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    const { store, metrics, clock } = this.#parts;
    await this.#read();
    this.#tell();
    metrics.lag(() => this.lagMs / 1_000);
    this.#stops = [
      store.follow('partners', () => this.look()),
      store.follow('certificates', () => this.look()),
      clock.every(LOOK_MS, () => this.look()),
    ];
  }

  stop(): void {
    clearTimeout(this.#gathering);
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** Since when the store was last read: what other processes changed within that time may be unknown here. */
  get lagMs(): number {
    return this.#parts.clock.elapsed() - this.#readAt;
  }

  /** Brings the engine up to date, or soon after other changes. Never rejects: what fails is tried again. */
  async look(): Promise<void> {
    if (this.#looking) {
      // It may have read past the change already.
      this.#again = true;
      return this.#looking;
    }
    this.#looking = this.#lookUntilStill();
    try {
      await this.#looking;
    } finally {
      this.#looking = null;
    }
  }

  async #lookUntilStill(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#read();
      } catch (error) {
        this.#gone(error as Error);
        return;
      }
      this.#here();
      this.#tellInTime();
    } while (this.#again);
  }

  async #read(): Promise<void> {
    const { store, clock } = this.#parts;
    const revisions = await store.revisions();
    const [partners, certificates] = [revisions.get('partners') ?? 0, revisions.get('certificates') ?? 0];
    if (partners < this.#known.partners) this.#keepRefusals(partners);
    const [rows, strangers] = partners === this.#known.partners ? [this.#partners, []] : await this.#readPartners();
    // Everybody's at the start, and when the store is older than it was; then only what is new.
    const since = certificates < this.#known.certificates ? -1 : this.#known.certificates;
    const names = new Set(rows.map(({ name }) => name));
    if (since === -1 || certificates > since) await this.#readIssued(since, certificates, names);
    if (since !== -1) for (const name of strangers) await this.#readIssuedTo(name, certificates);
    for (const name of this.#issued.keys()) if (!names.has(name) && !this.#lost.has(name)) this.#issued.delete(name);
    if (partners !== this.#known.partners) this.#untold = true;
    this.#partners = rows;
    this.#known = { partners, certificates };
    this.#readAt = clock.elapsed();
  }

  /** All of them, and the names of those that were not known. */
  async #readPartners(): Promise<[Row[], string[]]> {
    const { store } = this.#parts;
    const rows: Row[] = [];
    for (;;) {
      const some = await store.db
        .selectFrom('partners')
        .select(['name', 'expires_at', 'suspended_at', 'certificates', 'tokens', 'operations', 'revision'])
        .where('name', '>', rows.at(-1)?.name ?? '')
        .orderBy('name')
        .limit(PAGE)
        .execute();
      rows.push(...some);
      if (some.length < PAGE) break;
    }
    const known = new Set(this.#partners.map(({ name }) => name));
    return [rows, rows.flatMap(({ name }) => (known.has(name) ? [] : name))];
  }

  async #readIssued(above: number, upTo: number, names: ReadonlySet<string>): Promise<void> {
    if (names.size === 0) return;
    for (let after = ''; ; ) {
      const rows = await this.#unexpired()
        .where('revision', '>', above)
        .where('revision', '<=', upTo)
        .where('fingerprint', '>', after)
        .execute();
      for (const row of rows) if (names.has(row.partner ?? '')) this.#add(row);
      if (rows.length < PAGE) return;
      after = rows.at(-1)?.fingerprint ?? '';
    }
  }

  async #readIssuedTo(name: string, upTo: number): Promise<void> {
    for (let after = ''; ; ) {
      const rows = await this.#unexpired()
        .where('partner', '=', name)
        .where('revision', '<=', upTo)
        .where('fingerprint', '>', after)
        .execute();
      for (const row of rows) this.#add(row);
      if (rows.length < PAGE) return;
      after = rows.at(-1)?.fingerprint ?? '';
    }
  }

  #unexpired() {
    const { store, clock } = this.#parts;
    return store.db
      .selectFrom('certificates')
      .select(['fingerprint', 'partner', 'not_after'])
      .where('partner', 'is not', null)
      .where('not_after', '>', clock.now())
      .orderBy('fingerprint')
      .limit(PAGE);
  }

  #add({ fingerprint, partner, not_after }: { fingerprint: string; partner: string | null; not_after: number }): void {
    if (partner === null) return;
    const theirs = this.#issued.get(partner) ?? new Map<string, number>();
    this.#issued.set(partner, theirs);
    if (theirs.has(fingerprint)) return;
    theirs.set(fingerprint, not_after);
    this.#untold = true;
  }

  /** What the engine refuses and an older store does not know stays refused. */
  #keepRefusals(back: number): void {
    this.#parts.log.error(
      { revision: back, known: this.#known.partners },
      'the store is older than it was: partners are read anew, and those it has lost or suspended since stay as they were until a restart',
    );
    for (const row of this.#inForce()) this.#lost.set(row.name, { ...row, back });
  }

  #tellInTime(): void {
    if (!this.#untold) return;
    const { clock } = this.#parts;
    const urgent = this.#partners.some(({ name, suspended_at }) => suspended_at !== null && !this.#suspended.has(name));
    const wait = this.#toldAt + GATHER_MS - clock.elapsed();
    clearTimeout(this.#gathering);
    if (!urgent && wait > 0) {
      this.#gathering = setTimeout(() => this.#tellOrLog(), wait).unref();
      return;
    }
    this.#tellOrLog();
  }

  /** What the engine refuses is a bug or more than it holds: those before stay in force, and it is tried again. */
  #tellOrLog(): void {
    const { log, metrics } = this.#parts;
    try {
      this.#tell();
      this.#refused = false;
    } catch (error) {
      metrics.failed();
      if (this.#refused) return;
      this.#refused = true;
      log.error({ error: (error as Error).message }, 'partners cannot be taken up: those before stay in force');
    }
  }

  #tell(): void {
    const { native, metrics, clock } = this.#parts;
    this.#toldAt = clock.elapsed();
    const now = clock.now();
    const all = this.#inForce();
    native.replacePartners(JSON.stringify(all.map(row => this.#written(row, now))));
    this.#untold = false;
    const suspended = all.filter(({ suspended_at }) => suspended_at !== null);
    // At the start there are none that anybody waited for.
    for (const { name, suspended_at } of this.#stops.length === 0 ? [] : suspended) {
      if (!this.#suspended.has(name)) metrics.suspended((now - (suspended_at ?? now)) / 1_000);
    }
    this.#suspended = new Set(suspended.map(({ name }) => name));
  }

  #inForce(): readonly Row[] {
    if (this.#lost.size === 0) return this.#partners;
    const there = new Map(this.#partners.map(row => [row.name, row]));
    for (const [name, row] of this.#lost) {
      const now = there.get(name);
      if (now === undefined) there.set(name, row);
      // What was changed since it came back is an operator's word again.
      else if (row.suspended_at !== null && now.revision <= row.back) {
        there.set(name, { ...now, suspended_at: row.suspended_at });
      }
    }
    return [...there.values()];
  }

  #written(row: Row, now: number) {
    const { name, expires_at, suspended_at, operations } = row;
    const { certificates, tokens } = patternsOf(row);
    const theirs = this.#issued.get(name) ?? new Map<string, number>();
    for (const [fingerprint, until] of theirs) {
      // What has expired is refused as that, whosever it was.
      if (until <= now) theirs.delete(fingerprint);
    }
    return {
      name,
      suspended: suspended_at !== null,
      expires_at,
      certificates: [...certificates, ...[...theirs.keys()].map(fingerprint => ({ fingerprint }))],
      tokens,
      operations: JSON.parse(operations) as string[],
    };
  }

  #here(): void {
    if (this.#away) this.#parts.log.info('the store can be read again: partners are up to date');
    this.#away = false;
  }

  #gone(error: Error): void {
    this.#parts.metrics.failed();
    if (this.#away || this.lagMs < AWAY_MS) return;
    this.#away = true;
    this.#parts.log.error(
      { error: error.message, lagMs: Math.round(this.lagMs) },
      'the store cannot be read: partners that are known stay in force, changes are not seen',
    );
  }
}
