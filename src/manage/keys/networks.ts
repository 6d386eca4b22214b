// Networks that a key may be bound to, in one spelling: `192.0.2.0/24`, `2001:db8::/32`. An address is a network of one.

import { isIPv4, isIPv6 } from 'node:net';

const MAPPED = /^::ffff:/;

/** The one spelling, or what is wrong and what would do. */
export function readNetwork(written: string): { network: string } | { fault: string } {
  const [address = '', bits, ...more] = written.split('/');
  const groups = groupsOf(address);
  if (groups === null || more.length > 0) {
    return { fault: 'is no network: an IPv4 or IPv6 address, with the length of its prefix: 192.0.2.0/24' };
  }
  const [each, most] = isIPv4(address) ? [8, 32] : [16, 128];
  const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (!(length >= 0 && length <= most)) return { fault: `has a prefix that is no number from 1 to ${most}` };
  if (length === 0) return { fault: 'is every address: without `networks` it counts from everywhere' };
  const text = (some: readonly number[]) => (each === 8 ? some.join('.') : short(some));
  if (MAPPED.test(text(groups))) return { fault: 'is an IPv4 address in IPv6: written as IPv4, it is one spelling' };
  const kept = groups.map((group, at) => group & mask(length - at * each, each));
  if (kept.some((group, at) => group !== groups[at])) {
    return {
      fault: `has bits behind its prefix: ${text(kept)}/${length}, or ${text(groups)}/${most} for the one address`,
    };
  }
  return { network: `${text(kept)}/${length}` };
}

function groupsOf(address: string): number[] | null {
  if (isIPv4(address)) return address.split('.').map(Number);
  if (!isIPv6(address) || address.includes('%')) return null;
  const [front = '', back] = canonical(address).split('::');
  const read = (text: string) => (text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16)));
  const [first, last] = [read(front), read(back ?? '')];
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}

function short(groups: readonly number[]): string {
  return canonical(groups.map(group => group.toString(16)).join(':'));
}

/** RFC 5952, as URLs write it. */
function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** Of a group of `each` bits, the highest `bits`. */
function mask(bits: number, each: number): number {
  const kept = Math.max(0, Math.min(each, bits));
  return (2 ** each - 1) & ~(2 ** (each - kept) - 1);
}
