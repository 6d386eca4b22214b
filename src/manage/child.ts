// One gateway process, seen from its supervisor.

import { type ChildProcess, fork } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import type { FlatProblem, Order, Report } from './messages.js';

/** Until a gateway has told its own. */
const GRACE_MS = 30_000;

/** Tells the gateway process its folder; it also is how that process knows what it is. */
export const FOLDER_VARIABLE = 'PORTCULLIS_FOLDER';
/** Set where another gateway process serves at its side, until this one does. */
export const SUCCESSOR_VARIABLE = 'PORTCULLIS_SUCCESSOR';

export interface Starting {
  execPath: string;
  script: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** Of its own, made and removed here. */
  folder: string;
  successor: boolean;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export class Child {
  readonly started = Date.now();
  /** Of the sockets that it needs. */
  uses: ReadonlySet<string> = new Set();
  graceMs = GRACE_MS;
  /** Set once it serves. */
  version: string | null = null;
  /** Why it did not start, in its own words. */
  refusal: { message: string; problems: FlatProblem[] } | null = null;
  readonly ended: Promise<Ended>;
  /** Settles when it serves, or has ended without. */
  readonly settled: Promise<void>;
  readonly #process: ChildProcess;

  constructor(
    { execPath, script, args, env, folder, successor }: Starting,
    hear: (child: Child, report: Report) => void,
  ) {
    // Around it too: folders for temporary files are swept now and then.
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#process = fork(script, args, {
      execPath,
      env: { ...env, [FOLDER_VARIABLE]: folder, ...(successor && { [SUCCESSOR_VARIABLE]: '1' }) },
      // A group of its own: a Ctrl-C at the terminal reaches it once, through us.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    let serves = () => {};
    const serving = new Promise<void>(resolve => {
      serves = resolve;
    });
    this.#process.on('message', (report: Report) => {
      if (report.type === 'ready' || report.type === 'reloaded') {
        this.graceMs = report.graceMs;
        this.uses = new Set(report.uses ?? []);
      }
      if (report.type === 'ready') this.version = report.version;
      if (report.type === 'refused') this.refusal = report;
      hear(this, report);
      if (report.type === 'ready') serves();
    });
    this.ended = new Promise<Ended>(resolve => {
      this.#process.once('error', error => {
        this.refusal ??= { message: `it cannot be started: ${error.message}`, problems: [] };
        // What never started never exits.
        if (this.#process.pid === undefined) resolve({ code: 1, signal: null });
      });
      this.#process.once('exit', (code, signal) => resolve({ code, signal }));
    });
    void this.ended.then(() => rmSync(folder, { recursive: true, force: true }));
    this.settled = Promise.race([serving, this.ended.then(() => {})]);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get alive(): boolean {
    return this.pid !== 0 && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** What it has not read when it ends is lost with it. */
  tell(order: Order, handle?: unknown): void {
    if (this.#process.connected) this.#process.send(order, handle as never, {}, () => {});
  }

  kill(signal: NodeJS.Signals): void {
    if (this.alive) this.#process.kill(signal);
  }
}
