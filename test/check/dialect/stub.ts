// A description of plain values: what is said about it has no place, and other files are given by their URL.

import type { Description, Found } from '../../../src/check/endpoints/description.js';
import { fileOf } from '../../../src/check/endpoints/references.js';
import { at as valueAt } from '../../../src/config/pointer.js';

export function stub(root: unknown, files: Map<string, unknown> = new Map()) {
  const problems: string[] = [];
  const warnings: string[] = [];
  const description = {
    root,
    problem: (_: string, message: string) => problems.push(message),
    warning: (_: string, message: string) => warnings.push(message),
    target(reference: unknown, at: string): Found | null {
      const target = lookUp(String(reference), at, root, files);
      if (target === null) problems.push(`\`${String(reference)}\` leads nowhere`);
      return target;
    },
    peek: (reference: string, at: string) => lookUp(reference, at, root, files)?.value,
  };
  return { description: description as unknown as Description, problems, warnings };
}

function lookUp(reference: string, at: string, main: unknown, files: Map<string, unknown>): Found | null {
  const [uri = '', fragment = ''] = reference.split('#');
  const here = fileOf(at).replace(/#$/, '');
  const file = uri === '' ? here : URL.canParse(uri, here || undefined) ? new URL(uri, here || undefined).href : uri;
  const root = file === '' ? main : files.get(file);
  const pointer = decodeURIComponent(fragment);
  if (root === undefined || (pointer !== '' && !pointer.startsWith('/'))) return null;
  const value = valueAt(root, pointer);
  return value === undefined ? null : { value, pointer: file === '' ? pointer : `${file}#${pointer}` };
}
