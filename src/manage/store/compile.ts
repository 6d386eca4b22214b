// What an operator wrote about the store, as plain values: nothing is opened or made here.

import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Loading } from '../../config/loading.js';
import type { StoreConfig } from './config.js';
import { type KeyPlaces, parseKey } from './key.js';
import { StoreRefused } from './refused.js';
import { readTarget } from './target.js';

/** Beside the configuration, where neither it nor systemd says where. */
const FOLDER = 'portcullis-state';
const AT = '/store';

export interface StorePlan extends KeyPlaces {
  /** Of the key in `keyFile`, to notice a change. */
  keyDigest: string | null;
}

export function compileStore(config: StoreConfig, loading: Loading, env: NodeJS.ProcessEnv): StorePlan {
  const { url = null, key } = config;
  if (url !== null) telling(loading, `${AT}/url`, () => readTarget(url));
  // systemd may name several folders, by colons.
  const given = config.folder ?? env.STATE_DIRECTORY?.split(':')[0] ?? FOLDER;
  const keyFile = key === undefined ? null : loading.path(key);
  return { url, folder: resolve(loading.directory, given), keyFile, keyDigest: keyFile && digest(keyFile, loading) };
}

function digest(file: string, loading: Loading): string | null {
  const at = `${AT}/key`;
  const written = loading.text(at, file);
  if (written === null) return null;
  loading.warnOfMode(at, file);
  return telling(loading, at, () => createHash('sha256').update(parseKey(written, 'this file')).digest('hex'));
}

function telling<T>(loading: Loading, at: string, act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof StoreRefused)) throw error;
    loading.problem(at, error.message, { hint: error.hint });
    return null;
  }
}
