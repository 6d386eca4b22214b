// Where the key that seals private keys comes from. It never comes from the store itself.

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { warningOfMode } from '../../config/loading.js';
import { StoreRefused } from './refused.js';
import { KEY_BYTES } from './secrets.js';

/** Generous: a key is 64 characters at most. A larger file is something else. */
const MAX_FILE_BYTES = 1_024;
const VARIABLE = 'PORTCULLIS_STORE_KEY';
const CREDENTIAL = 'portcullis-store-key';
const HOW_TO_MAKE = '`openssl rand -base64 32` makes one';

export interface KeyPlaces {
  /** `postgres://...`; else SQLite in `folder`. */
  url: string | null;
  folder: string;
  /** Of the configuration, absolute. */
  keyFile: string | null;
}

export interface FoundKey {
  key: Buffer;
  /** In words. */
  source: string;
  /** Worth a warning, or null. */
  warning: string | null;
}

/**
 * The key, from the one place that has it: a file of the configuration, the environment, a credential of systemd, or
 * for SQLite `store.key` in its folder. That file is made where there is neither a key nor a store: a store whose key
 * is missing is refused, as a new key could not read it. Throws StoreRefused.
 */
export function findKey({ url, folder, keyFile }: KeyPlaces, env: NodeJS.ProcessEnv): FoundKey {
  const own = url === null ? join(folder, 'store.key') : null;
  // Looked at before the keys: another process may be making both, and it makes the key first.
  const made = url === null && existsSync(join(folder, 'store.db'));
  const found = [
    // What there is to warn of, compile.ts has told.
    keyFile === null ? null : { ...fromFile(keyFile, `${keyFile} (of the configuration)`), warning: null },
    env[VARIABLE] ? { ...parsed(env[VARIABLE], `\`${VARIABLE}\``), warning: null } : null,
    env.CREDENTIALS_DIRECTORY ? ifThere(join(env.CREDENTIALS_DIRECTORY, CREDENTIAL)) : null,
    own === null ? null : ifThere(own),
  ].filter(one => one !== null);
  const [first, ...others] = found;
  if (first) {
    const other = others.find(({ key }) => !key.equals(first.key));
    if (!other) return first;
    throw new StoreRefused(
      `the keys in ${first.source} and ${other.source} differ`,
      'leave only the one that the store was made with',
    );
  }
  if (own === null) {
    throw new StoreRefused(
      `the store has no key: neither \`store.key\` nor \`${VARIABLE}\` nor the credential \`${CREDENTIAL}\` is there`,
      `${HOW_TO_MAKE}; all gateways that share the store need the same`,
    );
  }
  if (made) {
    throw new StoreRefused(
      `${folder} holds a store, but its key is not there`,
      `put \`store.key\` back, or give the key by \`store.key\`, \`${VARIABLE}\` or the credential \`${CREDENTIAL}\``,
    );
  }
  makeKey(folder, own);
  return fromFile(own, own);
}

/** 32 bytes as base64 or hex, what `openssl rand` writes; throws StoreRefused without repeating it. */
export function parseKey(written: string, source: string): Buffer {
  const text = written.trim();
  if (/^[0-9A-Fa-f]{64}$/.test(text)) return Buffer.from(text, 'hex');
  const key = Buffer.from(text, 'base64');
  // Other writings of the same bytes are typing errors.
  if (key.length === KEY_BYTES && key.toString('base64') === text) return key;
  throw new StoreRefused(`what ${source} holds is not 32 bytes in base64 or hex`, HOW_TO_MAKE);
}

function parsed(written: string, source: string) {
  return { key: parseKey(written, source), source };
}

function fromFile(file: string, source: string): FoundKey {
  try {
    const written = statSync(file).size > MAX_FILE_BYTES ? '' : readFileSync(file, 'utf8');
    return { key: parseKey(written, source), source, warning: warningOfMode(file) };
  } catch (error) {
    if (error instanceof StoreRefused) throw error;
    throw new StoreRefused(`the store's key cannot be read: ${(error as Error).message}`, `looked for ${file}`);
  }
}

function ifThere(file: string): FoundKey | null {
  return existsSync(file) ? fromFile(file, file) : null;
}

/** The file appears whole or not at all, under its name at once; of two processes one makes it and both use it. */
function makeKey(folder: string, file: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const beside = `${file}.${process.pid}`;
    rmSync(beside, { force: true });
    try {
      write(beside, `${randomBytes(KEY_BYTES).toString('base64')}\n`);
      linkUnlessThere(beside, file);
    } finally {
      rmSync(beside, { force: true });
    }
    // The name, too, has to outlast a failure of power: the store that is made next cannot be read without.
    const above = openSync(folder, 'r');
    fsyncSync(above);
    closeSync(above);
  } catch (error) {
    throw new StoreRefused(
      `the store's key cannot be made: ${(error as Error).message}`,
      `the gateway has to be able to write to ${folder}, or \`store.folder\` names another`,
    );
  }
}

function write(file: string, text: string): void {
  const opened = openSync(file, 'wx', 0o600);
  try {
    writeSync(opened, text);
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

function linkUnlessThere(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
