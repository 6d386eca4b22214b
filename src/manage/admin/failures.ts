// Failed authentications are bounded, per address and in all. Nobody guesses 256 bits; what this bounds is look-ups,
// and noise.

import { LRUCache } from 'lru-cache';
import type { Log } from '../log.js';

interface Allowance {
  /** Failures at once. */
  burst: number;
  perSecond: number;
}

/** A person with a wrong token tries a few times. */
const PER_ADDRESS: Allowance = { burst: 10, perSecond: 0.1 };
/** Of all addresses but this machine's own, so that who sits at it gets in while others try. A look-up takes 50 us. */
const IN_ALL: Allowance = { burst: 200, perSecond: 20 };
const ADDRESSES = 10_000;
const TOLD_EVERY_MS = 60_000;

export class Failures {
  readonly #addresses = new LRUCache<string, Bucket>({ max: ADDRESSES });
  readonly #all: Bucket;
  readonly #log: Pick<Log, 'warn'>;
  readonly #now: () => number;
  #untold = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(log: Pick<Log, 'warn'>, now: () => number = Date.now) {
    this.#log = log;
    this.#now = now;
    this.#all = new Bucket(IN_ALL, now());
  }

  /** How long this address has to wait, in seconds; 0 when it may try. */
  wait(address: string): number {
    const now = this.#now();
    const own = this.#addresses.get(network(address))?.wait(now) ?? 0;
    return Math.max(own, local(address) ? 0 : this.#all.wait(now));
  }

  /** One failure, or one refusal to look. */
  failed(address: string, why: string): void {
    const now = this.#now();
    const key = network(address);
    const bucket = this.#addresses.get(key) ?? new Bucket(PER_ADDRESS, now);
    this.#addresses.set(key, bucket);
    if (why !== 'throttled') {
      bucket.take(now);
      if (!local(address)) this.#all.take(now);
    }
    this.#tell(address, why);
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** The first at once, the others once a minute. */
  #tell(address: string, why: string): void {
    this.#untold += 1;
    if (this.#timer) return;
    this.#log.warn({ address, why, failures: this.#untold }, 'the admin API refused credentials');
    this.#untold = 0;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#untold > 0) this.#tell(address, why);
    }, TOLD_EVERY_MS);
    this.#timer.unref();
  }
}

class Bucket {
  readonly #allowance: Allowance;
  #left: number;
  #at: number;

  constructor(allowance: Allowance, now: number) {
    this.#allowance = allowance;
    this.#left = allowance.burst;
    this.#at = now;
  }

  wait(now: number): number {
    this.#refill(now);
    return this.#left >= 1 ? 0 : Math.ceil((1 - this.#left) / this.#allowance.perSecond);
  }

  take(now: number): void {
    this.#refill(now);
    this.#left = Math.max(0, this.#left - 1);
  }

  #refill(now: number): void {
    const { burst, perSecond } = this.#allowance;
    // A clock that goes back refills nothing.
    const passed = Math.max(0, now - this.#at);
    this.#left = Math.min(burst, this.#left + (passed / 1_000) * perSecond);
    this.#at = now;
  }
}

function local(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address);
}

/** Who has one IPv6 address has 2^64 of them: the network counts. */
function network(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address.replace('::ffff:', '');
  const [head = '', tail] = address.replace(/%.*$/, '').split('::', 2);
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right].slice(0, 4).join(':');
}
