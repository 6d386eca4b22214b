// zod's issues in an operator's words.
//
// The nouns, examples and known keys come from the JSON Schema of the configuration, so that the error,
// the editor and docs/config.md say the same.

import type { z } from 'zod';
import { at, child, pointer } from './pointer.js';
import type { Shape } from './schema.js';
import { suggest } from './suggest.js';

export interface Explained {
  at: string;
  /** Whether the key is at fault rather than its value. */
  key: boolean;
  message: string;
  hint?: string | undefined;
}

type Issue = z.core.$ZodIssue;

/** `written` gives what stands in the file at a pointer. */
export function explain(issue: Issue, root: unknown, shape: Shape, written: (at: string) => string): Explained[] {
  return inside(issue, [], root, shape, written);
}

function inside(
  issue: Issue,
  above: readonly PropertyKey[],
  root: unknown,
  shape: Shape,
  written: (at: string) => string,
): Explained[] {
  const path = [...above, ...issue.path];
  const place = pointer(path);
  const value = at(root, place);
  const here = shapesAt(shape, path);
  const found = () => `found ${describe(value, written(place))}`;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map(key => {
        const known = [...new Set(here.flatMap(({ properties }) => Object.keys(properties ?? {})))];
        const meant = suggest(key, known);
        const hint = meant ? `did you mean \`${meant}\`?` : `known here: ${known.map(code).join(', ')}`;
        return { at: child(place, key), key: true, message: `unknown key ${code(key)}`, hint };
      });
    case 'invalid_union': {
      const branch = meantBranch(issue.errors);
      if (branch) return branch.flatMap(nested => inside(nested, path, root, shape, written));
      break;
    }
    case 'invalid_value': {
      if (value === undefined) break;
      const near = typeof value === 'string' ? suggest(value, issue.values.map(String)) : null;
      // `http2` is no slip of whoever means `http1`.
      const meant = near !== null && digits(near) === digits(String(value)) ? near : null;
      const message = `expected ${alternatives(issue.values)}, ${found()}`;
      return [{ at: place, key: false, message, hint: meant ? `did you mean \`${meant}\`?` : undefined }];
    }
    case 'too_small':
    case 'too_big': {
      const [bound, word] = issue.code === 'too_small' ? [issue.minimum, 'at least'] : [issue.maximum, 'at most'];
      const counted = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' items' : '';
      if (bound === 1 && counted) return [{ at: place, key: false, message: 'must not be empty' }];
      return [{ at: place, key: false, message: `must be ${word} ${bound}${counted}, ${found()}` }];
    }
    case 'custom': {
      const hint = (issue.params as { hint?: string } | undefined)?.hint;
      return [{ at: place, key: false, message: issue.message, hint }];
    }
  }
  const title = noun(here);
  const examples = here.flatMap(({ examples }) => examples ?? []).map(example => code(String(example)));
  if (value === undefined) {
    const name = code(String(path.at(-1) ?? 'configuration'));
    const description = here.find(({ description }) => description)?.description;
    return [
      {
        at: place,
        key: true,
        message: `${name} is missing`,
        hint: description ?? (examples[0] && `such as ${examples[0]}`),
      },
    ];
  }
  const hint = examples.length > 0 ? `such as ${[...new Set(examples)].join(' or ')}` : undefined;
  return [{ at: place, key: false, message: `expected ${title}, ${found()}`, hint }];
}

function digits(word: string): string {
  return word.replace(/\D/g, '');
}

/** Of a union's branches, the one whose outer shape fits: its faults lie deeper. */
function meantBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | null {
  const shaped = branches.filter(
    issues => !issues.some(({ path, code }) => path.length === 0 && code === 'invalid_type'),
  );
  // A map where words are listed beside maps was meant for a map.
  const deeper = shaped.filter(
    issues => !issues.some(({ path, code }) => path.length === 0 && code === 'invalid_value'),
  );
  const fitting = deeper.length > 0 ? deeper : shaped;
  return fitting.length === 1 && !fitting[0]?.some(({ path, code }) => path.length === 0 && code === 'invalid_format')
    ? (fitting[0] ?? null)
    : null;
}

/** Every schema that could apply at a path; several where a union stands on the way. */
function shapesAt(shape: Shape, path: readonly PropertyKey[]): Shape[] {
  const open = (one: Shape): Shape[] => [one, ...(one.anyOf ?? []).flatMap(open)];
  let shapes = open(shape);
  for (const key of path) {
    shapes = shapes
      .flatMap(({ properties, additionalProperties, items }) => {
        const below = typeof key === 'number' ? items : (properties?.[String(key)] ?? additionalProperties);
        return typeof below === 'object' ? [below] : [];
      })
      .flatMap(open);
  }
  return shapes;
}

const NOUNS: Readonly<Record<string, string>> = {
  object: 'a map of keys and values',
  array: 'a list',
  string: 'a string',
  number: 'a number',
  integer: 'a whole number',
  boolean: '`true` or `false`',
};

function noun(shapes: readonly Shape[]): string {
  const title = shapes.find(shape => shape.title)?.title;
  if (title) return `${/^[aeiou]/.test(title) ? 'an' : 'a'} ${title}`;
  const types = shapes.flatMap(({ type }) => type ?? []);
  return [...new Set(types.map(type => NOUNS[type] ?? type))].join(' or ') || 'something else';
}

function describe(value: unknown, written: string): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const kind = typeof value === 'number' ? 'the number ' : '';
  return `${kind}${code(written.length > 60 ? `${written.slice(0, 60)}...` : written)}`;
}

function alternatives(values: readonly unknown[]): string {
  const words = values.map(value => code(String(value)));
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${words.at(-1)}` : (words[0] ?? 'nothing');
}

function code(text: string): string {
  return `\`${text}\``;
}
