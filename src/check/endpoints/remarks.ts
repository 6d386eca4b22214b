// What a description asks for and is not checked yet, counted: one line each, with the first place.

import type { Description } from './description.js';

export class Unchecked {
  readonly #groups = new Map<string, { count: number; first: string; hint: string | undefined }>();

  constructor(private readonly description: Description) {}

  /** `what` reads on after a number: `parameter|parameters that …`, singular and plural. */
  add(what: string, pointer: string, hint?: string): void {
    const group = this.#groups.get(what);
    if (group) group.count += 1;
    else this.#groups.set(what, { count: 1, first: pointer, hint });
  }

  report(): void {
    for (const [what, { count, first, hint }] of this.#groups) {
      const [one, many] = what.split('|') as [string, string];
      const words = count === 1 ? `1 ${one}` : `${count} ${many}, the first of them here`;
      this.description.warning(first, words, hint);
    }
  }
}
