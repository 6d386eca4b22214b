// Secrets that are made here, shown once, and kept as their hash: tokens of the admin API, API keys.
//
// `<prefix>_<id>_<secret>_<checksum>`: a prefix that scanners for leaked secrets recognise, the row it belongs to, 256
// random bits, and a checksum, so that a typing error costs no look-up. What is kept is the SHA-256 of the whole: 256
// random bits need no slow hash.

import { createHash, randomBytes } from 'node:crypto';

const ID_BYTES = 6;
const SECRET_BYTES = 32;
/** 62^43 is above 2^256. */
const SECRET_DIGITS = 43;
const CHECKSUM_DIGITS = 8;
const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** How one kind looks. */
export class Form {
  readonly #prefix: string;
  /** Of everything before its underscore: 8 lower-case hex digits. */
  readonly #checksum: (body: string) => string;
  readonly #pattern: RegExp;

  constructor(prefix: string, checksum: (body: string) => string) {
    this.#prefix = prefix;
    this.#checksum = checksum;
    this.#pattern = new RegExp(
      `^${prefix}_([0-9a-f]{${2 * ID_BYTES}})_[0-9A-Za-z]{${SECRET_DIGITS}}_[0-9a-f]{${CHECKSUM_DIGITS}}$`,
    );
  }

  make(): { id: string; text: string } {
    const id = randomBytes(ID_BYTES).toString('hex');
    return { id, text: this.again(id) };
  }

  /** Another secret of a row that is there. */
  again(id: string): string {
    const body = `${this.#prefix}_${id}_${digits(randomBytes(SECRET_BYTES))}`;
    return `${body}_${this.#checksum(body)}`;
  }

  /** Its row, or null for what is none of the kind. */
  idOf(text: string): string | null {
    const id = this.#pattern.exec(text)?.[1];
    const end = text.length - CHECKSUM_DIGITS;
    return id !== undefined && this.#checksum(text.slice(0, end - 1)) === text.slice(end) ? id : null;
  }
}

/** What is kept of it. */
export function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function digits(bytes: Buffer): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`);
  let text = '';
  for (let i = 0; i < SECRET_DIGITS; i++) {
    text = DIGITS[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return text;
}
