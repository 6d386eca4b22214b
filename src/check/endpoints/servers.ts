// Base paths: the path part of the servers that serve this host.

import { child } from '../../config/pointer.js';
import { type Description, isMapping, type Mapping } from './description.js';
import type { Unchecked } from './remarks.js';

/** Combinations of the values that variables may have: each is a base path, and each base path doubles the operations. */
const MAX_COMBINATIONS = 64;

const DEFAULTS =
  'server has more combinations of variables than are followed: only the defaults count|servers have more combinations of variables than are followed: only the defaults count';

interface Server {
  /** null for a URL without a host. */
  host: string | null;
  base: string;
}

/**
 * The base paths that apply to a list of servers; `/` alone is ''. Servers of other hosts count only when none is
 * of this one: a description often names its staging too.
 */
export function basePaths(
  servers: unknown,
  at: string,
  host: string,
  description: Description,
  unchecked: Unchecked,
): string[] {
  if (servers === undefined) return [''];
  if (!Array.isArray(servers)) {
    description.problem(at, '`servers` is not a list');
    return [];
  }
  if (servers.length === 0) return [''];
  const read = servers.flatMap((server, index) => readServer(server, child(at, index), description, unchecked));
  const ours = read.filter(server => server.host === null || serves(host, server.host));
  return [...new Set((ours.length > 0 ? ours : read).map(({ base }) => base))];
}

/** `*.example.com` stands for one label. */
function serves(host: string, name: string): boolean {
  return host === name || (host.startsWith('*.') && name.slice(name.indexOf('.')) === host.slice(1));
}

function readServer(server: unknown, at: string, description: Description, unchecked: Unchecked): Server[] {
  if (!isMapping(server) || typeof server.url !== 'string') {
    description.problem(at, 'this server has no `url`');
    return [];
  }
  const variables = readVariables(server.url, server.variables, at, description);
  if (variables === null) return [];
  const urls = combinations(server.url, variables);
  if (urls === null) unchecked.add(DEFAULTS, child(at, 'variables'));
  const servers: Server[] = [];
  for (const url of urls ?? combinations(server.url, defaults(variables)) ?? []) {
    try {
      // A relative URL counts from where the description is served: the root, for all that can be known here.
      const absolute = /^([a-z][a-z0-9+.-]*:)?\/\//i.test(url);
      const { hostname, pathname } = new URL(url, 'http://relative.invalid/');
      servers.push({ host: absolute ? hostname.toLowerCase() : null, base: pathname.replace(/\/+$/, '') });
    } catch {
      description.problem(child(at, 'url'), `\`${url}\` is not a URL`);
    }
  }
  return servers;
}

/** Of each variable of a URL its values, the default first; null when one has no default. */
function readVariables(
  url: string,
  variables: unknown,
  at: string,
  description: Description,
): Map<string, string[]> | null {
  const read = new Map<string, string[]>();
  let complete = true;
  for (const [, name = ''] of url.matchAll(/\{([^{}]*)\}/g)) {
    const variable: Mapping = ownMapping(variables, name);
    const values = Array.isArray(variable.enum) ? variable.enum.filter(isScalar).map(String) : [];
    if (isScalar(variable.default)) read.set(name, [...new Set([String(variable.default), ...values])]);
    else {
      description.problem(child(at, 'url'), `the variable \`{${name}}\` has no default`, 'add it under `variables`');
      complete = false;
    }
  }
  return complete ? read : null;
}

function ownMapping(map: unknown, name: string): Mapping {
  const value = isMapping(map) && Object.hasOwn(map, name) ? map[name] : undefined;
  return isMapping(value) ? value : {};
}

function isScalar(value: unknown): value is string | number | boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

function defaults(variables: Map<string, string[]>): Map<string, string[]> {
  return new Map([...variables].map(([name, values]) => [name, values.slice(0, 1)]));
}

/** null when there are too many. */
function combinations(url: string, variables: ReadonlyMap<string, string[]>): string[] | null {
  let urls = [url];
  for (const [name, values] of variables) {
    if (urls.length * values.length > MAX_COMBINATIONS) return null;
    urls = urls.flatMap(one => values.map(value => one.replaceAll(`{${name}}`, () => value)));
  }
  return urls;
}
