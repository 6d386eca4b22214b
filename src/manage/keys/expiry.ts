// Keys that end soon: a gauge, and a line and an event each when 30, 7 and 1 days are left.

import type { Tell } from '../../journal/events/notices.js';
import type { KeyMetrics } from '../../journal/metrics/keys.js';
import { DAYS, type Days } from '../../journal/metrics/revocation.js';
import { EndWatch } from '../end-watch.js';
import { type Mark, tellOfEnds } from '../ends.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { rfc3339 } from '../pki/lifetime.js';
import type { Store } from '../store/open.js';
import type { KeysTable } from '../store/tables.js';

const DAY_MS = 86_400_000;

export interface ExpiryParts {
  store: Store;
  log: Log;
  metrics: KeyMetrics;
  tell: Tell;
  clock: Clock;
}

type EndingKey = Pick<KeysTable, 'id' | 'name' | 'kind' | 'partner' | 'expires_at'>;

export class KeyExpiry extends EndWatch {
  readonly #parts: ExpiryParts;

  constructor(parts: ExpiryParts) {
    super(parts, 'which keys expire cannot be looked up now');
    this.#parts = parts;
  }

  protected override async lookAt(now: number): Promise<void> {
    const { store, metrics } = this.#parts;
    metrics.expiring(await Promise.all(DAYS.map(async days => ({ days, count: await this.#count(now, days) }))));
    await tellOfEnds({
      ...{ store, now, name: 'expiry keys' },
      ending: (from, to, limit) => this.#ending(from, to, limit),
      markOf: row => ({ at: row.expires_at ?? now, id: row.id }),
      tell: (row, days) => this.#tell(row, days),
    });
  }

  async #count(now: number, days: Days): Promise<number> {
    const { count } = await this.#parts.store.db
      .selectFrom('keys')
      .select(({ fn }) => fn.countAll().as('count'))
      .where('expires_at', '>', now)
      .where('expires_at', '<=', now + days * DAY_MS)
      .where('revoked_at', 'is', null)
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  #ending(from: Mark, to: number, limit: number): Promise<EndingKey[]> {
    return (
      this.#parts.store.db
        .selectFrom('keys')
        .select(['id', 'name', 'kind', 'partner', 'expires_at'])
        .where('expires_at', '>=', from.at)
        .where('expires_at', '<=', to)
        .where(it =>
          it.or([it('expires_at', '>', from.at), it.and([it('expires_at', '=', from.at), it('id', '>', from.id)])]),
        )
        .where('revoked_at', 'is', null)
        // Null all along: PostgreSQL finds its index by it.
        .orderBy('revoked_at')
        .orderBy('expires_at')
        .orderBy('id')
        .limit(limit)
        .execute()
    );
  }

  #tell(row: EndingKey, days: Days): void {
    const { log, tell } = this.#parts;
    const { id, name, kind, partner } = row;
    const expires = rfc3339(row.expires_at ?? 0);
    log.warn({ key: id, name, kind, ...(partner !== null && { partner }), expires, days }, 'a key expires soon');
    tell('keys.expiring', {
      ...{ KeyID: id, Name: name, Kind: kind },
      ...(partner !== null && { Partner: partner }),
      ...{ Expires: expires, Days: days },
    });
  }
}
