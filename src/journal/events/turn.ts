// Whose turn it is to write where two gateway processes do: to a pipe, which would mix lines of both as soon as its
// reader is slow (POSIX promises whole writes up to PIPE_BUF only, 4,096 octets).
//
// A symbolic link is made by one process and by no other as long as it is there, and says by which one.

import { readlinkSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';

const NAME = 'writing';

export class Turn {
  readonly #link: string;
  #mine = false;

  /** The folder is the same for all that write there. */
  constructor(folder: string) {
    this.#link = join(folder, NAME);
  }

  /** Whether it is ours, from now on until it is passed. */
  take(): boolean {
    if (this.#mine) return true;
    try {
      symlinkSync(String(process.pid), this.#link);
      this.#mine = true;
    } catch (error) {
      // A folder that is gone, or a full disk: events are worth more than their order.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return true;
    }
    return this.#mine;
  }

  pass(): void {
    if (this.#mine) unlink(this.#link);
    this.#mine = false;
  }
}

/** A process that ended cannot pass its turn. */
export function forgetTurn(folder: string, pid: number): void {
  const link = join(folder, NAME);
  try {
    if (readlinkSync(link) === String(pid)) unlink(link);
  } catch {
    // It was nobody's.
  }
}

function unlink(link: string): void {
  try {
    unlinkSync(link);
  } catch {
    // Gone with its folder.
  }
}
