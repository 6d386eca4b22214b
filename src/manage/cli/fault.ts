// Why a command ended without doing what was asked, and with which exit code.

import { printable } from '../../config/problem.js';

/** Of every command; docs/cli.md tells them. */
export const Exit = {
  Ok: 0,
  /** Refused or failed: nothing was changed, unless the message says what was. */
  Failed: 1,
  /** The command line, or a file that it names, cannot be meant so. */
  Usage: 2,
  /** The gateway cannot be reached, or does not permit it to this caller. */
  Unreachable: 3,
} as const;
export type Exit = (typeof Exit)[keyof typeof Exit];

/** `message` is one sentence; `lines` are what else is known: where it is wrong, what would do. */
export class Fault extends Error {
  constructor(
    message: string,
    readonly exit: Exit = Exit.Failed,
    readonly lines: readonly string[] = [],
  ) {
    super(message);
  }

  /** For a person; what it quotes from elsewhere cannot steer the terminal. */
  told(): string {
    return [`portcullis: ${printable(this.message)}`, ...this.lines.map(line => `  ${printable(line)}`)].join('\n');
  }
}

export function usage(message: string, ...lines: string[]): Fault {
  return new Fault(message, Exit.Usage, lines);
}
