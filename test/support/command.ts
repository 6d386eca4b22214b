// The command line, as an operator types it, against a gateway of a test.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Gateway } from './gateway.js';

const MAIN = join(import.meta.dirname, '../../dist/main.js');

/** Runs commands in `folder`, each a process of its own; they answer standard output, and reject with its exit code. */
export function commandLine(gateway: Gateway, folder: string): (...args: string[]) => Promise<string> {
  return async (...args) => {
    const env = {
      ...process.env,
      HOME: folder,
      PORTCULLIS_TOKEN: gateway.token,
      PORTCULLIS_ADMIN: `http://127.0.0.1:${gateway.admin}`,
    };
    return (await promisify(execFile)(process.execPath, [MAIN, ...args], { env, cwd: folder })).stdout;
  };
}
