// Between a Swagger 2.0 description and what it is turned into: what stands where.

import { parent } from '../../config/pointer.js';

/** Where it was written; `origins` says so by prefixes. */
export function originOf(pointer: string, origins: ReadonlyMap<string, string>): string {
  for (let above = pointer; ; above = parent(above)) {
    const origin = origins.get(above);
    if (origin !== undefined) return origin + pointer.slice(above.length);
    if (above === '' || !above.includes('/')) return pointer;
  }
}

/** Where a pointer into a Swagger 2.0 description leads in what it was turned into. */
export function moved(pointer: string): string[] {
  const [, section, rest] = /^\/(definitions|parameters|responses)(\/.*)$/.exec(pointer) ?? [];
  if (section === undefined) return [pointer];
  return [`/components/${section === 'definitions' ? 'schemas' : section}${rest}`];
}
