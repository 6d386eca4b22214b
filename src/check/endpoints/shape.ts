// What is wrong with a description wherever it is, used or not: a fault in a corner refuses the whole of it as well.
//
// What the operations are made of is looked at where they are compiled.

import { child } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import type { Unchecked } from './remarks.js';
import type { Version } from './version.js';

const SECTIONS = ['schemas', 'parameters', 'responses', 'requestBodies', 'headers', 'pathItems', 'mediaTypes'];

const BESIDE =
  'path item with a `$ref` has other operations beside it, which do not count|path items with a `$ref` have other operations beside it, which do not count';

export function checkShape(root: Mapping, version: Version, description: Description, unchecked: Unchecked): void {
  checkComponents(root.components, description);
  checkSecurity(root.security, '/security', description);
  if (!isMapping(root.paths)) return;
  for (const [template, written] of Object.entries(root.paths)) {
    if (template.startsWith('x-')) continue;
    const at = child('/paths', template);
    if (
      isMapping(written) &&
      Object.hasOwn(written, '$ref') &&
      version.methods.some(key => Object.hasOwn(written, key))
    )
      unchecked.add(BESIDE, at);
    const found = description.follow({ value: written, pointer: at });
    if (found === null || !isMapping(found.value)) continue;
    checkParameters(found.value.parameters, child(found.pointer, 'parameters'), description);
    for (const operation of operationsOf(found, version)) checkOperation(operation, description);
  }
}

/** The operations of a path item, by what the version calls so. */
function operationsOf({ value, pointer }: Found, version: Version): Found[] {
  const item = value as Mapping;
  const named = version.methods.map(key => ({ value: item[key], pointer: child(pointer, key) }));
  const more = version.since32 && isMapping(item.additionalOperations) ? item.additionalOperations : {};
  const above = child(pointer, 'additionalOperations');
  return [...named, ...Object.entries(more).map(([key, value]) => ({ value, pointer: child(above, key) }))];
}

function checkOperation({ value, pointer }: Found, description: Description): void {
  if (!isMapping(value)) return;
  checkParameters(value.parameters, child(pointer, 'parameters'), description);
  checkSecurity(value.security, child(pointer, 'security'), description);
  if (!isMapping(value.responses)) return;
  for (const status of Object.keys(value.responses)) {
    if (status === 'default' || status.startsWith('x-') || /^[1-5](\d\d|XX)$/.test(status)) continue;
    const at = child(child(pointer, 'responses'), status);
    const hint = /^[1-5]xx$/i.test(status) ? 'write the X in capitals' : 'such as `200`, `4XX` or `default`';
    description.problem(at, `\`${status}\` is not a status`, hint);
  }
}

function checkParameters(list: unknown, at: string, description: Description): void {
  if (!Array.isArray(list)) return;
  const seen = new Set<string>();
  list.forEach((written, index) => {
    const pointer = child(at, index);
    const found = description.follow({ value: written, pointer });
    if (found === null || !isMapping(found.value)) return;
    const { name, in: location } = found.value;
    if (typeof name !== 'string' || typeof location !== 'string') return;
    // Header fields are the same in any case (RFC 9110, 5.1).
    const same = `${location} ${location === 'header' ? name.toLowerCase() : name}`;
    if (seen.has(same)) description.problem(pointer, `the ${location} parameter \`${name}\` is described twice`);
    seen.add(same);
  });
}

function checkSecurity(security: unknown, at: string, description: Description): void {
  if (security !== undefined && !(Array.isArray(security) && security.every(isMapping))) {
    description.problem(at, '`security` is not a list of requirements');
  }
}

function checkComponents(components: unknown, description: Description): void {
  if (components === undefined) return;
  if (!isMapping(components)) {
    description.problem('/components', '`components` is not a map');
    return;
  }
  for (const section of SECTIONS) {
    const entries = components[section];
    if (entries === undefined) continue;
    const at = child('/components', section);
    if (!isMapping(entries)) {
      description.problem(at, `\`${section}\` is not a map`);
      continue;
    }
    for (const [name, entry] of Object.entries(entries)) {
      const isSchema = section === 'schemas' && typeof entry === 'boolean';
      if (!isMapping(entry) && !isSchema) description.problem(child(at, name), 'this is not an object');
    }
  }
}
