// Names of origins are resolved again and again while the gateway runs.

import type { Resolve } from './compile.js';

/** Short enough to follow a fail-over, long enough not to burden a resolver. */
const INTERVAL_MS = 30_000;

/** Resolves names and remembers their addresses; a name that fails later keeps those it had. */
export class Names {
  readonly #resolve: Resolve;
  #known = new Map<string, string[]>();

  constructor(resolve: Resolve) {
    this.#resolve = resolve;
  }

  /** For loading: a failure is the caller's to report. */
  readonly resolve: Resolve = async name => {
    const addresses = await this.#resolve(name);
    this.#known.set(name, addresses);
    return addresses;
  };

  /** For what was loaded before: never fails for a known name. */
  readonly remembered: Resolve = async name => this.#known.get(name) ?? this.resolve(name);

  /** Looks all known names up; which of them changed, and which failed. */
  async again(): Promise<{ changed: string[]; failed: string[] }> {
    const changed: string[] = [];
    const failed: string[] = [];
    await Promise.all(
      [...this.#known].map(async ([name, before]) => {
        try {
          const now = await this.#resolve(name);
          if (now.length === 0) throw new Error('no address');
          if (now.join() !== before.join()) changed.push(name);
          this.#known.set(name, now);
        } catch {
          failed.push(name);
        }
      }),
    );
    return { changed, failed };
  }
}

export function every(act: () => Promise<void>, intervalMs = INTERVAL_MS): () => void {
  const timer = setInterval(() => void act(), intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}
