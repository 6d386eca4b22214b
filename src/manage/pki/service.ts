// What everything of the PKI needs: the store, the native commands, the clock, and what the configuration says.

import { type Audit, type Principal, Refusal } from '../admin/api.js';
import type { Log } from '../log.js';
import { audit } from '../store/audit.js';
import type { Store } from '../store/open.js';
import { PkiError, type Run } from './commands.js';
import { DEFAULTS, type PkiConfig } from './config.js';

/** Who changes something. */
export interface By {
  name: string;
  audit: Audit;
}

export function by({ principal, audit }: { principal: Principal; audit: Audit }): By {
  return { name: principal.name, audit };
}

/** Who changes something without the admin API: `system`, or the subject of a certificate. */
export function byItself(name: string): By {
  return {
    name,
    audit: async (tx, revisions, change) => void (await audit(tx, revisions, { ...change, actor: name })),
  };
}

/** A host of the configuration in force. */
export interface ServedHost {
  name: string;
  /** As clients reach it: `https://api.example.com`, with the port where it is not 443. */
  url: string;
  /** Names of authorities. */
  trust: readonly string[];
}

export interface PkiParts {
  store: Store;
  /** The native door's: a command as JSON in, its answer out. */
  run: Run;
  log: Log;
  /** Unix milliseconds. */
  now?: () => number;
  settings?: () => PkiConfig;
  hosts?: () => readonly ServedHost[];
  /** Names of authorities that the configuration brings with certificates of its own. */
  fileAuthorities?: () => readonly string[];
}

export class Pki {
  readonly store: Store;
  readonly log: Log;
  readonly #parts: PkiParts;

  constructor(parts: PkiParts) {
    this.store = parts.store;
    this.log = parts.log;
    this.#parts = parts;
  }

  now(): number {
    return this.#parts.now?.() ?? Date.now();
  }

  get settings(): PkiConfig {
    return this.#parts.settings?.() ?? DEFAULTS;
  }

  get hosts(): readonly ServedHost[] {
    return this.#parts.hosts?.() ?? [];
  }

  get fileAuthorities(): readonly string[] {
    return this.#parts.fileAuthorities?.() ?? [];
  }

  /** Runs a command of commands.ts. What it refuses becomes a Refusal. */
  async ask<C, A>(command: (run: Run, fields: C) => Promise<A>, fields: C): Promise<A> {
    try {
      return await command(this.#parts.run, fields);
    } catch (error) {
      throw error instanceof PkiError ? refusal(error) : error;
    }
  }
}

export function refusal({ message, hint }: { message: string; hint: string }): Refusal {
  return new Refusal(422, `${message.slice(0, 1).toUpperCase()}${message.slice(1)}.`, hint);
}
