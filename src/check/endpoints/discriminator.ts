// `discriminator`: which of the alternatives a value has to be, told by one of its members.
//
// The alternatives of `oneOf` or `anyOf` become one `if` and `then` per alternative, so that a value is checked against
// the one it names, and is told what that one expects.

import { child, path } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import type { References } from './references.js';
import type { Unchecked } from './remarks.js';

const ALONE =
  'discriminator stands on a schema without alternatives: only that schema is checked, not what derives from it|discriminators stand on schemas without alternatives: only those schemas are checked, not what derives from them';
const NOT_REFERENCES =
  'discriminator is left to its alternatives: not all of them are a `$ref` with a name of its own|discriminators are left to their alternatives: not all of those are a `$ref` with a name of its own';
const ELSEWHERE =
  'name of a discriminator leads to a schema that is none of the alternatives: values with it are refused|names of discriminators lead to schemas that are none of the alternatives: values with them are refused';

export interface Choice {
  keyword: 'oneOf' | 'anyOf';
  property: string;
  /** null is allowed too. */
  nullable: boolean;
  branches: { names: string[]; index: number }[];
}

/** null when alternatives are left as they are. */
export function readDiscriminator(
  { value: schema, pointer }: { value: Mapping; pointer: string },
  description: Description,
  references: References,
  unchecked: Unchecked,
): Choice | null {
  const { discriminator } = schema;
  if (discriminator === undefined) return null;
  const at = child(pointer, 'discriminator');
  if (!isMapping(discriminator) || typeof discriminator.propertyName !== 'string') {
    description.problem(at, 'a discriminator needs `propertyName`');
    return null;
  }
  const keyword = Array.isArray(schema.oneOf) ? 'oneOf' : 'anyOf';
  const alternatives = schema[keyword];
  if (!Array.isArray(alternatives)) {
    unchecked.add(ALONE, at, 'write the derived schemas as `oneOf` where they are used');
    return null;
  }
  const targets = new Map<string, { names: string[]; index: number }>();
  const names = new Map<string, string>();
  let nullable = false;
  for (const [index, alternative] of alternatives.entries()) {
    if (isMapping(alternative) && alternative.type === 'null') {
      nullable = true;
      continue;
    }
    const reference = isMapping(alternative) ? alternative.$ref : undefined;
    const place = child(child(child(pointer, keyword), index), '$ref');
    const target = typeof reference === 'string' ? references.resolve(reference, place) : null;
    const name = target && path(target.pointer).at(-1);
    if (!target || typeof name !== 'string' || targets.has(target.pointer) || names.has(name)) {
      unchecked.add(NOT_REFERENCES, at);
      return null;
    }
    nullable ||= allowsNull(target);
    targets.set(target.pointer, { names: [], index });
    names.set(name, target.pointer);
  }
  readMapping(discriminator.mapping, child(at, 'mapping'), names, { description, references, unchecked, targets });
  for (const [name, target] of names) targets.get(target)?.names.push(name);
  const branches = [...targets.values()].filter(branch => branch.names.length > 0);
  return branches.length > 0 ? { keyword, property: discriminator.propertyName, nullable, branches } : null;
}

/** Names that are written win over those that schemas have by themselves. */
function readMapping(
  mapping: unknown,
  at: string,
  names: Map<string, string>,
  {
    description,
    references,
    unchecked,
    targets,
  }: { description: Description; references: References; unchecked: Unchecked; targets: Map<string, unknown> },
): void {
  if (mapping === undefined) return;
  if (!isMapping(mapping)) {
    description.problem(at, '`mapping` is not a map of names to schemas');
    return;
  }
  for (const [name, value] of Object.entries(mapping)) {
    const place = child(at, name);
    // The name of a component is read as such before it is read as a reference.
    const named = [...targets.keys()].find(pointer => pointer.endsWith(child('/components/schemas', String(value))));
    const target = named ?? references.resolve(value, place)?.pointer;
    if (target === undefined) continue;
    if (!targets.has(target)) unchecked.add(ELSEWHERE, place);
    names.set(name, target);
  }
}

function allowsNull({ value }: Found): boolean {
  if (!isMapping(value)) return false;
  return value.nullable === true || (Array.isArray(value.type) && value.type.includes('null'));
}

/** What stands for the alternatives: `branch` converts one of them. */
export function choose({ property, nullable, branches }: Choice, branch: (index: number) => unknown): Mapping[] {
  const known = {
    type: nullable ? ['object', 'null'] : 'object',
    required: [property],
    properties: { [property]: { enum: branches.flatMap(({ names }) => names) } },
  };
  const conditions = branches.map(({ names, index }) => ({
    if: {
      type: 'object',
      required: [property],
      properties: { [property]: names.length === 1 ? { const: names[0] } : { enum: names } },
    },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: branch(index),
  }));
  return [known, ...conditions];
}
