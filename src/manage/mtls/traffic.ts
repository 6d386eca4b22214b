// What traffic tells about client certificates, kept in the store: which ones come, and how many requests of each hour
// had none or a bad one. Previews of changes are made of it.

import { sql } from 'kysely';
import type { Family } from '../../journal/metrics/family.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';

/** Between two looks at which certificates came: an unknown standing is asked for from here. */
const LOOK_MS = 1_000;
/** Between two writes; what a process that dies loses. */
const RECORD_MS = 10_000;
/** Certificates that wait for a write: as many as the door keeps. */
const MAX_WAITING = 100_000;
/** Rows of one statement: SQLite takes 32,766 values, a row has 13. */
const BATCH = 500;
const HOUR_MS = 3_600_000;
const COUNTER = 'portcullis_mtls_requests_total';

/** What `seen()` of the native door tells of a certificate; a call tells of a thousand at most. */
export interface Sighting {
  fingerprint: string;
  authority: string | null;
  key_id: string | null;
  serial: string;
  subject: string;
  issuer: string;
  issuer_key_id: string | null;
  not_before: number;
  not_after: number;
  crl_urls: string[];
  ocsp_urls: string[];
  /** Since the last call. */
  requests: number;
  last_seen: number;
  hosts: string[];
  /** Only the first time this process tells of it. */
  pem?: string;
}

export interface Traffic {
  store: Store;
  /** Drains what the engine saw. */
  seen(): string;
  /** Counter families, as JSON. */
  metrics(): string;
  /** Names this process among those that share the store. */
  node: string;
  /** For others who want to know which certificates come. */
  told(sightings: readonly Sighting[]): void;
  log: Log;
}

export class TrafficRecorder {
  readonly #from: Traffic;
  readonly #counted = new Map<string, number>();
  readonly #timers: NodeJS.Timeout[];
  readonly #waiting = new Map<string, Sighting>();
  #turn: Promise<void> = Promise.resolve();

  constructor(from: Traffic) {
    this.#from = from;
    this.#timers = [setInterval(() => this.#look(), LOOK_MS), setInterval(() => void this.record(), RECORD_MS)];
  }

  /** Writes what came since the last time. Never rejects: traffic goes on without its record. */
  record(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#record());
    return this.#turn;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.record();
  }

  async #record(): Promise<void> {
    try {
      this.#look();
      const sightings = [...this.#waiting.values()];
      this.#waiting.clear();
      for (let start = 0; start < sightings.length; start += BATCH) {
        await this.#keep(sightings.slice(start, start + BATCH));
      }
      await this.#count(Date.now());
    } catch (error) {
      this.#from.log.warn({ error: (error as Error).message }, 'what traffic told about certificates was not kept');
    }
  }

  #look(): void {
    for (;;) {
      const sightings = JSON.parse(this.#from.seen()) as Sighting[];
      if (sightings.length === 0) return;
      this.#from.told(sightings);
      for (const { pem: _, ...sighting } of sightings) {
        const before = this.#waiting.get(sighting.fingerprint);
        if (!before && this.#waiting.size >= MAX_WAITING) continue;
        const requests = sighting.requests + (before?.requests ?? 0);
        const authority = sighting.authority ?? before?.authority ?? null;
        this.#waiting.set(sighting.fingerprint, { ...sighting, requests, authority });
      }
    }
  }

  async #keep(sightings: readonly Sighting[]): Promise<void> {
    const rows = sightings.map(one => ({
      fingerprint: one.fingerprint,
      authority: one.authority,
      key_id: one.issuer_key_id,
      serial: one.serial,
      subject: one.subject,
      issuer: one.issuer,
      not_before: one.not_before,
      not_after: one.not_after,
      first_seen: one.last_seen,
      last_seen: one.last_seen,
      requests: one.requests,
      hosts: JSON.stringify(one.hosts),
    }));
    await this.#from.store.db
      .insertInto('seen')
      .values(rows)
      .onConflict(conflict =>
        conflict.column('fingerprint').doUpdateSet({
          authority: sql`coalesce(excluded.authority, seen.authority)`,
          key_id: sql`coalesce(excluded.key_id, seen.key_id)`,
          last_seen: sql`excluded.last_seen`,
          requests: sql`seen.requests + excluded.requests`,
          hosts: sql`excluded.hosts`,
        }),
      )
      .execute();
  }

  async #count(now: number): Promise<void> {
    const families = JSON.parse(this.#from.metrics()) as Family[];
    const family = families.find(({ name }) => name === COUNTER);
    if (!family || family.type === 'histogram') return;
    const deltas = new Map<
      string,
      { host: string; operation: string; valid: number; absent: number; invalid: number }
    >();
    for (const { labels, value } of family.samples) {
      const { host = '', operation = '-', certificate = '' } = labels;
      const series = JSON.stringify([host, operation, certificate]);
      const more = value - (this.#counted.get(series) ?? 0);
      this.#counted.set(series, value);
      if (more <= 0) continue;
      const key = JSON.stringify([host, operation]);
      const row = deltas.get(key) ?? { host, operation, valid: 0, absent: 0, invalid: 0 };
      if (certificate === 'valid' || certificate === 'absent' || certificate === 'invalid') row[certificate] += more;
      deltas.set(key, row);
    }
    const { store, node } = this.#from;
    const rows = [...deltas.values()].map(row => ({ ...row, hour: Math.floor(now / HOUR_MS), node }));
    for (let start = 0; start < rows.length; start += BATCH) {
      await store.db
        .insertInto('mtls_hours')
        .values(rows.slice(start, start + BATCH))
        .onConflict(conflict =>
          conflict.columns(['host', 'operation', 'hour', 'node']).doUpdateSet({
            valid: sql`mtls_hours.valid + excluded.valid`,
            absent: sql`mtls_hours.absent + excluded.absent`,
            invalid: sql`mtls_hours.invalid + excluded.invalid`,
          }),
        )
        .execute();
    }
  }
}
