import type { Connections } from './config.js';

/** What the door's acceptor is given: JSON of native/door/src/accepting.rs. */
export function boundsOf({ max, perAddress, handshakes, helloTimeout }: Connections): string {
  return JSON.stringify({ max, per_address: perAddress, handshakes, hello_timeout_ms: helloTimeout });
}
