// `portcullis run`: a small process that keeps a gateway process alive, and lets another take its place.
//
// It does little, so that little can go wrong with it, and stays what it is for as long as the service runs: it keeps
// the listening sockets, starts the gateway, starts it again when it died, hands signals on, and ends when told to. The
// gateway ends by itself when its supervisor is gone (its IPC channel closes).

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetTurn } from '../journal/events/turn.js';
import { activated } from './activation.js';
import { Child, type Ended } from './child.js';
import type { Log } from './log.js';
import { nameOf, type Report, type Upgraded, type Wanted } from './messages.js';
import { Sockets } from './sockets.js';
import { type Notify, reloadingState } from './systemd.js';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;
/** A gateway that served for so long is started again at once. */
const STEADY_MS = 10_000;
/** Beyond the gateway's own grace, which it keeps by itself. */
const STOP_MARGIN_MS = 10_000;
/** npm and the terminal both send the SIGINT of one Ctrl-C; only a later one is impatience. */
const IMPATIENCE_MS = 1_000;
/** A start takes seconds, on a busy machine; the one before goes on serving meanwhile. */
const SUCCESSOR_MS = 60_000;
/** Of a request head; uWebSockets.js reads it when it is loaded, and starts with 4,096 (docs/http.md). */
const MAX_HEAD_BYTES = 16_384;

export interface Supervised {
  /** Of Node.js: found anew at each start. */
  execPath?: () => string;
  script: string;
  args: string[];
  log: Log;
  notify: Notify;
}

/** Runs until it is told to stop, or the first start fails; answers the exit code. */
export async function supervise(supervised: Supervised): Promise<number> {
  // Files of the gateways' own, such as the authorities they hand to TLS: here, so that they go when one is killed.
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-'));
  const supervisor = new Supervisor(supervised, folder);
  const listeners: [NodeJS.Signals, () => void][] = [
    ['SIGTERM', () => supervisor.stop()],
    ['SIGINT', () => supervisor.stop()],
    ['SIGHUP', () => supervisor.reload()],
    // Unheard, this signal would open Node's debugger.
    ['SIGUSR1', () => supervisor.signal('SIGUSR1')],
    ['SIGUSR2', () => void supervisor.upgrade('SIGUSR2')],
  ];
  for (const [signal, listener] of listeners) process.on(signal, listener);
  try {
    return await supervisor.run();
  } finally {
    for (const [signal, listener] of listeners) process.off(signal, listener);
    rmSync(folder, { recursive: true, force: true });
  }
}

class Supervisor {
  readonly #from: Supervised;
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #sockets = new Sockets(activated());
  readonly #children = new Set<Child>();
  /** The one that is to serve. */
  #current: Child | null = null;
  /** On its way to take the current one's place. */
  #successor: Child | null = null;
  #started = 0;
  #askedAt: number | null = null;
  #impatient = false;
  #reloadLater = false;
  #wake = () => {};

  constructor(from: Supervised, folder: string) {
    this.#from = from;
    this.#folder = folder;
    this.#env = { ...process.env, UWS_HTTP_MAX_HEADERS_SIZE: String(MAX_HEAD_BYTES) };
    delete this.#env.NOTIFY_SOCKET;
  }

