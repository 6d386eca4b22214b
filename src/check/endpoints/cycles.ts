// Schemas that lead back to themselves at the same value, with nothing said on the way: `B: { anyOf: [text, B] }`.
// JSON Schema gives such a loop no meaning (draft 2020-12, 9.4.1), and validators let anything through there.
//
// A loop that says something on its way is fine: a base with `oneOf` of what derives from it by `allOf` is common.

import { isMapping, type Mapping } from './description.js';

const REFERENCE = /^(?:json-schema:\/\/\/)?#\/\$defs\/([^/]+)$/;
/** Keywords that apply other schemas to the same value. */
const IN_PLACE = new Set(['$ref', 'allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', '$defs', '$id']);
/** Combinations within one schema, as written. */
const MAX_DEPTH = 64;

/** Names of definitions, one of each loop. */
export function cycles(defs: Mapping): string[] {
  const edges = new Map(Object.entries(defs).map(([name, schema]) => [name, targets(schema, 0)]));
  const found: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  for (const start of edges.keys()) {
    // Without recursion: chains of definitions can be long.
    const stack = [{ name: start, left: [...(edges.get(start) ?? [])] }];
    if (state.has(start)) continue;
    state.set(start, 'open');
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const next = top.left.pop();
      if (next === undefined) {
        state.set(top.name, 'done');
        stack.pop();
      } else if (state.get(next) === 'open') {
        found.push(next);
      } else if (!state.has(next) && edges.has(next)) {
        state.set(next, 'open');
        stack.push({ name: next, left: [...(edges.get(next) ?? [])] });
      }
    }
  }
  return [...new Set(found)];
}

/** Definitions that a schema hands its value on to without a word of its own. */
function targets(schema: unknown, depth: number): Set<string> {
  const found = new Set<string>();
  if (!isMapping(schema) || depth > MAX_DEPTH) return found;
  const add = (names: Iterable<string>) => {
    for (const name of names) found.add(name);
  };
  // Whatever else is said, `not` and `if` of oneself have no answer.
  for (const part of [schema.not, schema.if]) add(targets(part, depth + 1));
  if (Object.keys(schema).some(keyword => !IN_PLACE.has(keyword))) return found;
  const reference = REFERENCE.exec(String(schema.$ref ?? ''))?.[1];
  if (reference !== undefined) found.add(decodeURIComponent(reference));
  for (const alternative of [schema.anyOf, schema.oneOf, [schema.then, schema.else]]) {
    if (Array.isArray(alternative)) for (const part of alternative) add(targets(part, depth + 1));
  }
  if (Array.isArray(schema.allOf)) {
    const parts = schema.allOf.map(part => targets(part, depth + 1));
    if (parts.every(part => part.size > 0)) for (const part of parts) add(part);
  }
  return found;
}
