// Is a port free? Asked before the edge threads listen: they share it among themselves (SO_REUSEPORT), and would
// just as well share it with somebody else's.

import { type AddressInfo, createServer } from 'node:net';
import type { Listen } from '../config/units.js';

/** A predecessor that is on its way out still has the port for a moment. */
const PATIENCE_MS = 1_500;
const RETRY_MS = 100;

/** The address to listen on when none is given: every one, also of IPv4, where the machine has IPv6. */
const EVERY = ['::', '0.0.0.0'];

export interface Free {
  address: string;
  /** The one asked for; when it was left to the system (0), one that all edge threads can share. */
  port: number;
}

/** Answers where to listen; throws a sentence that names the port. */
export async function freePort({ address, port }: Listen, what: string, patienceMs = PATIENCE_MS): Promise<Free> {
  const until = Date.now() + patienceMs;
  for (;;) {
    const code = await firstFault(address === null ? EVERY : [address], port);
    if (typeof code !== 'string') return code;
    if (code !== 'EADDRINUSE' || Date.now() >= until) throw new Error(sentence(code, address, port, what));
    await new Promise(resolve => setTimeout(resolve, RETRY_MS));
  }
}

async function firstFault(addresses: readonly string[], port: number): Promise<string | Free> {
  let code = 'EADDRNOTAVAIL';
  for (const address of addresses) {
    const found = await probe(address, port);
    if (typeof found === 'number') return { address, port: found };
    code = found;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') break;
  }
  return code;
}

/** The port, or the code of the fault. */
function probe(host: string, port: number): Promise<string | number> {
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address() as AddressInfo;
      server.close(() => resolve(bound.port));
    });
  });
}

export function sentence(code: string, address: string | null, port: number, what: string): string {
  const where = address === null ? `port ${port}` : `${address.includes(':') ? `[${address}]` : address}:${port}`;
  if (code === 'EADDRINUSE') return `${where} (${what}) is in use by another process`;
  if (code === 'EACCES')
    return `${where} (${what}) may not be used by this user: ports below 1024 need CAP_NET_BIND_SERVICE`;
  if (code === 'EADDRNOTAVAIL') return `${where} (${what}) is not an address of this machine`;
  return `${where} (${what}) cannot be listened on: ${code}`;
}
