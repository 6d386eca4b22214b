import type { HttpResponse } from 'uWebSockets.js';
import { LRUCache } from 'lru-cache';
import { certificate, forget, NONE } from '../native.js';

/** Certificates kept parsed by each edge thread; about 4 KiB each. */
const MAX_CERTIFICATES = 10_000;
/** Where in the PEM text the key slice ends, counted from its end: behind it stand padding and the END line. */
const KEY_END = 30;
const KEY_LENGTH = 74;

interface Known {
  pem: string;
  /** The native side's number for the parsed certificate. */
  number: number;
}

/**
 * Reads who is at the other end of a connection. A whole PEM as a key would be hashed anew each time (2 us); a slice
 * out of the signature differs between certificates as well, and a hit counts only when the whole PEM is the same.
 */
export class PeerReader {
  private readonly cache = new LRUCache<string, Known>({
    max: MAX_CERTIFICATES,
    dispose: known => forget(known.number),
  });

  /** The certificate's number for `peer()`, or NONE when the client presented none. */
  certificate(res: HttpResponse): number {
    const pem = (res as unknown as { getX509Certificate(): string }).getX509Certificate();
    if (pem === '') return NONE;
    const key = pem.slice(-KEY_END - KEY_LENGTH, -KEY_END);
    const known = this.cache.get(key);
    if (known !== undefined && known.pem === pem) return known.number;
    const number = certificate(pem);
    // NONE when the table is full: the request is then treated as one without a certificate, which fails closed.
    if (number !== NONE) this.cache.set(key, { pem, number });
    return number;
  }

  address(res: HttpResponse): string {
    return Buffer.from(res.getRemoteAddressAsText()).toString('latin1');
  }

  clear(): void {
    this.cache.clear();
  }
}
