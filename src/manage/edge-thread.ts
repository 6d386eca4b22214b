// One edge thread, seen from the main thread: what it was told, what it has told, whether it lives.

import { Worker } from 'node:worker_threads';
import type { Told } from '../check/limits/asking.js';
import { nothingCounted } from '../check/limits/counted.js';
import type { EdgeOptions, FromEdge, ToEdge } from '../edge.js';
import { type AnswerOwn, notHere } from './own-paths.js';

/** The part of a Worker that is used; tests give their own. */
export interface Thread {
  postMessage(message: ToEdge): void;
  on(event: 'message', listener: (message: FromEdge) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
}

export type StartThread = (options: EdgeOptions) => Thread;

export function startWorker(script: URL): StartThread {
  // Standard output of a worker goes through the main thread's; nothing is written there but by native code.
  return options => new Worker(script, { workerData: options, name: `edge-${options.thread}` });
}

/** What a thread tells of the fleet's counters; once it has ended, that it asks no more. */
export type HearCounters = (thread: number, told: Told) => void;

export interface Failure {
  /** `failed`: it contained an exception and goes on; `error` and `exit`: it is gone. */
  why: 'failed' | 'error' | 'exit';
  message: string;
}

export class EdgeThread {
  state: 'starting' | 'listening' | 'draining' | 'gone' = 'starting';
  readonly listening: Promise<number>;
  /** Settles when it takes no new connections any more: it drains, or has ended. */
  readonly stopped: Promise<void>;
  /** Settles when the thread has ended, however. */
  readonly ended: Promise<void>;
  /** What did not end within the grace; null until it told that nothing is open any more. */
  cut: number | null = null;
  #failure: Failure | null = null;
  readonly #thread: Thread;

  /** `failed` is called at most once, and never while the thread starts or drains; `own` never rejects. */
  constructor(
    readonly number: number,
    thread: Thread,
    failed: (failure: Failure) => void,
    own: AnswerOwn = notHere,
    told: HearCounters = () => {},
  ) {
    this.#thread = thread;
    let heard: (port: number) => void;
    let refused: (error: Error) => void;
    let stopped: () => void;
    let gone: () => void;
    this.stopped = new Promise(resolve => {
      stopped = resolve;
    });
    this.listening = new Promise((resolve, reject) => {
      [heard, refused] = [resolve, reject];
    });
    this.listening.catch(() => {});
    this.ended = new Promise(resolve => {
      gone = resolve;
    });
    const fail = (failure: Failure) => {
      const served = this.state === 'listening';
      refused(new Error(failure.message));
      if (!served || this.#failure) return;
      this.#failure = failure;
      failed(failure);
    };
    thread.on('message', message => {
      if (message.type === 'listening') {
        if (this.state === 'starting') this.state = 'listening';
        heard(message.port);
      } else if (message.type === 'own') {
        const { id, request, body } = message;
        void own(request, body).then(answer => this.tell({ type: 'own', id, ...answer }));
      } else if (message.type === 'failed') fail({ why: 'failed', message: `${message.what}: ${message.message}` });
      else if (message.type === 'counters') told(number, message.told);
      else if (message.type === 'stopped') stopped();
      else this.cut = message.cut;
    });
    thread.on('error', error => {
      fail({ why: 'error', message: error.message });
      this.state = 'gone';
    });
    thread.on('exit', code => {
      fail({ why: 'exit', message: `it ended with code ${code}` });
      this.state = 'gone';
      // One that died could not say so itself, and a later thread may have its number.
      told(number, { standing: null, counted: nothingCounted() });
      stopped();
      gone();
    });
  }

  tell(message: ToEdge): void {
    if (this.state !== 'gone') this.#thread.postMessage(message);
  }

  drain(graceMs: number): Promise<void> {
    if (this.state !== 'gone') {
      this.tell({ type: 'drain', graceMs });
      this.state = 'draining';
    }
    return this.ended;
  }
}
