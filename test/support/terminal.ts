// The command line in this process, with a person, or nobody, in front of it.

import { PassThrough } from 'node:stream';
import { makeProgram, type Parts, runProgram } from '../../src/manage/cli/program.js';
import type { Terminal } from '../../src/manage/cli/terminal.js';
import { temporaryFolder } from './cleanup.js';

export interface Ran {
  exit: number;
  /** Standard output, and standard error. */
  out: string;
  error: string;
}

export interface Person {
  /** What is typed, a line a question; without it standard input is no terminal. */
  typed?: string[];
  /** What standard input holds, which is no terminal then. */
  piped?: string;
  env?: NodeJS.ProcessEnv;
  home?: string;
  /** Of the terminal that output goes to; without it output goes to a file. */
  columns?: number;
  now?: number;
  pki?: Parts['pki'];
}

/** Runs `portcullis <args>`. */
export async function portcullis(args: readonly string[], person: Person = {}): Promise<Ran> {
  const said = { out: '', error: '' };
  const terminal = fakeTerminal(person, said);
  const program = makeProgram({ ...unused, ...(person.pki && { pki: person.pki }), terminal });
  const exit = await runProgram(program, args, terminal);
  return { exit: exit ?? 0, ...said };
}

function fakeTerminal(person: Person, said: { out: string; error: string }): Terminal {
  const input: Terminal['input'] = new PassThrough();
  if (person.typed) {
    input.isTTY = true;
    input.setRawMode = () => input;
    for (const line of person.typed) (input as PassThrough).write(`${line}\n`);
  }
  if (person.piped !== undefined) (input as PassThrough).end(person.piped);
  const output: Terminal['output'] = new PassThrough().on('data', piece => {
    said.out += piece;
  });
  const error: Terminal['error'] = new PassThrough().on('data', piece => {
    said.error += piece;
  });
  if (person.columns) Object.assign(output, { isTTY: true, columns: person.columns });
  const { env = {}, home = temporaryFolder(), now } = person;
  return { input, output, error, env, home, now: () => now ?? Date.now() };
}

const absent = () => Promise.reject(new Error('not in this test'));
const unused: Omit<Parts, 'terminal'> = {
  version: '0.0.0',
  processes: { supervise: absent, serve: absent },
  compile: absent,
  explain: absent,
  pki: absent,
  lookups: { env: {}, resolve: absent },
};
