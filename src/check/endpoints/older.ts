// What older drafts, and OpenAPI 3.0, write otherwise than draft 2020-12.

import { isMapping, type Mapping } from './description.js';
import { before, type Draft } from './keywords.js';

/** Changes a schema whose parts have been converted already. */
export function modernise(draft: Draft, out: Mapping): void {
  if (draft === '2020-12') return;
  if (before(draft, 'draft-06')) bounds(out);
  items(out);
  dependencies(out);
  // In 2019-09 an item that `contains` found still counts as unevaluated; inside of `not` nothing is noted.
  if (draft === '2019-09' && out.contains !== undefined) {
    const { contains, minContains, maxContains } = out;
    for (const keyword of ['contains', 'minContains', 'maxContains']) delete out[keyword];
    const counted = {
      contains,
      ...(minContains !== undefined && { minContains }),
      ...(maxContains !== undefined && { maxContains }),
    };
    out.allOf = [...((out.allOf as unknown[] | undefined) ?? []), { not: { not: counted } }];
  }
}

function bounds(out: Mapping): void {
  for (const [flag, bound] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (out[flag] === true && Object.hasOwn(out, bound)) {
      out[flag] = out[bound];
      delete out[bound];
    } else delete out[flag];
  }
}

/** A list of items was called `items`, and what comes behind it `additionalItems`. */
function items(out: Mapping): void {
  const { items, additionalItems } = out;
  delete out.additionalItems;
  if (!Array.isArray(items)) return;
  delete out.items;
  if (items.length > 0) out.prefixItems = items;
  if (additionalItems !== undefined) out.items = additionalItems;
}

function dependencies(out: Mapping): void {
  if (!isMapping(out.dependencies)) return;
  const [names, schemas]: [Mapping, Mapping] = [Object.create(null), Object.create(null)];
  for (const [name, needs] of Object.entries(out.dependencies)) {
    if (Array.isArray(needs)) names[name] = needs;
    else schemas[name] = needs;
  }
  delete out.dependencies;
  if (Object.keys(names).length > 0) out.dependentRequired = names;
  if (Object.keys(schemas).length > 0) out.dependentSchemas = schemas;
}
