// Partners that end soon: gauges, and a line and an event each when 30, 7 and 1 days are left.

import type { Tell } from '../../journal/events/notices.js';
import type { PartnerMetrics } from '../../journal/metrics/partners.js';
import { DAYS, type Days } from '../../journal/metrics/revocation.js';
import { EndWatch } from '../end-watch.js';
import { type Mark, tellOfEnds } from '../ends.js';
import type { Log } from '../log.js';
import type { Clock } from '../pki/clock.js';
import { rfc3339 } from '../pki/lifetime.js';
import type { Store } from '../store/open.js';
import type { PartnersTable } from '../store/tables.js';
import { statusOf } from './partners.js';

const DAY_MS = 86_400_000;

export interface ExpiryParts {
  store: Store;
  log: Log;
  metrics: PartnerMetrics;
  tell: Tell;
  clock: Clock;
}

type EndingPartner = Pick<PartnersTable, 'name' | 'owner' | 'expires_at'>;

export class PartnerExpiry extends EndWatch {
  readonly #parts: ExpiryParts;

  constructor(parts: ExpiryParts) {
    super(parts, 'which partners expire cannot be looked up now');
    this.#parts = parts;
  }

  protected override async lookAt(now: number): Promise<void> {
    const { store, metrics } = this.#parts;
    const rows = await store.db.selectFrom('partners').select(['suspended_at', 'expires_at']).execute();
    const counts = { active: 0, suspended: 0, expired: 0 };
    for (const row of rows) counts[statusOf(row, now)] += 1;
    metrics.standing(counts);
    const ends = rows.flatMap(row => (statusOf(row, now) === 'active' ? (row.expires_at ?? []) : []));
    metrics.expiring(DAYS.map(days => ({ days, count: ends.filter(at => at <= now + days * DAY_MS).length })));
    await tellOfEnds({
      ...{ store, now, name: 'expiry partners' },
      ending: (from, to, limit) => this.#ending(from, to, limit),
      markOf: row => ({ at: row.expires_at ?? now, id: row.name }),
      tell: (row, days) => this.#tell(row, days),
    });
  }

  #ending(from: Mark, to: number, limit: number): Promise<EndingPartner[]> {
    return this.#parts.store.db
      .selectFrom('partners')
      .select(['name', 'owner', 'expires_at'])
      .where('expires_at', '<=', to)
      .where(it =>
        it.or([it('expires_at', '>', from.at), it.and([it('expires_at', '=', from.at), it('name', '>', from.id)])]),
      )
      .where('suspended_at', 'is', null)
      .orderBy('expires_at')
      .orderBy('name')
      .limit(limit)
      .execute();
  }

  #tell({ name, owner, expires_at }: EndingPartner, days: Days): void {
    const { log, tell } = this.#parts;
    const expires = rfc3339(expires_at ?? 0);
    log.warn({ partner: name, owner, expires, days }, 'a partner expires soon');
    tell('partners.expiring', { Partner: name, Owner: owner, Expires: expires, Days: days });
  }
}
