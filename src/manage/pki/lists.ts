// Revocation lists of brought authorities that did not come from a file: uploaded or fetched by any process of the
// fleet, kept in the store, and in force in every process.
//
// Whether a list is any good (its signature, its dates, no delta) is the engine's to say; what it refuses is not kept.

import { type Audit, Refusal } from '../admin/api.js';
import type { Log } from '../log.js';
import type { Store } from '../store/open.js';
import type { BroughtAuthority } from './brought.js';
import { rfc3339 } from './lifetime.js';

/** The part of the native door that takes lists. */
export interface Listing {
  loadRevocationList(authority: string, list: Buffer): Promise<string>;
}

export interface LoadedList {
  issuer: string;
  key_id: string;
  number: string;
  /** Unix milliseconds. */
  this_update: number;
  next_update: number;
  serials: number;
  /** false: the one that is in force is as new, or newer. */
  replaced: boolean;
}

/** The engine does not take it. */
export class ListRefused extends Error {
  constructor(
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

const PEM = /-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----/;

export interface Source {
  source: 'uploaded' | 'fetched';
  /** Of the row: `authority/key_id`, or the URL. */
  id?: string;
}

export class Lists {
  readonly #store: Store;
  readonly #native: Listing;
  readonly #log: Log;
  #authorities: readonly BroughtAuthority[] = [];
  /** What an authority's issuers were when its lists were handed over. */
  #given = new Map<string, string>();
  #known = 0;
  /** Revisions of lists that this process kept itself: its engine has them. */
  readonly #mine = new Set<number>();
  #turn: Promise<unknown> = Promise.resolve();
  #stop = () => {};
  #uploading = false;

  constructor(store: Store, native: Listing, log: Log) {
    this.#store = store;
    this.#native = native;
    this.#log = log;
  }

  /** Follows what other processes keep. */
  start(): void {
    this.#stop = this.#store.follow('revocation_lists', () => this.#inTurn(() => this.#pull(this.#known, null)));
  }

  stop(): void {
    this.#stop();
  }

  /** The authorities of the policy in force: those that are new, or have other certificates, get their lists. */
  adopt(authorities: readonly BroughtAuthority[]): Promise<void> {
    return this.#inTurn(async () => {
      const given = new Map(authorities.map(one => [one.name, one.issuers.map(({ pem }) => pem).join('')]));
      const fresh = new Set([...given].filter(([name, pems]) => this.#given.get(name) !== pems).map(([name]) => name));
      this.#authorities = authorities;
      // What came meanwhile is for all, what was there for the fresh ones.
      await this.#pull(this.#known, null);
      if (fresh.size > 0) await this.#pull(-1, fresh);
      this.#given = given;
    });
  }

  /** By an operator. Rejects with a Refusal. */
  async upload(authority: string, list: Buffer, audit: Audit): Promise<LoadedList> {
    if (!this.#authorities.some(({ name }) => name === authority)) {
      const own = await this.#store.db.selectFrom('authorities').select('name').where('name', '=', authority).execute();
      if (own.length > 0) throw new Refusal(409, 'The lists of this authority are made here, or it is not in force.');
      throw new Refusal(404, `No authority called ${JSON.stringify(authority)} brings its own lists.`);
    }
    // One takes a copy or two of what may be 64 MiB.
    if (this.#uploading) throw new Refusal(503, 'Another list is being uploaded.', 'Try again in a moment.');
    this.#uploading = true;
    try {
      const loaded = await this.load(authority, list);
      if (!loaded.replaced) {
        throw new Refusal(
          409,
          'The revocation list in force is as new, or newer.',
          `This one has the number ${loaded.number} and is of ${rfc3339(loaded.this_update)}.`,
        );
      }
      await this.keep(authority, list, loaded, { source: 'uploaded' }, audit);
      return loaded;
    } catch (error) {
      if (error instanceof ListRefused) throw new Refusal(422, error.message, error.hint);
      throw error;
    } finally {
      this.#uploading = false;
    }
  }

  /** Into this process's engine. Rejects with ListRefused. */
  async load(authority: string, list: Buffer): Promise<LoadedList> {
    const answer = JSON.parse(await this.#native.loadRevocationList(authority, list));
    if (answer.problem) throw new ListRefused(answer.problem.message, answer.problem.hint);
    return answer;
  }

  /** Into the store, for all processes and the next start. */
  async keep(
    authority: string,
    list: Buffer,
    loaded: LoadedList,
    { source, id }: Source,
    audit?: Audit,
  ): Promise<void> {
    const row = {
      id: id ?? `${authority}/${loaded.key_id}`,
      authority,
      source,
      key_id: loaded.key_id,
      number: loaded.number,
      list: derOf(list).toString('base64'),
      this_update: loaded.this_update,
      next_update: loaded.next_update,
      at: Date.now(),
    };
    const kept = await this.#store.write(['revocation_lists'], async (tx, revisions) => {
      const revision = revisions.revocation_lists;
      const { id: _, ...set } = { ...row, revision };
      await tx
        .insertInto('revocation_lists')
        .values({ ...row, revision })
        .onConflict(it => it.column('id').doUpdateSet(set))
        .execute();
      await audit?.(tx, revisions, {
        action: 'pki.revocation-list.upload',
        target: authority,
        after: { ...loaded, replaced: undefined },
      });
      return revision;
    });
    this.#mine.add(kept);
  }

  /** Rows above a revision; only for some authorities, or for all. */
  async #pull(above: number, only: ReadonlySet<string> | null): Promise<void> {
    const revision = (await this.#store.revisions()).get('revocation_lists') ?? 0;
    // Without the lists themselves: each may have 50 MB.
    const rows = await this.#store.db
      .selectFrom('revocation_lists')
      .select(['id', 'authority', 'source', 'key_id', 'revision'])
      .where('revision', '>', above)
      .where('source', '!=', 'own')
      .orderBy('revision')
      .execute();
    for (const { id, authority, source, key_id, revision } of rows) {
      if (only === null && this.#mine.delete(revision)) continue;
      const takers = this.#takers(authority, source, key_id).filter(name => only === null || only.has(name));
      if (takers.length === 0) continue;
      const row = await this.#store.db
        .selectFrom('revocation_lists')
        .select('list')
        .where('id', '=', id)
        .executeTakeFirst();
      const list = Buffer.from(row?.list ?? '', 'base64');
      for (const name of takers) await this.#give(name, id, list);
    }
    if (only === null) this.#known = Math.max(this.#known, revision);
  }

  /** A list at a URL counts for whoever has the key that signed it; an uploaded one for whom it was meant. */
  #takers(authority: string, source: string, keyId: string): string[] {
    return this.#authorities
      .filter(({ name, issuers }) =>
        source === 'uploaded' ? name === authority : issuers.some(issuer => issuer.keyId === keyId),
      )
      .map(({ name }) => name);
  }

  async #give(authority: string, id: string, list: Buffer): Promise<void> {
    try {
      await this.load(authority, list);
    } catch (error) {
      // Its signer may have been taken out of the authority since.
      this.#log.warn({ authority, list: id, error: (error as Error).message }, 'a kept revocation list is not taken');
    }
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(act);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** DER, of either form. */
export function derOf(list: Buffer): Buffer {
  const pem = PEM.exec(list.subarray(0, 64).includes('-----BEGIN') ? list.toString('latin1') : '');
  return pem ? Buffer.from(pem[1] ?? '', 'base64') : list;
}
