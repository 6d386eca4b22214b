// Where a command reads and writes. Commands get it handed over, so that tests can be the person in front of it.

import { homedir } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { printable } from '../../config/problem.js';
import { Exit, Fault, usage } from './fault.js';

export interface Terminal {
  input: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };
  /** What was asked for: tables, JSON, PEM. */
  output: Writable & { isTTY?: boolean; columns?: number };
  /** Questions, progress, complaints. */
  error: Writable & { isTTY?: boolean; columns?: number };
  env: NodeJS.ProcessEnv;
  home: string;
  now: () => number;
}

/** Opened when a command first uses it: the gateway process, which this script is too, does as it likes with its own. */
export function systemTerminal(): Terminal {
  let opened = false;
  return {
    get input() {
      return process.stdin;
    },
    get output() {
      if (!opened) process.stdout.on('error', readNoMore);
      opened = true;
      return process.stdout;
    },
    get error() {
      return process.stderr;
    },
    env: process.env,
    home: homedir(),
    now: Date.now,
  };
}

/** `portcullis pki list | head`: whoever reads has seen enough. */
function readNoMore(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
}

/** A secret or an answer is typed: more is a file that was sent by mistake. */
const MAX_LINE = 4_096;

/** `question [y/N]`; only `y` and `yes` are yes. Without a person to ask, the option `--yes` has to have said it. */
export async function confirm(terminal: Terminal, question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!terminal.input.isTTY) {
    throw usage('nobody can be asked here: standard input is no terminal', 'with `--yes` it is done without asking');
  }
  const answer = await line(terminal, `${printable(question)} [y/N] `, true);
  if (!/^y(es)?$/i.test(answer.trim())) throw new Fault('nothing was done');
}

/** Typed without echo. `instead` names what a script would use. */
export async function secret(terminal: Terminal, question: string, instead: string): Promise<string> {
  if (!terminal.input.isTTY) {
    throw usage(`${question}: nobody can be asked here, standard input is no terminal`, `use ${instead}`);
  }
  return await line(terminal, `${printable(question)}: `, false);
}

/** A new secret, typed twice. */
export async function newSecret(terminal: Terminal, question: string, instead: string): Promise<string> {
  const typed = await secret(terminal, question, instead);
  if (typed === '') throw usage('the password is empty');
  if ((await secret(terminal, `${question}, again`, instead)) !== typed) throw usage('the two are not the same');
  return typed;
}

const ENTER = /[\r\n]/;
const INTERRUPT = '\u0003';
const END = '\u0004';
const ERASE = ['\u007f', '\b'];

function line({ input, error }: Terminal, prompt: string, echo: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const typed: string[] = [];
    // Without raw mode the terminal echoes what is typed and hands over whole lines.
    const raw = !echo;
    // Before the question: what is typed ahead would be echoed.
    if (raw) input.setRawMode?.(true);
    error.write(prompt);
    const finish = (settle: () => void) => {
      input.off('data', read);
      input.off('end', ended);
      if (raw) {
        input.setRawMode?.(false);
        error.write('\n');
      }
      input.pause();
      settle();
    };
    const interrupted = () => finish(() => reject(new Fault('interrupted', Exit.Failed)));
    const ended = () => finish(() => reject(new Fault('the input ended before an answer', Exit.Failed)));
    const read = (piece: Buffer | string) => {
      for (const [at, character] of [...piece.toString()].entries()) {
        if (ENTER.test(character)) {
          const rest = [...piece.toString()].slice(at + 1).join('');
          finish(() => resolve(typed.join('')));
          if (rest !== '') input.unshift(Buffer.from(rest));
          return;
        }
        if (character === INTERRUPT) return interrupted();
        if (character === END && typed.length === 0) return ended();
        if (ERASE.includes(character)) typed.pop();
        else if (character !== END) typed.push(character);
        if (typed.length > MAX_LINE) return finish(() => reject(usage('the answer is longer than 4096 characters')));
      }
    };
    input.on('data', read);
    input.once('end', ended);
    input.resume();
  });
}
