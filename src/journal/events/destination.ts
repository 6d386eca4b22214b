// Where event lines go: standard output or a file, fed from the native rings on a timer.
//
// At most one buffer is under way. While it cannot be written (a full disk, a pipe whose reader is slow)
// nothing is drained, the native rings overflow, and what they drop is counted there: memory stays bounded
// and no exchange waits.

import { closeSync, fstatSync, fsyncSync, openSync, write } from 'node:fs';

/** An event may wait this long; at 50,000 exchanges a second it is 5,000 lines, and each turn costs some 100 us. */
const DRAIN_INTERVAL_MS = 100;
/** Moved in one piece and written in one call; a busy second has tens of MiB. */
const BUFFER_BYTES = 1024 * 1024;
/** After a failed write. */
const RETRY_MS = 1_000;
/** A pipe that is full right now. */
const BUSY_MS = 10;

/** Of several processes that write to the same place; src/journal/events/turn.ts. */
export interface TakesTurns {
  take(): boolean;
  pass(): void;
}

const ALWAYS_OURS: TakesTurns = { take: () => true, pass: () => {} };

/** Moves whole lines into the buffer and answers how many bytes they are. */
export type Drain = (buffer: Uint8Array) => number;

export interface Complaints {
  warn(fields: object, sentence: string): void;
  info(fields: object, sentence: string): void;
}

export class Destination {
  readonly #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  readonly #drain: Drain;
  readonly #stdout: number;
  readonly #log: Complaints;
  readonly #turns: TakesTurns;
  #written: string;
  #fd: number;
  #timer: NodeJS.Timeout | undefined;
  #start = 0;
  #end = 0;
  #busy = false;
  #failing = false;
  #idle: (() => void) | null = null;

  /** `stdout` is the descriptor that stands for standard output. Throws when a file cannot be opened. */
  constructor(written: string, stdout: number, drain: Drain, log: Complaints, turns = ALWAYS_OURS) {
    this.#stdout = stdout;
    this.#drain = drain;
    this.#log = log;
    // A file is appended to in whole writes, whoever does it.
    this.#turns = fstatSync(stdout).isFile() ? ALWAYS_OURS : turns;
    this.#written = written;
    this.#fd = this.#open(written);
    this.#next(DRAIN_INTERVAL_MS);
  }

  /** Goes on somewhere else, or at the same path anew (log rotation). Throws, and stays, when that cannot be opened. */
  reopen(written = this.#written): void {
    const fd = this.#open(written);
    const old = this.#fd;
    this.#fd = fd;
    this.#written = written;
    if (old === this.#stdout) return;
    // The write under way still has the old one.
    if (this.#busy) setTimeout(() => closeSync(old), RETRY_MS).unref();
    else closeSync(old);
  }

  /** Writes what is still there, as far as it goes within the bound. */
  async close(boundMs: number): Promise<void> {
    const emptied = new Promise<void>(resolve => {
      this.#idle = resolve;
    });
    if (!this.#busy) this.#next(0);
    await Promise.race([emptied, new Promise(resolve => setTimeout(resolve, boundMs).unref())]);
    clearTimeout(this.#timer);
    this.#turns.pass();
    if (this.#fd === this.#stdout) return;
    try {
      fsyncSync(this.#fd);
    } catch {
      // Pipes and devices have nothing to be synced; a disk that fails here has failed in `write` already.
    }
  }

  #open(written: string): number {
    return written === 'stdout' ? this.#stdout : openSync(written, 'a', 0o640);
  }

  #next(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#turn(), delayMs);
  }

  #turn(): void {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = this.#drain(this.#buffer);
    }
    if (this.#end === 0) {
      this.#turns.pass();
      this.#idle?.();
      this.#next(DRAIN_INTERVAL_MS);
      return;
    }
    if (this.#fd === this.#stdout && !this.#turns.take()) {
      this.#next(BUSY_MS);
      return;
    }
    this.#busy = true;
    write(this.#fd, this.#buffer, this.#start, this.#end - this.#start, null, (error, count) => {
      this.#busy = false;
      if (error) {
        this.#failed(error);
        return;
      }
      if (this.#failing) this.#log.info({ destination: this.#written }, 'events are written again');
      this.#failing = false;
      this.#start += count;
      if (this.#start < this.#end) {
        this.#next(0);
        return;
      }
      this.#turns.pass();
      const more = this.#end > BUFFER_BYTES / 2;
      this.#start = this.#end = 0;
      this.#next(more || this.#idle ? 0 : DRAIN_INTERVAL_MS);
    });
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (error.code === 'EAGAIN') {
      this.#next(BUSY_MS);
      return;
    }
    if (!this.#failing) {
      this.#log.warn(
        { destination: this.#written, code: error.code },
        'events cannot be written; they are kept and dropped when their rings are full',
      );
    }
    this.#failing = true;
    this.#next(RETRY_MS);
  }
}
