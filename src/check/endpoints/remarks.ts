// What a description asks for and is not checked, counted: one line each, with the first place.

import type { Description } from './description.js';

export class Unchecked {
  /** Places by what is said of them: what several operations share is one place. */
  readonly #groups = new Map<string, { places: Set<string>; hint: string | undefined }>();

  constructor(private readonly description: Description) {}

  /** `what` reads on after a number: `parameter|parameters that …`, singular and plural. */
  add(what: string, pointer: string, hint?: string): void {
    const group = this.#groups.get(what);
    if (group) group.places.add(pointer);
    else this.#groups.set(what, { places: new Set([pointer]), hint });
  }

  report(): void {
    for (const [what, { places, hint }] of this.#groups) {
      const [one, many] = what.split('|') as [string, string];
      const [first = ''] = places;
      const words = places.size === 1 ? `1 ${one}` : `${places.size} ${many}, the first of them here`;
      this.description.warning(first, words, hint);
    }
  }
}
