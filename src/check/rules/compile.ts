// Rules and lists, as the engine takes them. Expressions are parsed there.

import type { Loading } from '../../config/loading.js';
import { pointer } from '../../config/pointer.js';
import type { Policy } from '../../config/policy.js';
import type { Rule } from './config.js';

export function compileRules(rules: readonly Rule[], loading: Loading): Policy['rules'] {
  const seen = new Set<string>();
  return rules.map(({ name, expression, action }, index) => {
    if (seen.has(name)) {
      loading.problem(pointer(['rules', index, 'name']), `another rule is called \`${name}\` already`, {
        hint: 'the name is the reason, log field and metric label: it has to be unique',
      });
    }
    seen.add(name);
    return { name, at: pointer(['rules', index, 'expression']), expression, action };
  });
}

export function compileLists(lists: Record<string, string[]>): Policy['lists'] {
  return Object.entries(lists).map(([name, items]) => ({ name, at: pointer(['lists', name]), items }));
}
