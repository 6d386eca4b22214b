// How far a long command is: a bar where a person looks, a line now and then where a log is kept.

import { printable } from '../../config/problem.js';
import type { Terminal } from './terminal.js';

const BAR = 24;
/** Of lines, where there is no bar. */
const LINES = 10;

export interface Progress {
  /** `done` of all are done. */
  step(done: number): void;
  end(): void;
}

export function progress({ error }: Terminal, what: string, all: number): Progress {
  const label = printable(what);
  if (!error.isTTY) {
    let told = 0;
    return {
      step: done => {
        const tenth = Math.floor((done * LINES) / all);
        if (tenth <= told) return;
        told = tenth;
        error.write(`${label}: ${done} of ${all}\n`);
      },
      end: () => {},
    };
  }
  return {
    step: done => {
      const filled = Math.round((BAR * done) / all);
      error.write(`\r${label} [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${done}/${all}\u001b[K`);
    },
    end: () => error.write('\n'),
  };
}
