// Which addresses lead outside: what is fetched at a URL comes from there, unless somebody said otherwise.

import { BlockList, isIP } from 'node:net';

/** Whether the URL names an address, rather than a host, and it is of a private or special network. */
export function isInside({ hostname }: URL): boolean {
  const address = hostname.replace(/^\[|\]$/g, '');
  return isIP(address) !== 0 && !isPublic(address);
}

export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 6) return !SPECIAL_6.check(address, 'ipv6');
  return family === 4 && !SPECIAL_4.check(address, 'ipv4');
}

/** Of IANA's registries of special-purpose addresses (RFC 6890) what is not globally reachable, and multicast. */
const SPECIAL_4 = new BlockList();
/** Apart: a list takes every IPv4 address for one of its wrapping in IPv6. */
const SPECIAL_6 = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  SPECIAL_4.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  // Unspecified, loopback, and IPv4 in its old wrapping.
  ['::', 96],
  ['::ffff:0:0', 96],
  // What carries an IPv4 address that nobody looked at: NAT64, 6to4, Teredo.
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2002::', 16],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['100::', 64],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
] as const) {
  SPECIAL_6.addSubnet(network, prefix, 'ipv6');
}
