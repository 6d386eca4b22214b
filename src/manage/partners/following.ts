// How partners come into force: from the store to the engine of this process, within a fraction of a second of the
// commit, whichever process wrote it.
//
// The engine is told all of them at once, with the fingerprints of what was issued here for each: a certificate's word
// `partner` ties it to a partner of that name, and to nobody while there is none. While the store cannot be read, what
// is known stays in force. When a partner expires is the engine's to see.

import type { PartnerMetrics } from '../../journal/metrics/partners.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { Pulling } from '../pulling.js';
import type { Store } from '../store/open.js';
import type { PartnersTable } from '../store/tables.js';
import { type CertificatePattern, MAX_QUOTA_PERIOD_S, patternsOf, type TokenPattern } from './shapes.js';

/** Rows that are read at once. */
const PAGE = 5_000;
/** Telling tells all, and every verdict about partners is made anew: changes that come close together go together. */
const GATHER_MS = 250;
/** Lone fingerprints that the engine holds (native/engine/src/partners/table.rs). */
const MAX_FINGERPRINTS = 1_000_000;
/** Partners that are left out one by one; more than that is no fault of single rows. */
const MAX_FAULTS = 100;
/** Partners that one line of the log names. */
const NAMED = 5;
/** After the engine did not take what it was told. */
const RETRY_MS = 2_000;

/** The part of the native door that is told. */
export interface Tied {
  /** JSON of native/engine/src/partners/mod.rs. */
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
  'name' | 'expires_at' | 'suspended_at' | 'certificates' | 'tokens' | 'operations' | 'quota' | 'revision'
>;

export class PartnerFollowing {
  readonly #parts: FollowingParts;
  readonly #partners: Pulling;
  readonly #certificates: Pulling;
  #rows: readonly Row[] = [];
  /** Of every partner: fingerprints of what was issued for it, and until when they count. */
  readonly #issued = new Map<string, Map<string, number>>();
  /** Partners as they were before the store was put back to an older state, and the revision that it came back with. */
  readonly #lost = new Map<string, Row & { back: number }>();
  #started = false;
  /** Something is known here that the engine was not told. */
  #untold = true;
  #suspended: ReadonlySet<string> = new Set();
  #toldAt = Number.NEGATIVE_INFINITY;
  #later: NodeJS.Timeout | undefined;
  #refused = false;
  #faulty = false;
  #full = false;

