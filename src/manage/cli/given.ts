// A secret that a command is given: from a file, standard input, or typed without echo; never on the command line.

import { Exit, Fault } from './fault.js';
import { readInput } from './files.js';
import { secret, type Terminal } from './terminal.js';

export interface Given {
  /** What it is called: `API key`. */
  what: string;
  /** Instead of standard input. */
  file: string | undefined;
  /** Of the whole input: more is something else. */
  maxBytes: number;
}

/** Its first line. */
export async function givenSecret(terminal: Terminal, { what, file, maxBytes }: Given): Promise<string> {
  const text =
    file === undefined ? await entered(terminal, what, maxBytes) : readInput(file, maxBytes).toString('utf8');
  const first = text.trim().split(/\r?\n/, 1)[0]?.trim() ?? '';
  if (first === '') throw new Fault(`${file ?? 'standard input'} is empty`, Exit.Usage);
  return first;
}

async function entered(terminal: Terminal, what: string, maxBytes: number): Promise<string> {
  if (terminal.input.isTTY) return await secret(terminal, what, '`--file`');
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of terminal.input) {
    length += piece.length;
    if (length > maxBytes) throw new Fault(`standard input holds more than one ${what}`, Exit.Usage);
    pieces.push(Buffer.from(piece));
  }
  return Buffer.concat(pieces).toString('utf8');
}
