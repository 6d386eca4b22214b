// Tokens of the admin API: how they look, how they are kept, and who presents one.
//
// `pct_<id>_<secret>_<checksum>` (shown-once.ts).

import { createHash, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Form, hashOf } from '../shown-once.js';
import type { Store, Writing } from '../store/open.js';
import type { Role, TokensTable } from '../store/tables.js';

/** Tokens that were found good and are remembered; more than a team has. */
const REMEMBERED = 1_000;
/** A token is looked up again after this long, should the news of a change get lost. */
const REMEMBERED_MS = 30_000;
/** Between two writes of when tokens were last used. */
const USES_MS = 60_000;

export interface NewToken {
  name: string;
  role: Role;
  /** Unix milliseconds, or null: it does not expire. */
  expiresAt: number | null;
  createdBy: string;
}

export type Refused = 'malformed' | 'unknown' | 'expired' | 'revoked';

/** Whom a token speaks for. */
export interface Holder {
  id: string;
  name: string;
  role: Role;
}

interface Remembered extends Holder {
  expiresAt: number | null;
  /** Unix milliseconds. */
  seen: number;
  age: number;
}

const FORM = new Form('pct', body => createHash('sha256').update(`checksum of ${body}`).digest('hex').slice(0, 8));

export function makeToken(): { id: string; token: string } {
  const { id, text } = FORM.make();
  return { id, token: text };
}

/** The token's id, or null for what is no token. */
export function tokenId(token: string): string | null {
  return FORM.idOf(token);
}

/** Adds a token, within `Store.write` on the topic `tokens`. The token itself is answered here and kept nowhere. */
export async function addToken(tx: Writing, { name, role, expiresAt, createdBy }: NewToken) {
  const { id, token } = makeToken();
  const row: TokensTable = {
    id,
    name,
    role,
    hash: hashOf(token).toString('hex'),
    created_at: Date.now(),
    created_by: createdBy,
    expires_at: expiresAt,
    last_used_at: null,
    revoked_at: null,
    version: 1,
  };
  await tx.insertInto('tokens').values(row).execute();
  return { token, row };
}

/** Who presents which token. Revocations reach it within a fraction of a second, from whichever process they come. */
export class Tokens {
  readonly #store: Store;
  readonly #remembered = new LRUCache<string, Remembered>({ max: REMEMBERED });
  readonly #used = new Map<string, number>();
  readonly #unfollow: () => void;
  readonly #timer: NodeJS.Timeout;
  /** Grows with every change of tokens: what was looked up before has to be looked up again. */
  #age = 0;

  constructor(store: Store) {
    this.#store = store;
    this.#unfollow = store.follow('tokens', () => this.forget());
    this.#timer = setInterval(() => void this.writeUses(), USES_MS);
    this.#timer.unref();
  }

  /** Without a look-up: whom a token speaks for that was good a moment ago, while no token changed. */
  remembered(token: string): Holder | null {
    const holder = this.#remembered.get(keyOf(hashOf(token)));
    if (!holder || holder.age !== this.#age || past(holder.expiresAt)) return null;
    return Date.now() - holder.seen < REMEMBERED_MS ? this.#use(holder) : null;
  }

  /** Whether it was good the last time: worth a look-up whoever else fails. */
  wasGood(token: string): boolean {
    return this.#remembered.has(keyOf(hashOf(token)));
  }

  async verify(token: string): Promise<Holder | Refused> {
    const id = tokenId(token);
    if (id === null) return 'malformed';
    const [age, seen] = [this.#age, Date.now()];
    const hash = hashOf(token);
    const row = await this.#store.db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
    const same = timingSafeEqual(Buffer.from(row?.hash ?? '0'.repeat(64), 'hex'), hash);
    const found = same && row ? standing(row) : 'unknown';
    if (typeof found === 'string') {
      this.#remembered.delete(keyOf(hash));
      return found;
    }
    const holder = { ...found, seen, age };
    this.#remembered.set(keyOf(hash), holder);
    return this.#use(holder);
  }

  /** Tokens changed. */
  forget(): void {
    this.#age += 1;
  }

  /** When tokens were last used: in batches, as it is no change that anybody waits for. */
  async writeUses(): Promise<void> {
    const used = [...this.#used];
    this.#used.clear();
    if (used.length === 0) return;
    try {
      await this.#store.db.transaction().execute(async tx => {
        for (const [id, at] of used) {
          await tx.updateTable('tokens').set({ last_used_at: at }).where('id', '=', id).execute();
        }
      });
    } catch {
      // The store is away. The next use tells again.
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#unfollow();
    await this.writeUses();
  }

  #use({ id, name, role }: Remembered): Holder {
    this.#used.set(id, Date.now());
    return { id, name, role };
  }
}

function standing({ id, name, role, expires_at: expiresAt, revoked_at }: TokensTable) {
  if (revoked_at !== null) return 'revoked' as const;
  return past(expiresAt) ? ('expired' as const) : { id, name, role, expiresAt };
}

function past(time: number | null): boolean {
  return time !== null && time <= Date.now();
}

/** The token itself is not kept in memory either. */
function keyOf(hash: Buffer): string {
  return hash.toString('base64');
}
