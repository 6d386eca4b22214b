// Rules and lists, as the engine takes them. Expressions are parsed there.

import type { Loading } from '../../config/loading.js';
import { pointer } from '../../config/pointer.js';
import type { Policy } from '../../config/policy.js';
import { suggest } from '../../config/suggest.js';
import type { Rule } from './config.js';

/** `templates`: the paths of all operations. */
export function compileRules(rules: readonly Rule[], templates: readonly string[], loading: Loading): Policy['rules'] {
  const described = new Set(
    templates.flatMap(path => [...path.matchAll(/\{([^{}]+)\}/g)].map(([, name = '']) => name)),
  );
  const seen = new Set<string>();
  return rules.map(({ name, expression, action }, index) => {
    if (seen.has(name)) {
      loading.problem(pointer(['rules', index, 'name']), `another rule is called \`${name}\` already`, {
        hint: 'the name is the reason, log field and metric label: it has to be unique',
      });
    }
    seen.add(name);
    const at = pointer(['rules', index, 'expression']);
    for (const parameter of pathParameters(expression).filter(name => !described.has(name))) {
      const meant = suggest(parameter, described);
      loading.warning(at, `no operation has a path parameter \`${parameter}\`: it is missing from every request`, {
        hint: meant ? `did you mean \`${meant}\`?` : 'names are those of the templates in the OpenAPI descriptions',
      });
    }
    return { name, at, expression, action };
  });
}

/** `path.name`, `path["name"]`, or a string, in which neither is a field. */
const FIELD_OR_STRING = /(?<![\w.])path(?:\.([\w.]+)|\s*\[\s*"([^"\\]*)"\s*\])|r(#*)".*?"\3|"(?:\\.|[^"\\])*"/gs;

function pathParameters(expression: string): string[] {
  const found = [...expression.matchAll(FIELD_OR_STRING)].map(([, dotted, keyed]) => dotted ?? keyed);
  return [...new Set(found.filter(name => name !== undefined))];
}

export function compileLists(lists: Record<string, string[]>): Policy['lists'] {
  return Object.entries(lists).map(([name, items]) => ({ name, at: pointer(['lists', name]), items }));
}
