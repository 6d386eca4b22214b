// The listening sockets, which the supervisor keeps: a gateway process may die, and who connects meanwhile waits in the
// socket's queue until the next one accepts.
//
// A socket is bound when a gateway first asks for it, and closed when none of those that live needs it any more.

import { nameOf, type Wanted } from './messages.js';
import { type Bound, bind, free, isAt, type Place } from './port.js';

export type Kept = Place & Partial<Pick<Bound, 'handle'>>;

export class Sockets {
  readonly #kept = new Map<string, Promise<Kept>>();
  /** Not asked for yet. */
  #given: readonly Bound[];

  /** Some may be there already: `given`. */
  constructor(given: readonly Bound[] = []) {
    this.#given = given;
  }

  /**
   * The same socket for everybody who asks for it. Where edge threads share a port, `used` tells that some of this
   * gateway's have it. Rejects with a sentence that names the port.
   */
  take(wanted: Wanted, used: boolean): Promise<Kept> {
    const name = nameOf(wanted);
    const kept = this.#kept.get(name);
    const taken = kept === undefined ? this.#make(wanted) : kept.then(one => this.#again(wanted, one, used));
    if (kept === undefined) this.#keep(name, taken);
    return taken;
  }

  /** Closes what is not among these. */
  release(needed: ReadonlySet<string>): void {
    for (const [name, kept] of this.#kept) {
      if (needed.has(name)) continue;
      this.#kept.delete(name);
      void kept.then(({ handle }) => handle?.close());
    }
  }

  async #make({ what, shared, ...listen }: Wanted): Promise<Kept> {
    if (shared) return await free(listen, what);
    const given = this.#given.find(one => isAt(listen, one));
    this.#given = this.#given.filter(one => one !== given);
    return given ?? (await bind(listen, what));
  }

  /** A port that was left to the system stays the one that it chose, also when it has to be free anew. */
  async #again({ what, shared }: Wanted, kept: Kept, used: boolean): Promise<Kept> {
    if (shared && !used) await free(kept, what);
    return kept;
  }

  #keep(name: string, made: Promise<Kept>): void {
    this.#kept.set(name, made);
    made.catch(() => {
      if (this.#kept.get(name) === made) this.#kept.delete(name);
    });
  }
}
