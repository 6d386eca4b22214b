// How an API key looks: `pck_<id>_<secret>_<checksum>` (shown-once.ts). The engine reads the same form
// (native/engine/src/keys/mod.rs), so the checksum is one that any scanner can compute.

import { Form, hashOf } from '../shown-once.js';

/** CRC-32 as in IEEE 802.3, reflected. */
const POLYNOMIAL = 0xedb88320;

const FORM = new Form('pck', body => crc32(body).toString(16).padStart(8, '0'));

export function makeKey(): { id: string; key: string } {
  const { id, text } = FORM.make();
  return { id, key: text };
}

/** Another secret of the key `id`. */
export function anotherKey(id: string): string {
  return FORM.again(id);
}

/** The key's id, or null for what is no key: a typing error, or something else. */
export function keyId(key: string): string | null {
  return FORM.idOf(key);
}

/** SHA-256 of the whole key, hex. */
export function digestOf(key: string): string {
  return hashOf(key).toString('hex');
}

/** 73 bytes, a few times a minute: bit by bit is fast enough. */
function crc32(text: string): number {
  let rest = ~0;
  for (const byte of Buffer.from(text)) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = (rest >>> 1) ^ (rest & 1 ? POLYNOMIAL : 0);
  }
  return ~rest >>> 0;
}
