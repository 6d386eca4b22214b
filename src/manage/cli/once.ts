// What the gateway answers only once: written to a file for its owner alone, else shown.

import { folderOf, write } from './files.js';
import { print, say } from './print.js';
import type { ReachOptions } from './reach.js';
import type { Terminal } from './terminal.js';

export interface OnceOptions extends ReachOptions {
  out?: string;
  force?: boolean;
}

/** `secret`: what it is called, in `made` and in sentences. `short` and `long` tell what it was made for. */
export function showOnce<S extends string, M extends Record<S, string>>(
  terminal: Terminal,
  { out, force, output }: OnceOptions,
  secret: S,
  made: M,
  short: string,
  long = short,
): void {
  const { [secret]: shown, ...rest } = made;
  if (out === undefined) {
    if (output === 'table') say(terminal, `${short}: the ${secret} is shown only this once`);
    print(terminal, output, made, () => `${shown}\n`);
    return;
  }
  folderOf(out);
  write(out, `${shown}\n`, 'secret', force);
  print(terminal, output, rest, () => `${long}: the ${secret} is in ${out}\n`);
}
