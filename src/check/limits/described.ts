// Limits that stand in API descriptions: `x-portcullis: { limit: ... }` of an operation, or of a path for all its
// operations. What they say is checked as if it stood in the configuration.

import { explain } from '../../config/explain.js';
import type { Loading } from '../../config/loading.js';
import { child, at as valueAt } from '../../config/pointer.js';
import { shapeOf } from '../../config/schema.js';
import type { DescribedLimits, DescribedOperation } from '../../config/security.js';
import { operationLimit } from './config.js';
import type { Written } from './rule.js';

/** Of one operation; several are for minute and day. */
const MAX_OF_ONE = 8;
const MAX_NAME = 64;

export interface DescribedHost {
  name: string;
  /** By the index of the policy's operations. */
  operations: readonly DescribedOperation[];
  /** Whether requests have a session identity. */
  session: boolean;
}

/** `names` are those that are given already; those of the limits join them. */
export function describedLimits(
  hosts: readonly DescribedHost[],
  names: Map<string, string>,
  taken: ReadonlySet<string>,
  loading: Loading,
): Written[] {
  return hosts.flatMap((host, hostIndex) =>
    host.operations.flatMap(({ names: called, limits }, index) => {
      if (limits === null) return [];
      const written = Array.isArray(limits.value) ? limits.value : [limits.value];
      if (written.length === 0 || written.length > MAX_OF_ONE) {
        loading.problem(limits.at, `one limit, or a list of up to ${MAX_OF_ONE}`);
        return [];
      }
      return written.flatMap((value: unknown, place): Written[] => {
        const at = Array.isArray(limits.value) ? child(limits.at, place) : limits.at;
        const limit = checked(value, at, loading);
        if (limit === null) return [];
        const name = nameOf(limit.name, called, limits, { place, host: host.name, names, taken });
        names.set(name, at);
        const keys = new Set(Object.keys(value as object));
        return [{ name, at, limit, keys, expression: null, operation: [hostIndex, index] }];
      });
    }),
  );
}

/** null when it has problems. */
function checked(value: unknown, at: string, loading: Loading) {
  const result = operationLimit.safeParse(value);
  if (result.success) return result.data;
  const shape = shapeOf(operationLimit);
  const written = (inside: string) => String(JSON.stringify(valueAt(value, inside)));
  for (const issue of result.error.issues) {
    for (const { at: inside, message, hint } of explain(issue, value, shape, written)) {
      loading.problem(at + inside, message, { hint });
    }
  }
  return null;
}

/**
 * The operation's own name where none is given. A name has to be the only one of its kind, and the same description may
 * serve several hosts, and an operation several base paths: whoever comes later is told apart by the host, then counted.
 */
function nameOf(
  given: string | undefined,
  called: readonly string[],
  { ofPath }: DescribedLimits,
  around: { place: number; host: string; names: ReadonlyMap<string, string>; taken: ReadonlySet<string> },
): string {
  const [id = '', line = ''] = called;
  const method = /^[^ ]+/.exec(line)?.[0].toLowerCase() ?? '';
  const wanted = given === undefined ? lettered(id) : ofPath ? `${given}.${lettered(method)}` : given;
  const numbered = given === undefined && around.place > 0 ? `${wanted}.${around.place + 1}` : wanted;
  const free = (name: string) => !around.names.has(name) && !around.taken.has(name);
  const first = numbered.slice(0, MAX_NAME);
  if (free(first)) return first;
  const ofHost = lettered(around.host);
  for (let count = 1; ; count++) {
    const suffix = count === 1 ? `.${ofHost}` : `.${ofHost}.${count}`;
    // Of both something is left.
    const cut = suffix.slice(-(MAX_NAME / 2));
    const name = numbered.slice(0, MAX_NAME - cut.length) + cut;
    if (free(name)) return name;
  }
}

/** Letters, digits, `-`, `_` and `.` of it. */
function lettered(text: string): string {
  return text.replace(/[^A-Za-z0-9_.-]+/g, '-').replace(/^[-_.]+|-+$/g, '') || 'limit';
}