  async run(): Promise<number> {
    const { log } = this.#from;
    let everReady = false;
    let backoff = 0;
    for (;;) {
      this.#current = this.#start(false);
      const { child, ended } = await this.#outlived(this.#current);
      const { code, signal } = ended;
      everReady ||= child.version !== null;
      if (this.#stopping) {
        await Promise.all([...this.#children].map(({ ended }) => ended));
        return this.#impatient || code === 0 || signal !== null ? 0 : 1;
      }
      if (!everReady) {
        if (child.pid === 0) log.error({ error: child.refusal?.message }, 'the gateway process cannot be started');
        return code === null || code === 0 ? 1 : code;
      }
      backoff = Date.now() - child.started >= STEADY_MS ? 0 : Math.min(MAX_BACKOFF_MS, backoff * 2 || FIRST_BACKOFF_MS);
      log.error({ code, signal, restart_ms: backoff }, 'the gateway process died and is started again');
      if (backoff > 0) await this.#pause(backoff);
      if (this.#stopping) return 0;
    }
  }

  /** Drains all that runs; asked again after a moment, it ends at once. */
  stop(): void {
    const now = Date.now();
    if (this.#askedAt !== null) {
      if (now - this.#askedAt < IMPATIENCE_MS) return;
      this.#impatient = true;
      this.signal('SIGKILL');
      return;
    }
    this.#askedAt = now;
    this.#wake();
    // From here on connections are refused rather than kept waiting: nobody comes to accept them.
    this.#sockets.release(new Set());
    for (const child of this.#children) {
      child.kill('SIGTERM');
      this.#bound(child);
    }
  }

  reload(): void {
    this.#current?.kill('SIGHUP');
    // It may have read the configuration already, and cannot be told before it serves.
    this.#reloadLater = this.#successor !== null;
  }

  signal(signal: NodeJS.Signals): void {
    for (const child of this.#children) child.kill(signal);
  }

  /** Puts another gateway process in the current one's place, made of what is on the disk now. Never rejects. */
  async upgrade(why: string): Promise<Upgraded> {
    const { log, notify } = this.#from;
    const busy = this.#busy();
    if (busy !== null) {
      log.warn({ why }, `no upgrade: ${busy}`);
      return { upgraded: false, why: 'busy', message: busy, problems: [] };
    }
    log.info({ why }, 'an upgrade: another gateway process is started beside the one that serves');
    notify(...reloadingState());
    const child = this.#start(true);
    this.#successor = child;
    this.#reloadLater = false;
    const late = setTimeout(() => {
      child.refusal ??= { message: `it does not serve after ${SUCCESSOR_MS / 1_000} s`, problems: [] };
      child.kill('SIGKILL');
    }, SUCCESSOR_MS);
    await child.settled;
    clearTimeout(late);
    this.#successor = null;
    notify('READY=1');
    if (child.version === null) return this.#failed(child, await child.ended);
    const before = this.#current;
    this.#current = child;
    if (this.#reloadLater) child.kill('SIGHUP');
    log.info({ version: child.version, process: child.pid, before: before?.pid }, 'another gateway process serves');
    if (before?.alive) setImmediate(() => this.#retire(before));
    return { upgraded: true, version: child.version, process: child.pid };
  }

  /** What is in the way of an upgrade. */
  #busy(): string | null {
    if (this.#stopping) return 'the gateway is being stopped';
    if (this.#successor !== null) return 'an upgrade is under way';
    if (!this.#current?.alive || this.#current.version === null) return 'the gateway does not serve yet';
    const before = [...this.#children].find(child => child !== this.#current);
    return before ? `process ${before.pid} still ends what it had under way before the last upgrade` : null;
  }

  #failed({ refusal, pid }: Child, { code, signal }: Ended): Upgraded {
    const message = refusal?.message ?? `it ended with ${signal ?? `code ${code}`} before it served`;
    const problems = refusal?.problems ?? [];
    const { log } = this.#from;
    for (const one of problems) log[one.severity === 'problem' ? 'error' : 'warn'](one, 'in the configuration');
    log.error({ process: pid, error: message }, 'the upgrade failed; the gateway before goes on');
    return { upgraded: false, why: 'failed', message, problems };
  }

  #retire(child: Child): void {
    child.tell({ type: 'retire' });
    this.#bound(child);
  }

  get #stopping(): boolean {
    return this.#askedAt !== null;
  }

  #start(successor: boolean): Child {
    const { execPath = () => process.execPath, script, args } = this.#from;
    const folder = join(this.#folder, String(++this.#started));
    const starting = { execPath: execPath(), script, args, env: this.#env, folder, successor };
    const child = new Child(starting, (child, report) => this.#hear(child, report));
    this.#children.add(child);
    void child.ended.then(() => {
      this.#children.delete(child);
      forgetTurn(this.#folder, child.pid);
    });
    return child;
  }

  /** The one that serves last, after that has ended and there is none to take its place. */
  async #outlived(first: Child): Promise<{ child: Child; ended: Ended }> {
    for (let child = first; ; ) {
      const ended = await child.ended;
      await this.#successor?.settled;
      // Whoever waits for the same has to see it first.
      await Promise.resolve();
      if (this.#current === child || this.#current === null) return { child, ended };
      child = this.#current;
    }
  }

  #hear(child: Child, report: Report): void {
    const { notify } = this.#from;
    if (report.type === 'socket') void this.#hand(child, report.id, report);
    else if (report.type === 'upgrade') {
      const { id } = report;
      void this.upgrade('admin').then(result => child.tell({ type: 'upgraded', id, result }));
    } else if (report.type === 'ready') {
      this.#release();
      if (child === this.#current) notify('READY=1');
    } else if (report.type === 'reloading') {
      if (child === this.#current) notify(...reloadingState());
    } else if (report.type === 'reloaded') {
      this.#release();
      if (child === this.#current && this.#successor === null) notify('READY=1');
    } else if (report.type === 'stopping' && this.#stopping && child === this.#current) notify('STOPPING=1');
  }

  async #hand(child: Child, id: number, { what, address, port, shared }: Wanted): Promise<void> {
    const wanted = { what, address, port, shared };
    const name = nameOf(wanted);
    const used = [...this.#children].some(one => one.uses.has(name));
    child.uses = new Set([...child.uses, name]);
    try {
      const { handle, ...place } = await this.#sockets.take(wanted, used);
      child.tell({ type: 'socket', id, ...place }, handle);
    } catch (error) {
      child.tell({ type: 'no-socket', id, message: (error as Error).message });
    }
  }

  /** What nobody that lives needs is closed; not while somebody starts, who has not told yet. */
  #release(): void {
    const children = [...this.#children];
    this.#sockets.release(new Set(children.flatMap(({ uses }) => [...uses])));
  }

  /** Ends it by force if it does not end by itself. */
  #bound(child: Child): void {
    const late = setTimeout(() => {
      this.#from.log.error({ process: child.pid }, 'the gateway process did not stop in time and is killed');
      child.kill('SIGKILL');
    }, child.graceMs + STOP_MARGIN_MS);
    late.unref();
    void child.ended.then(() => clearTimeout(late));
  }

  #pause(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
