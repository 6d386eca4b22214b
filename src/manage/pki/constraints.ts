// Name constraints of a hosted authority (RFC 5280, 4.2.1.10), looked at before it issues: what the gateway would deny
// should not be made.

import { BlockList, isIPv6 } from 'node:net';
import { Refusal } from '../admin/api.js';
import type { Names } from './commands.js';
import { type AlternativeNames, KINDS, type NameKind } from './names.js';

export interface Constraints {
  permitted: Names;
  excluded: Names;
}

export function refuseConstrained(constraints: Constraints | null, names: AlternativeNames, authority: string): void {
  if (constraints === null) return;
  const { permitted, excluded } = constraints;
  for (const kind of KINDS) {
    for (const name of names[kind]) {
      const within = (limits: string[]) => limits.some(limit => lies(kind, name, limit));
      if ((permitted[kind].length === 0 || within(permitted[kind])) && !within(excluded[kind])) continue;
      throw new Refusal(
        422,
        `The name constraints of the authority ${authority} do not allow ${kind}:${name}.`,
        `Permitted: ${permitted[kind].join(', ') || 'any'}. Excluded: ${excluded[kind].join(', ') || 'none'}.`,
      );
    }
  }
}

function lies(kind: NameKind, name: string, limit: string): boolean {
  if (kind === 'ip') return withinNetwork(name, limit);
  if (kind === 'dns') return withinHost(name, limit, true);
  if (kind === 'uri') return withinHost(hostOf(name), limit, false);
  if (!limit.includes('@')) return withinHost(name.slice(name.lastIndexOf('@') + 1), limit, false);
  // A mailbox tells cases apart, its host does not.
  const at = limit.lastIndexOf('@');
  return (
    name.slice(0, name.lastIndexOf('@')) === limit.slice(0, at) &&
    withinHost(name.slice(at + 1), limit.slice(at + 1), false)
  );
}

/** `below`: a limit without a dot in front stands for the hosts below it as well, as DNS names have it. */
function withinHost(host: string, limit: string, below: boolean): boolean {
  const [name, wanted] = [host.toLowerCase(), limit.toLowerCase()];
  if (wanted.startsWith('.')) return name.endsWith(wanted);
  return name === wanted || (below && name.endsWith(`.${wanted}`));
}

/** Empty for a URI without one: then no limit speaks of it. */
function hostOf(uri: string): string {
  const authority = /^[^:]*:\/\/(?:[^@/?#]*@)?([^/?#]*)/.exec(uri)?.[1] ?? '';
  return authority.replace(/:\d*$/, '');
}

function withinNetwork(address: string, network: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  if ((family === 'ipv6') !== isIPv6(base)) return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), family);
  return list.check(address, family);
}
