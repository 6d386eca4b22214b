// Base paths: the path part of the servers that serve this host.

import { child } from '../../config/pointer.js';
import { type Description, isMapping } from './description.js';

interface Server {
  /** null for a URL without a host. */
  host: string | null;
  base: string;
}

/**
 * The base paths that apply to a list of servers; `/` alone is ''. Servers of other hosts count only when none is
 * of this one: a description often names its staging too.
 */
export function basePaths(servers: unknown, at: string, host: string, description: Description): string[] {
  if (servers === undefined) return [''];
  if (!Array.isArray(servers)) {
    description.problem(at, '`servers` is not a list');
    return [];
  }
  if (servers.length === 0) return [''];
  const read = servers.map((server, index) => readServer(server, child(at, index), description));
  const good = read.filter(server => server !== null);
  const ours = good.filter(server => server.host === null || server.host === host);
  return [...new Set((ours.length > 0 ? ours : good).map(({ base }) => base))];
}

function readServer(server: unknown, at: string, description: Description): Server | null {
  if (!isMapping(server) || typeof server.url !== 'string') {
    description.problem(at, 'this server has no `url`');
    return null;
  }
  const url = substitute(server.url, server.variables, at, description);
  if (url === null) return null;
  try {
    // A relative URL counts from where the description is served: the root, for all that can be known here.
    const absolute = /^([a-z][a-z0-9+.-]*:)?\/\//i.test(url);
    const { hostname, pathname } = new URL(url, 'http://relative.invalid/');
    return { host: absolute ? hostname.toLowerCase() : null, base: pathname.replace(/\/+$/, '') };
  } catch {
    description.problem(child(at, 'url'), `\`${url}\` is not a URL`);
    return null;
  }
}

function substitute(url: string, variables: unknown, at: string, description: Description): string | null {
  let complete = true;
  const text = url.replace(/\{([^{}]*)\}/g, (_, name: string) => {
    const variable = isMapping(variables) && Object.hasOwn(variables, name) ? variables[name] : undefined;
    if (isMapping(variable) && ['string', 'number'].includes(typeof variable.default)) return String(variable.default);
    description.problem(child(at, 'url'), `the variable \`{${name}}\` has no default`, 'add it under `variables`');
    complete = false;
    return '';
  });
  return complete ? text : null;
}
