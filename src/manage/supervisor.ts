// `portcullis run`: a small process that keeps the gateway process alive.
//
// It does next to nothing, so that nothing can go wrong with it: it starts the gateway, starts it again when it
// died, hands signals on, and ends when told to. The gateway ends by itself when its supervisor is gone (its IPC
// channel closes).

import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from './log.js';
import { type Notify, reloadingState } from './systemd.js';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;
/** A gateway that served for so long is started again at once. */
const STEADY_MS = 10_000;
/** Beyond the gateway's own grace, which it keeps by itself. */
const STOP_MARGIN_MS = 10_000;
/** npm and the terminal both send the SIGINT of one Ctrl-C; only a later one is impatience. */
const IMPATIENCE_MS = 1_000;
/** Of a request head; uWebSockets.js reads it when it is loaded, and starts with 4,096 (docs/http.md). */
const MAX_HEAD_BYTES = 16_384;

/** Tells the gateway process its folder; it also is how that process knows what it is. */
export const FOLDER_VARIABLE = 'PORTCULLIS_FOLDER';

/** What the gateway tells its supervisor. */
export type Report = { type: 'ready'; graceMs: number } | { type: 'reloading' } | { type: 'stopping' };

export interface Supervised {
  script: string;
  args: string[];
  log: Log;
  notify: Notify;
}

/** Runs until it is told to stop, or the first start fails; answers the exit code. */
export async function supervise({ script, args, log, notify }: Supervised): Promise<number> {
  // Files of the gateway's own, such as the authorities it hands to TLS: here, so that they go when it is killed.
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-'));
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    UWS_HTTP_MAX_HEADERS_SIZE: String(MAX_HEAD_BYTES),
    [FOLDER_VARIABLE]: folder,
  };
  delete env.NOTIFY_SOCKET;
  const stopping = new Stopping(log);
  let everReady = false;
  let backoff = 0;
  try {
    for (;;) {
      const started = Date.now();
      // A group of its own: a Ctrl-C at the terminal reaches it once, through us.
      const child = fork(script, args, { env, detached: true, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      child.on('message', (report: Report) => {
        if (report.type === 'ready') {
          everReady = true;
          stopping.graceMs = report.graceMs;
          notify('READY=1');
        } else if (report.type === 'reloading') notify(...reloadingState());
        else notify('STOPPING=1');
      });
      const { code, signal } = await stopping.watch(child);
      if (stopping.asked) return stopping.impatient || code === 0 || signal !== null ? 0 : 1;
      if (!everReady) return code === null || code === 0 ? 1 : code;
      backoff = Date.now() - started >= STEADY_MS ? 0 : Math.min(MAX_BACKOFF_MS, backoff * 2 || FIRST_BACKOFF_MS);
      log.error({ code, signal, restart_ms: backoff }, 'the gateway process died and is started again');
      if (backoff > 0) await stopping.orAfter(backoff);
      if (stopping.asked) return 0;
    }
  } finally {
    stopping.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Signals, and how they end what is running. */
class Stopping {
  asked = false;
  impatient = false;
  graceMs = 30_000;
  #child: ChildProcess | null = null;
  #askedAt = 0;
  #wake: (() => void) | null = null;
  readonly #log: Log;
  readonly #listeners: [NodeJS.Signals, () => void][];

  constructor(log: Log) {
    this.#log = log;
    this.#listeners = [
      ['SIGTERM', () => this.#ask()],
      ['SIGINT', () => this.#ask()],
      ['SIGHUP', () => this.#child?.kill('SIGHUP')],
      // Unheard, this signal would open Node's debugger.
      ['SIGUSR1', () => this.#child?.kill('SIGUSR1')],
    ];
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
  }

  watch(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    this.#child = child;
    return new Promise(resolve => {
      child.once('error', error => {
        this.#log.error({ error: error.message }, 'the gateway process cannot be started');
        resolve({ code: 1, signal: null });
      });
      child.once('exit', (code, signal) => {
        this.#child = null;
        resolve({ code, signal });
      });
    });
  }

  orAfter(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  end(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }

  #ask(): void {
    const now = Date.now();
    if (this.asked) {
      if (now - this.#askedAt < IMPATIENCE_MS) return;
      this.impatient = true;
      this.#child?.kill('SIGKILL');
      return;
    }
    this.asked = true;
    this.#askedAt = now;
    this.#wake?.();
    const child = this.#child;
    child?.kill('SIGTERM');
    setTimeout(() => {
      if (child?.exitCode === null) this.#log.error('the gateway process did not stop in time and is killed');
      child?.kill('SIGKILL');
    }, this.graceMs + STOP_MARGIN_MS).unref();
  }
}
