// Asks the OCSP responders of brought authorities about the certificates that clients show, ahead of time: a request
// never waits for a responder. What they answer is verified, and the engine keeps it.
//
// Only verified certificates are asked about: another one could name any responder.

import type { RevocationMetrics } from '../../journal/metrics/revocation.js';
import { download } from '../download.js';
import type { Log } from '../log.js';
import type { BroughtAuthority } from './brought.js';
import type { Clock } from './clock.js';
import { PkiError, type Run, requestOcsp, verifyOcsp } from './commands.js';
import { backoff, type Due, jittered, Rounds } from './rounds.js';

const TICK_MS = 500;
const CONCURRENT = 8;
/** Certificates that are kept fresh; of more, those that came last. The engine holds ten times as many answers. */
export const MAX_ASKED = 10_000;
/** An answer with its responder's certificates has some KiB. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** A certificate that was not shown for so long is not asked about any more. */
const FORGET_MS = 86_400_000;
const LEAST_MS = 60_000;
const MOST_MS = 86_400_000;
/** Of an answer without nextUpdate: newer information is always available (RFC 6960, 4.2.2.1). */
const NO_DATE_MS = 300_000;
const FIRST_BACKOFF_MS = 15_000;
const MOST_BACKOFF_MS = 1_800_000;
const PART_OF_LIFE = 2 / 3;

export interface Answering {
  ocspAnswer(answer: string): void;
}

/** Of a certificate that was seen. */
export interface SeenCertificate {
  authority: string | null;
  /** Of the key that signed it. */
  issuer_key_id: string | null;
  serial: string;
  crl_urls: readonly string[];
  ocsp_urls: readonly string[];
}

interface Question extends Due {
  authority: string;
  keyId: string;
  serial: string;
  url: string;
  /** By the steady clock. */
  seen: number;
  failures: number;
}

export interface AskingParts {
  native: Answering;
  run: Run;
  log: Log;
  metrics: RevocationMetrics;
  clock: Clock;
}

export class Asking {
  readonly #parts: AskingParts;
  /** The longest unseen first. */
  readonly #questions = new Map<string, Question>();
  #authorities = new Map<string, BroughtAuthority>();
  readonly #rounds: Rounds;

  constructor(parts: AskingParts) {
    this.#parts = parts;
    this.#rounds = new Rounds(parts.clock, CONCURRENT);
  }

  start(): void {
    this.#rounds.start(TICK_MS, () => this.tick());
  }

  stop(): void {
    this.#rounds.stop();
  }

  adopt(authorities: readonly BroughtAuthority[]): void {
    this.#authorities = new Map(authorities.filter(it => it.revocation.ocsp).map(it => [it.name, it]));
    for (const [key, { authority }] of this.#questions) {
      if (!this.#authorities.has(authority)) this.#questions.delete(key);
    }
  }

  seen({ authority, issuer_key_id: keyId, serial, ocsp_urls }: SeenCertificate): void {
    const url = ocsp_urls.find(written => /^https?:\/\//i.test(written));
    if (authority === null || keyId === null || url === undefined || !this.#authorities.has(authority)) return;
    const key = `${authority} ${keyId}:${serial}`;
    const now = this.#parts.clock.elapsed();
    const known = this.#questions.get(key);
    const question = known ?? { authority, keyId, serial, url, due: 0, seen: now, failures: 0, busy: false };
    question.seen = now;
    this.#questions.delete(key);
    this.#questions.set(key, question);
    if (this.#questions.size > MAX_ASKED) this.#questions.delete(this.#questions.keys().next().value ?? '');
  }

  /** Asks what is due. Resolves when all of that has been answered or not. */
  async tick(): Promise<void> {
    const now = this.#parts.clock.elapsed();
    for (const [key, { seen }] of this.#questions) {
      if (now - seen <= FORGET_MS) break;
      this.#questions.delete(key);
    }
    await this.#rounds.begin(this.#questions.values(), async question => jittered(await this.#ask(question)));
  }

  /** Answers how long to wait. */
  async #ask(question: Question): Promise<number> {
    const { run, native, metrics, log, clock } = this.#parts;
    const { authority, keyId, serial, url } = question;
    const brought = this.#authorities.get(authority);
    const issuer = brought?.issuers.find(it => it.keyId === keyId)?.pem;
    if (!brought || issuer === undefined) return MOST_BACKOFF_MS;
    try {
      const { der, nonce } = await requestOcsp(run, { issuer, serial, nonce: false });
      const { bytes } = await download(url, {
        allowPrivateAddresses: brought.revocation.allowPrivateAddresses,
        maxBytes: MAX_ANSWER_BYTES,
        body: { bytes: Buffer.from(der, 'base64'), contentType: 'application/ocsp-request' },
        accept: 'application/ocsp-response',
        signal: this.#rounds.signal,
      });
      const response = bytes?.toString('base64') ?? '';
      const { status, this_update, next_update } = await verifyOcsp(run, {
        response,
        issuer,
        serial,
        nonce,
        now: clock.now(),
      });
      native.ocspAnswer(JSON.stringify({ authority, key_id: keyId, serial, status, this_update, next_update }));
      metrics.fetched(authority, 'ocsp', 'replaced');
      question.failures = 0;
      const life =
        next_update === null ? NO_DATE_MS : this_update + (next_update - this_update) * PART_OF_LIFE - clock.now();
      return Math.min(MOST_MS, Math.max(LEAST_MS, life));
    } catch (error) {
      const refused = error instanceof PkiError;
      metrics.fetched(authority, 'ocsp', refused ? 'refused' : 'failed');
      // Of a responder that is down every certificate would tell: the first failure of each is enough.
      if (question.failures === 0) {
        log.warn(
          { authority, serial, url, error: (error as Error).message },
          'OCSP gave no answer that can be relied on; the last one stays',
        );
      }
      question.failures += 1;
      return backoff(question.failures, FIRST_BACKOFF_MS, MOST_BACKOFF_MS);
    }
  }
}