  constructor(parts: FollowingParts) {
    const { metrics } = parts;
    this.#parts = parts;
    this.#partners = new Pulling({
      ...parts,
      topic: 'partners',
      pull: () => this.#pullPartners(),
      older: (revision, known) => this.#older(revision, known),
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: partners stay as they are known, changes of them are not seen',
        back: 'the store can be read again: partners are up to date',
      },
    });
    this.#certificates = new Pulling({
      ...parts,
      topic: 'certificates',
      pull: (known, revision) => this.#pullIssued(known, revision),
      // What was issued since stays whose it was: it is told of once more, and nothing is forgotten.
      older: () => -1,
      failed: () => metrics.failed(),
      sentences: {
        away: 'the store cannot be read: what is issued for partners meanwhile is not seen',
        back: 'the store can be read again: what was issued for partners is known',
      },
    });
  }

  /** Hands everything over, then follows. To be awaited before the first request is served; rejects when it cannot. */
  async start(): Promise<void> {
    await this.#partners.first();
    await this.#certificates.first();
    this.#tell();
    this.#started = true;
    this.#parts.metrics.lag(() => Math.max(this.#partners.lagMs, this.#certificates.lagMs) / 1_000);
    this.#partners.follow();
    this.#certificates.follow();
  }

  stop(): void {
    clearTimeout(this.#later);
    this.#partners.stop();
    this.#certificates.stop();
  }

  /** Brings the engine up to date, or soon after other changes. Never rejects: what fails is tried again. */
  look(): Promise<void> {
    return this.#partners.look();
  }

  /** All of them: there are few, and those that are gone leave no row. */
  async #pullPartners(): Promise<void> {
    const rows: Row[] = [];
    for (let some: Row[] | null = null; some === null || some.length === PAGE; rows.push(...some)) {
      some = await this.#parts.store.db
        .selectFrom('partners')
        .select(['name', 'expires_at', 'suspended_at', 'certificates', 'tokens', 'operations', 'quota', 'revision'])
        .where('name', '>', rows.at(-1)?.name ?? '')
        .orderBy('name')
        .limit(PAGE)
        .execute();
    }
    const names = new Set(rows.map(({ name }) => name));
    for (const name of this.#issued.keys()) if (!names.has(name) && !this.#lost.has(name)) this.#issued.delete(name);
    const strangers = [...names].filter(name => !this.#issued.has(name));
    // Before they are read: what is issued meanwhile finds its partner.
    for (const name of strangers) this.#issued.set(name, new Map());
    // At the start they are read in one go.
    if (this.#started) await this.#readIssuedToAll(strangers);
    this.#rows = rows;
    this.#untold = true;
    this.#tellInTime();
  }

  async #pullIssued(known: number, revision: number): Promise<void> {
    for (let after = ''; this.#issued.size > 0; ) {
      const rows = await this.#unexpired()
        .where('revision', '>', known)
        .where('revision', '<=', revision)
        .where('fingerprint', '>', after)
        .execute();
      for (const row of rows) this.#add(row);
      if (rows.length < PAGE) break;
      after = rows.at(-1)?.fingerprint ?? '';
    }
    this.#tellInTime();
  }

  async #readIssuedToAll(names: readonly string[]): Promise<void> {
    try {
      for (const name of names) await this.#readIssuedTo(name);
    } catch (error) {
      // The next time they are strangers again.
      for (const name of names) this.#issued.delete(name);
      throw error;
    }
  }

  async #readIssuedTo(name: string): Promise<void> {
    for (let after = ''; ; ) {
      const rows = await this.#unexpired().where('partner', '=', name).where('fingerprint', '>', after).execute();
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
    const theirs = this.#issued.get(partner ?? '');
    if (!theirs || theirs.has(fingerprint)) return;
    theirs.set(fingerprint, not_after);
    this.#untold = true;
  }

  /** What the engine refuses and an older store does not know stays refused. */
  #older(back: number, known: number): number {
    this.#parts.log.error(
      { revision: back, known },
      'the store is older than it was: partners are read anew, and those it has lost, or suspended since, stay as they were until a restart',
    );
    for (const row of this.#inForce()) this.#lost.set(row.name, { ...row, back });
    return -1;
  }

  #tellInTime(): void {
    if (!this.#started || !this.#untold) return;
    const urgent = this.#rows.some(({ name, suspended_at }) => suspended_at !== null && !this.#suspended.has(name));
    const wait = this.#toldAt + GATHER_MS - this.#parts.clock.elapsed();
    if (urgent || wait <= 0) this.#tellOrTryAgain();
    else this.#tellAfter(wait);
  }

  #tellAfter(ms: number): void {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#tellOrTryAgain(), ms).unref();
  }

  /** What the engine does not take is a bug, or more than it holds: those before stay in force. */
  #tellOrTryAgain(): void {
    const { log, metrics } = this.#parts;
    try {
      this.#tell();
      this.#refused = false;
    } catch (error) {
      metrics.failed();
      if (!this.#refused) {
        log.error({ error: (error as Error).message }, 'partners cannot be taken up: those before stay in force');
      }
      this.#refused = true;
      this.#tellAfter(RETRY_MS);
    }
  }

  #tell(): void {
    const { metrics, clock } = this.#parts;
    clearTimeout(this.#later);
    this.#toldAt = clock.elapsed();
    const now = clock.now();
    const all = this.#inForce();
    this.#replace(this.#written(all, now));
    this.#untold = false;
    const suspended = all.filter(({ suspended_at }) => suspended_at !== null);
    for (const { name, suspended_at } of suspended) {
      // At the start there are none that anybody waited for.
      if (this.#started && !this.#suspended.has(name)) metrics.suspended((now - (suspended_at ?? now)) / 1_000);
    }
    this.#suspended = new Set(suspended.map(({ name }) => name));
  }

  #inForce(): readonly Row[] {
    if (this.#lost.size === 0) return this.#rows;
    const there = new Map(this.#rows.map(row => [row.name, row]));
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

  /**
   * A partner that the engine does not take keeps no other one from coming into force, least of all a suspension: it is
   * refused itself, with all that was issued for it, and that is told.
   */
  #replace(partners: Written[]): void {
    const faults: { partner: string; error: string }[] = [];
    for (;;) {
      try {
        this.#parts.native.replacePartners(JSON.stringify(partners));
        break;
      } catch (error) {
        const { message } = error as Error;
        // `[7] "acme" ...`: which of them it is.
        const index = Number(/^\[(\d+)\] /.exec(message)?.[1] ?? Number.NaN);
        const partner = partners[index];
        if (!partner || faults.length === MAX_FAULTS) throw error;
        const known = faults.some(fault => fault.partner === partner.name);
        partners[index] = { ...partner, ...CLOSED, certificates: known ? [] : partner.certificates.filter(isIssued) };
        faults.push({ partner: partner.name, error: message });
      }
    }
    if (faults.length > 0 && !this.#faulty) {
      this.#parts.log.error({ faults: faults.slice(0, NAMED) }, 'partners cannot be taken up: they are refused');
    }
    this.#faulty = faults.length > 0;
  }

  #written(rows: readonly Row[], now: number): Written[] {
    let left = MAX_FINGERPRINTS;
    // Whoever is refused is so by all that was issued, whatever is left for the others.
    const inTurn = [...rows].sort((a, b) => Number(b.suspended_at !== null) - Number(a.suspended_at !== null));
    const written = inTurn.map(row => {
      const { name, expires_at, suspended_at, operations, quota } = row;
      const { certificates, tokens } = patternsOf(row);
      const theirs = this.#issued.get(name) ?? new Map<string, number>();
      for (const [fingerprint, until] of theirs) {
        // What has expired is refused as that, whosever it was.
        if (until <= now) theirs.delete(fingerprint);
      }
      const issued = [...theirs.keys()].slice(0, Math.max(0, left)).map(fingerprint => ({ fingerprint }));
      left -= theirs.size + certificates.length;
      return {
        name,
        suspended: suspended_at !== null,
        expires_at,
        certificates: [...certificates, ...issued],
        tokens,
        operations: JSON.parse(operations) as string[],
        quota: quota === null ? undefined : quotaOf(quota),
      };
    });
    if (left < 0 && !this.#full) {
      this.#parts.log.error(
        { above: MAX_FINGERPRINTS },
        'more certificates are in force for partners than the engine holds: the others count as nobody’s',
      );
    }
    this.#full = left < 0;
    return written;
  }
}

/** Longer periods than the engine counts by were kept once, when nothing was counted: those are a year's. */
function quotaOf(written: string): Written['quota'] {
  const { requests, period_s } = JSON.parse(written) as { requests: number; period_s: number };
  return { requests, period_s: Math.min(period_s, MAX_QUOTA_PERIOD_S) };
}

/** Of native/engine/src/partners/mod.rs. */
interface Written {
  name: string;
  suspended: boolean;
  expires_at: number | null;
  certificates: CertificatePattern[];
  tokens: TokenPattern[];
  operations: string[];
  /** What it may ask, all its credentials together. */
  quota: { requests: number; period_s: number } | undefined;
}

const CLOSED = { suspended: true, tokens: [], operations: [], quota: undefined };

/** Nothing but a fingerprint. */
function isIssued({ authority, subject, san }: CertificatePattern): boolean {
  return authority === undefined && subject === undefined && san === undefined;
}
