// Authorities whose certificates and lists come from elsewhere, as the configuration in force and the store name them.

import type { Parts } from '../../config/load.js';
import type { Log } from '../log.js';
import { type Run, readAuthority } from './commands.js';

export interface Brought {
  name: string;
  /** PEM, several. */
  certificates: string;
  intermediates: string;
  revocation: {
    /** Lists arrive at run time. */
    fetch: boolean;
    /** Distribution points beside those that certificates name. */
    urls: readonly string[];
    ocsp: boolean;
    allowPrivateAddresses: boolean;
  };
}

export interface IssuerFacts {
  pem: string;
  /** SHA-256 of its SubjectPublicKeyInfo, lower-case hex. */
  keyId: string;
  subject: string;
  /** Unix milliseconds. */
  notAfter: number;
}

export interface BroughtAuthority extends Brought {
  issuers: readonly IssuerFacts[];
}

/** Authorities of a policy that is in force. */
export function broughtBy({ config, policy }: Parts): Brought[] {
  return policy.authorities.map(({ name, certificates, intermediates, revocation: { fetch, ocsp } }) => {
    const { urls = [], allowPrivateAddresses = false } = config.authorities[name]?.revocation ?? {};
    return { name, certificates, intermediates, revocation: { fetch, urls, ocsp, allowPrivateAddresses } };
  });
}

/** Reads what has not been read before. A certificate that cannot be read is the engine's to complain about. */
export class Issuers {
  readonly #run: Run;
  readonly #log: Log;
  #known = new Map<string, readonly IssuerFacts[]>();

  constructor(run: Run, log: Log) {
    this.#run = run;
    this.#log = log;
  }

  async read(all: readonly Brought[]): Promise<BroughtAuthority[]> {
    const known = new Map<string, readonly IssuerFacts[]>();
    const read: BroughtAuthority[] = [];
    for (const one of all) {
      const pems = `${one.certificates}\n${one.intermediates}`;
      const issuers = this.#known.get(pems) ?? (await this.#ask(one.name, pems));
      known.set(pems, issuers);
      read.push({ ...one, issuers });
    }
    this.#known = known;
    return read;
  }

  async #ask(name: string, pems: string): Promise<readonly IssuerFacts[]> {
    if (pems.trim() === '') return [];
    try {
      const { certificates } = await readAuthority(this.#run, { certificates: pems });
      return certificates.map(({ pem, facts }) => ({
        pem,
        keyId: facts.key_id,
        subject: facts.subject,
        notAfter: facts.not_after,
      }));
    } catch (error) {
      const { message } = error as Error;
      this.#log.warn({ authority: name, error: message }, 'the certificates of an authority cannot be read');
      return [];
    }
  }
}
