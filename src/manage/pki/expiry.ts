// What ends soon: gauges for all of it, and a line each when 30, 7 and 1 days are left, written by one process of a fleet
// and not again after a restart.
//
// Of issued certificates there may be millions (ends.ts). Of authorities, lists and servers' certificates there are few:
// each is remembered until its end.

import { createHash, X509Certificate } from 'node:crypto';
import type { Tell } from '../../journal/events/notices.js';
import { DAYS, type Days, type Expiry, type RevocationMetrics } from '../../journal/metrics/revocation.js';
import { EndWatch } from '../end-watch.js';
import { type Mark, tellOfEnds } from '../ends.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { Brought } from './brought.js';
import type { Clock } from './clock.js';
import { rfc3339 } from './lifetime.js';
import { takeTurn } from './turns.js';

const DAY_MS = 86_400_000;
const TURN_MS = 30_000;
/** More server certificates than any one gateway has. */
const MAX_REMEMBERED = 5_000;

/** Something of which there are few. */
export interface Ending extends Expiry {
  /** Its own, not the name's: a successor is told of anew. */
  print: string;
  subject?: string;
}

/** A certificate that the gateway shows, or that its configuration brings: the first of a PEM text. */
export function endingOf(kind: Ending['kind'], name: string, pem: string): Ending | null {
  try {
    const certificate = new X509Certificate(pem);
    const print = createHash('sha256').update(certificate.raw).digest('hex');
    const subject = certificate.subject.replaceAll('\n', ', ');
    return { kind, name, at: new Date(certificate.validTo).getTime(), print, subject };
  } catch {
    return null;
  }
}

export interface ExpiryParts {
  store: Store;
  log: Log;
  metrics: RevocationMetrics;
  tell: Tell;
  clock: Clock;
}

/** By fingerprint: the smallest distance that was told, and the end, after which it is forgotten. */
type Told = Record<string, { days: Days; at: number }>;

export class ExpiryWatch extends EndWatch {
  readonly #parts: ExpiryParts;
  /** Of the configuration in force. */
  #configured: readonly Ending[] = [];

  constructor(parts: ExpiryParts) {
    super(parts, 'what expires cannot be looked up now');
    this.#parts = parts;
  }

  adopt(authorities: readonly Brought[], servers: readonly Ending[]): void {
    const brought = authorities.flatMap(({ name, certificates }) => endingOf('authority', name, certificates) ?? []);
    this.#configured = [...servers, ...brought];
  }

  protected override async lookAt(now: number): Promise<void> {
    const { metrics } = this.#parts;
    const few = [...this.#configured, ...(await this.#hosted()), ...(await this.#lists())];
    metrics.expiries(earliest(few));
    metrics.expiring(await this.#counts(now));
    await this.#tellFew(few, now);
    await this.#tellIssued(now);
  }

  /** Generations that are trusted now; one that is rotated out ends with its trust. */
  async #hosted(): Promise<Ending[]> {
    const rows = await this.#parts.store.db
      .selectFrom('generations')
      .innerJoin('authorities', 'authorities.name', 'generations.authority')
      .select(['generations.id', 'authority', 'subject', 'not_after', 'key_id'])
      .where('generations.state', '=', 'trusted')
      .where('authorities.state', '=', 'active')
      .where('trusted_until', 'is', null)
      .execute();
    return rows.map(({ id, authority, subject, not_after, key_id }) => ({
      kind: 'authority',
      name: authority,
      at: not_after,
      print: `${key_id} ${id}`,
      subject,
    }));
  }

  /** Also our own: they are signed long before, so that one that ends soon means that nobody signs. */
  async #lists(): Promise<Ending[]> {
    const rows = await this.#parts.store.db
      .selectFrom('revocation_lists')
      .select(['id', 'authority', 'next_update', 'number'])
      .execute();
    return rows.map(({ id, authority, next_update, number }) => ({
      kind: 'crl',
      name: authority,
      at: next_update,
      print: createHash('sha256').update(`${id} ${number}`).digest('hex'),
    }));
  }

