// What is wrong with a description wherever it is, used or not: a fault in a corner refuses the whole of it as well.
//
// What the operations are made of is looked at where they are compiled.

import { child } from '../../config/pointer.js';
import { type Description, isMapping, type Mapping } from './description.js';
import type { Unchecked } from './remarks.js';
import type { Version } from './version.js';

const SECTIONS = 'schemas parameters responses requestBodies headers pathItems mediaTypes securitySchemes'.split(' ');

const BESIDE =
  'path item with a `$ref` has other operations beside it, which do not count|path items with a `$ref` have other operations beside it, which do not count';

export function checkShape(root: Mapping, version: Version, description: Description, unchecked: Unchecked): void {
  checkComponents(root.components, description);
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
