// Binding a port without listening on it yet: what is bound can be handed to another process, which listens.
//
// Node.js binds so for its own `cluster`, whose supervisor has the same part as ours. A socket that listens goes on
// taking connections into its queue for as long as any process has it open.

import net, { type AddressInfo } from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Listen } from '../config/units.js';

/** A predecessor that is on its way out still has the port for a moment. */
const PATIENCE_MS = 1_500;
const RETRY_MS = 100;

/** The address to listen on when none is given: every one, also of IPv4, where the machine has IPv6. */
const EVERY = ['::', '0.0.0.0'];

/** libuv's, as far as it is used here; `server.listen(handle)` takes it. */
export interface Handle {
  readonly fd: number;
  getsockname(out: Partial<AddressInfo>): number;
  close(): void;
}

export interface Place {
  /** The one asked for, or which one stands for every address. */
  address: string;
  /** The one asked for, or the one that the system chose. */
  port: number;
}

/** What to listen on. Whoever has it closes the handle, or gives it to a server that does. */
export interface Bound extends Place {
  handle: Handle;
}

/** Throws a sentence that names the port. */
export async function bind({ address, port }: Listen, what: string, patienceMs = PATIENCE_MS): Promise<Bound> {
  const until = Date.now() + patienceMs;
  for (;;) {
    const bound = bindNow(address === null ? EVERY : [address], port);
    if (typeof bound !== 'string') return bound;
    if (bound !== 'EADDRINUSE' || Date.now() >= until) throw new Error(sentence(bound, address, port, what));
    await new Promise(resolve => setTimeout(resolve, RETRY_MS));
  }
}

/** Whether nobody has it, asked before edge threads bind it: they would share it with somebody else's just as well. */
export async function free(listen: Listen, what: string, patienceMs = PATIENCE_MS): Promise<Place> {
  const { handle, address, port } = await bind(listen, what, patienceMs);
  handle.close();
  return { address, port };
}

/** Or the code of the fault. */
function bindNow(addresses: readonly string[], port: number): Bound | string {
  let code = 'EADDRNOTAVAIL';
  for (const address of addresses) {
    const bound = bindOne(address, port);
    if (typeof bound !== 'string') return bound;
    code = bound;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') break;
  }
  return code;
}

/** Not among the documented functions, but what `cluster` calls, with these arguments, in every version that there is. */
const { _createServerHandle: create } = net as unknown as {
  _createServerHandle(address: string | null, port: number | null, family: 4 | 6 | null, fd?: number): Handle | number;
};

/** A TCP socket that somebody else has bound; null when it is none. */
export function opened(fd: number): Bound | null {
  const handle = create(null, null, null, fd);
  if (typeof handle === 'number') return null;
  const bound: Partial<AddressInfo> = {};
  // Those of other families have no such function, or no port.
  const known = 'getsockname' in handle && handle.getsockname(bound) === 0;
  return known && bound.address && bound.port ? { handle, address: bound.address, port: bound.port } : null;
}

/** Whether what is asked for is this. */
export function isAt({ address, port }: Listen, place: Place): boolean {
  return port === place.port && (address === null ? EVERY : [address]).includes(place.address);
}

function bindOne(address: string, port: number): Bound | string {
  const handle = create(address, port, address.includes(':') ? 6 : 4);
  if (typeof handle === 'number') return getSystemErrorName(handle);
  // libuv tells here that the port is taken.
  const bound: Partial<AddressInfo> = {};
  const fault = handle.getsockname(bound);
  if (fault === 0) return { handle, address, port: bound.port ?? port };
  handle.close();
  return getSystemErrorName(fault);
}

export function sentence(code: string, address: string | null, port: number, what: string): string {
  const where = address === null ? `port ${port}` : `${address.includes(':') ? `[${address}]` : address}:${port}`;
  if (code === 'EADDRINUSE') return `${where} (${what}) is in use by another process`;
  if (code === 'EACCES')
    return `${where} (${what}) may not be used by this user: ports below 1024 need CAP_NET_BIND_SERVICE`;
  if (code === 'EADDRNOTAVAIL') return `${where} (${what}) is not an address of this machine`;
  return `${where} (${what}) cannot be listened on: ${code}`;
}
