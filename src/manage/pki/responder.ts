// Answers OCSP (RFC 6960) for certificates of authorities whose keys are here.

import { createHash, X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Store } from '../store/open.js';
import { type Generation, signerOf } from './authorities.js';
import { CLOCK_SKEW_MS, type Clock } from './clock.js';
import { type OcspAnswer, PkiError, type Run, readOcsp, signOcsp } from './commands.js';
import { reasonOf } from './own-lists.js';

/** Of a request: some 100 bytes for each certificate. */
export const MAX_REQUEST_BYTES = 16 * 1024;
/** Asked about at once; clients ask about one. */
const MAX_ITEMS = 16;
/** How long an answer may be kept by whoever asked. */
const LIFE_MS = 3_600_000;
/** Signatures at once; above, whoever asks is told to try later. */
const CONCURRENT = 32;
/** Answers of 0.5 to 2 KiB. */
const CACHED = 4_096;

/** OCSPResponseStatus (RFC 6960, 4.2.1): such an answer is nothing else, and has no signature. */
const ERRORS = { malformed: 1, internal: 2, try_later: 3, unauthorized: 6 } as const;

export interface Answered {
  der: Buffer;
  /** `good`, `revoked`, `unknown` of the first certificate, or the error: for the metric. */
  result: string;
  /** Unix milliseconds; null where the answer must not be kept. */
  nextUpdate: number | null;
}

interface Kept extends Answered {
  revision: number;
}

export interface ResponderParts {
  store: Store;
  run: Run;
  clock: Clock;
  /** Of the revocations that this process knows. */
  revision(): number;
}

export class Responder {
  readonly #parts: ResponderParts;
  readonly #cache = new LRUCache<string, Kept>({ max: CACHED });
  /** By hash of the key's bits, both kinds. */
  #generations: Map<string, Generation> | null = null;
  #busy = 0;
  #stop = () => {};

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#stop = this.#parts.store.follow('authorities', () => {
      this.#generations = null;
      this.#cache.clear();
    });
  }

  stop(): void {
    this.#stop();
  }

  /** `authority`: the one that the URL names, if it names one. Never rejects. */
  async answer(request: Buffer, authority: string | null): Promise<Answered> {
    const { clock, revision } = this.#parts;
    const key = createHash('sha256')
      .update(`${authority ?? ''}\0`)
      .update(request)
      .digest('base64');
    const kept = this.#cache.get(key);
    const now = clock.now();
    // Half-way to its end a fresh one is made; one from the future is a clock that jumped.
    const left = kept?.nextUpdate ? kept.nextUpdate - now : 0;
    if (kept && kept.revision === revision() && left > LIFE_MS / 2 && left <= LIFE_MS) return kept;
    if (this.#busy >= CONCURRENT) return failed('try_later');
    this.#busy += 1;
    try {
      const known = revision();
      const { keep, ...fresh } = await this.#sign(request, authority, now);
      if (keep) this.#cache.set(key, { ...fresh, revision: known });
      return fresh;
    } catch (error) {
      return failed(error instanceof PkiError ? 'malformed' : 'internal');
    } finally {
      this.#busy -= 1;
    }
  }

  async #sign(request: Buffer, authority: string | null, now: number): Promise<Answered & { keep: boolean }> {
    const { run, store } = this.#parts;
    if (request.length > MAX_REQUEST_BYTES) return { ...failed('malformed'), keep: false };
    const written = request.toString('base64');
    const { items, nonce } = await readOcsp(run, { request: written });
    if (items.length === 0 || items.length > MAX_ITEMS) return { ...failed('malformed'), keep: false };
    const generation = (await this.#known()).get(items[0]?.issuer_key_hash ?? '');
    if (!generation || (authority !== null && generation.authority !== authority)) {
      return { ...failed('unauthorized'), keep: false };
    }
    const serials = items.filter(it => it.issuer_key_hash === items[0]?.issuer_key_hash).map(({ serial }) => serial);
    const answers = await this.#standings(generation.key_id, serials);
    const { der } = await signOcsp(run, {
      issuer: signerOf(store, generation),
      request: written,
      answers,
      this_update: now - CLOCK_SKEW_MS,
      next_update: now + LIFE_MS,
    });
    // What is unknown may be issued in the next moment, and a nonce never comes twice.
    const keep = !nonce && answers.every(({ status }) => status !== 'unknown') && answers.length === items.length;
    const result = answers[0]?.status ?? 'unknown';
    return { der: Buffer.from(der, 'base64'), result, nextUpdate: keep ? now + LIFE_MS : null, keep };
  }

  async #standings(keyId: string, serials: string[]): Promise<OcspAnswer[]> {
    const { db } = this.#parts.store;
    const [issued, revoked] = await Promise.all([
      db
        .selectFrom('certificates')
        .select('serial')
        .where('key_id', '=', keyId)
        .where('serial', 'in', serials)
        .execute(),
      db
        .selectFrom('revocations')
        .select(['serial', 'reason', 'at'])
        .where('key_id', '=', keyId)
        .where('serial', 'in', serials)
        .where('state', '!=', 'restored')
        .execute(),
    ]);
    return [...new Set(serials)].map((serial): OcspAnswer => {
      const row = revoked.find(it => it.serial === serial);
      if (row) return { serial, status: 'revoked', revoked_at: row.at, reason: reasonOf(row.reason) };
      return { serial, status: issued.some(it => it.serial === serial) ? 'good' : 'unknown' };
    });
  }

  async #known(): Promise<Map<string, Generation>> {
    if (this.#generations) return this.#generations;
    const rows = await this.#parts.store.db
      .selectFrom('generations')
      .selectAll()
      .where('sealed_key', 'is not', null)
      .execute();
    this.#generations = new Map(
      rows.flatMap(row => {
        const bits = keyBits(row.certificate);
        return ['sha1', 'sha256'].map(hash => [createHash(hash).update(bits).digest('hex'), row] as const);
      }),
    );
    return this.#generations;
  }
}

function failed(error: keyof typeof ERRORS): Answered {
  return { der: Buffer.from([0x30, 3, 0x0a, 1, ERRORS[error]]), result: error, nextUpdate: null };
}

/** Content of the BIT STRING subjectPublicKey, as OCSP hashes it (RFC 6960, 4.1.1). */
function keyBits(certificate: string): Buffer {
  const info = new X509Certificate(certificate).publicKey.export({ format: 'der', type: 'spki' });
  const [outer] = content(info, 0);
  const [, algorithmEnd] = content(info, outer);
  const [bits, end] = content(info, algorithmEnd);
  // One octet first: unused bits, none in a key.
  return info.subarray(bits + 1, end);
}

/** Where the content of the DER element at `at` begins and ends. Node.js wrote it. */
function content(der: Buffer, at: number): [number, number] {
  const length = der[at + 1] ?? 0;
  if (length < 0x80) return [at + 2, at + 2 + length];
  const octets = length & 0x7f;
  const start = at + 2 + octets;
  return [start, start + der.readUIntBE(at + 2, octets)];
}
