import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Loading } from '../../config/loading.js';
import type { Events } from './config.js';

/** `stdout`, or the absolute path of a file that can be appended to. */
export function compileEvents({ destination }: Events, loading: Loading): string {
  if (destination === 'stdout') return destination;
  const absolute = resolve(loading.directory, destination);
  try {
    accessSync(existsSync(absolute) ? absolute : dirname(absolute), constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    loading.problem('/events/destination', `events cannot be written there (${code})`, {
      hint: `${dirname(absolute)} has to exist and be writable by the gateway's user`,
    });
  }
  return absolute;
}
