// Values against the schema: every problem, and what is left of the configuration without the faulty parts.
//
// What is left is only looked at to find the problems that lie deeper (a missing file, a bad expression)
// in the same run; a configuration with a problem is never used.

import { explain } from './explain.js';
import type { Loading } from './loading.js';
import { at, parent, path, pointer } from './pointer.js';
import { type Config, configSchema, jsonSchema } from './schema.js';

/** Leaving a part out can make what encloses it incomplete, one level at a time; the schema has eight. */
const MAX_ROUNDS = 10;

/** Null when nothing is left. */
export function validate(loading: Loading): Config | null {
  const shape = jsonSchema();
  const root = structuredClone(loading.source.value) ?? {};
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = configSchema.safeParse(root);
    if (result.success) return result.data;
    const remarks = result.error.issues.flatMap(issue =>
      explain(issue, root, shape, place => loading.source.written(loading.original(place))),
    );
    const faulty = new Set<string>();
    for (const { at: place, message, hint, key } of remarks) {
      const missing = at(root, place) === undefined;
      // Later rounds miss what earlier ones left out.
      if (round === 0 || !missing) loading.problem(place, message, { hint, key });
      faulty.add(missing ? parent(place) : place);
    }
    if (faulty.has('')) break;
    // From the back, so that the indices of what is still to go stay right.
    for (const place of [...faulty].sort(backwards)) leaveOut(root, place, loading);
  }
  return null;
}

function leaveOut(root: unknown, place: string, loading: Loading): void {
  const above = parent(place);
  const enclosing = at(root, above);
  const key = path(place).at(-1) as string;
  if (Array.isArray(enclosing)) {
    loading.leftOut(loading.original(above), Number(key), enclosing.length);
    enclosing.splice(Number(key), 1);
  } else if (typeof enclosing === 'object' && enclosing !== null) {
    delete (enclosing as Record<string, unknown>)[key];
  }
}

function backwards(a: string, b: string): number {
  const [left, right] = [path(a), path(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i] as string, right[i] as string];
    if (x !== y) return Number(y) - Number(x) || (x < y ? 1 : -1);
  }
  return right.length - left.length;
}

/** Whether names written as keys have the form that is asked for. */
export function checkNames(loading: Loading, section: string, form: RegExp, what: string, hint: string): void {
  for (const name of loading.names(pointer([section]))) {
    if (!form.test(name)) loading.problem(pointer([section, name]), `\`${name}\` is not ${what}`, { key: true, hint });
  }
}
