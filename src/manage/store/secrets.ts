// Secrets at rest: AES-256-GCM under one key that is not in the store.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const KEY_BYTES = 32;
/** What a sealed text starts with, so that another way of sealing can follow. */
const VERSION = 'v1.';

/** Seals under `key`. What a secret is for is bound to it: a row's secret does not open in another row's place. */
export class Sealer {
  readonly #key: Buffer;

  /** `key`: 32 bytes. */
  constructor(key: Buffer) {
    if (key.length !== KEY_BYTES) throw new Error(`the store's key has ${key.length} bytes instead of ${KEY_BYTES}`);
    this.#key = key;
  }

  seal(plain: string, purpose: string): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(Buffer.from(purpose));
    const sealed = Buffer.concat([nonce, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
    return VERSION + sealed.toString('base64');
  }

  /** Throws when the key or the purpose is another one, or the text was changed. */
  unseal(text: string, purpose: string): string {
    const bytes = Buffer.from(text.slice(VERSION.length), 'base64');
    if (!text.startsWith(VERSION) || bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('not a sealed text');
    const end = bytes.length - TAG_BYTES;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(purpose))
      .setAuthTag(bytes.subarray(end));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, end)), decipher.final()]).toString('utf8');
  }
}