  /** Issued certificates that are not revoked. */
  #lasting() {
    return this.#parts.store.db
      .selectFrom('certificates')
      .leftJoin('revocations', join =>
        join
          .onRef('revocations.key_id', '=', 'certificates.key_id')
          .onRef('revocations.serial', '=', 'certificates.serial'),
      )
      .where(it => it.or([it('revocations.state', 'is', null), it('revocations.state', '!=', 'revoked')]));
  }

  async #counts(now: number) {
    const counts = await Promise.all(
      DAYS.map(days =>
        this.#lasting()
          .select(({ fn }) => ['certificates.authority', fn.countAll().as('count')])
          .where('not_after', '>', now)
          .where('not_after', '<=', now + days * DAY_MS)
          .groupBy('certificates.authority')
          .execute()
          .then(rows => rows.map(({ authority, count }) => ({ authority, days, count: Number(count) }))),
      ),
    );
    return counts.flat();
  }

  async #tellFew(few: readonly Ending[], now: number): Promise<void> {
    const { store, log, tell } = this.#parts;
    // Lists of a day are no news when a day is left: what counts is a life that is nearly over.
    const due = few.filter(({ kind, at }) => kind !== 'crl' && distance(at, now) !== null);
    const late = few.filter(({ kind, at }) => kind === 'crl' && at - now < DAY_MS / 2);
    if (due.length + late.length === 0) return;
    const taken = await takeTurn<Told>(store, 'expiry few', {}, now, { forMs: TURN_MS, mostMs: 0 });
    if (!taken.turn) return;
    const told: Told = Object.fromEntries(Object.entries(taken.turn.state).filter(([, { at }]) => at > now - DAY_MS));
    for (const ending of [...due, ...late]) {
      const days = distance(ending.at, now) ?? 1;
      const known = told[ending.print];
      if ((known && known.days <= days) || Object.keys(told).length >= MAX_REMEMBERED) continue;
      told[ending.print] = { days, at: Math.max(ending.at, now) };
      const { kind, name, at, subject } = ending;
      const expires = rfc3339(at);
      log.warn({ kind, name, ...(subject && { subject }), expires, days }, SENTENCES[kind]);
      tell('pki.expiring', {
        Kind: kind,
        Name: name,
        ...(subject && { Subject: subject }),
        Expires: expires,
        Days: days,
      });
    }
    await taken.turn.end(told, 0);
  }

  #tellIssued(now: number): Promise<void> {
    return tellOfEnds({
      store: this.#parts.store,
      name: 'expiry issued',
      now,
      ending: (from, to, limit) => this.#ending(from, to, limit),
      markOf: row => ({ at: row.not_after, id: row.fingerprint }),
      tell: (row, days) => this.#tell(row, days),
    });
  }

  #ending(from: Mark, to: number, limit: number) {
    return this.#lasting()
      .select(['certificates.authority', 'name', 'certificates.serial', 'certificates.fingerprint', 'not_after'])
      .where('not_after', '<=', to)
      .where(it =>
        it.or([
          it('not_after', '>', from.at),
          it.and([it('not_after', '=', from.at), it('certificates.fingerprint', '>', from.id)]),
        ]),
      )
      .orderBy('not_after')
      .orderBy('certificates.fingerprint')
      .limit(limit)
      .execute();
  }

  #tell(row: { authority: string; name: string; serial: string; not_after: number }, days: Days): void {
    const { authority, name, serial, not_after } = row;
    const expires = rfc3339(not_after);
    const { log, tell } = this.#parts;
    log.warn({ kind: 'certificate', authority, name, serial, expires, days }, 'an issued certificate expires soon');
    tell('pki.expiring', {
      ...{ Kind: 'certificate', Name: name, Authority: authority, Serial: serial },
      ...{ Expires: expires, Days: days },
    });
  }
}

const SENTENCES: Record<Ending['kind'], string> = {
  authority: "an authority's certificate expires soon",
  server: 'a server certificate expires soon',
  crl: 'a revocation list is nearly over, and there is no newer one',
};

/** The smallest of the distances that something is within; null when it is farther away. */
function distance(at: number, now: number): Days | null {
  return [...DAYS].reverse().find(days => at - now <= days * DAY_MS) ?? null;
}

/** Of each name one: the one that ends first. */
function earliest(all: readonly Ending[]): Expiry[] {
  const found = new Map<string, Expiry>();
  for (const { kind, name, at } of all) {
    const known = found.get(`${kind} ${name}`);
    if (!known || at < known.at) found.set(`${kind} ${name}`, { kind, name, at });
  }
  return [...found.values()];
}
