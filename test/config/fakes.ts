// Stand-ins for native code and for edge threads, so that the main thread's part can be tested by itself.

import { EventEmitter } from 'node:events';
import { pino } from 'pino';
import type { EdgeOptions, FromEdge, ToEdge } from '../../src/edge.js';
import { Metrics } from '../../src/journal/metrics/registry.js';
import type { Thread } from '../../src/manage/edge-thread.js';
import type { Native } from '../../src/manage/gateway.js';

export class FakeThread extends EventEmitter implements Thread {
  readonly told: ToEdge[] = [];
  constructor(readonly options: EdgeOptions) {
    super();
  }
  postMessage(message: ToEdge): void {
    this.told.push(message);
    if (message.type !== 'drain') return;
    queueMicrotask(() => {
      this.emit('message', { type: 'stopped' } satisfies FromEdge);
      this.emit('message', { type: 'drained', cut: 0 } satisfies FromEdge);
      this.emit('exit', 0);
    });
  }
  listens(): void {
    this.emit('message', { type: 'listening', port: this.options.listen.port || 40_000 } satisfies FromEdge);
  }
}

/** Starts threads that listen at once, unless told to fail. */
export class FakeThreads {
  readonly started: FakeThread[] = [];
  broken = false;
  readonly start = (options: EdgeOptions): Thread => {
    const thread = new FakeThread(options);
    this.started.push(thread);
    queueMicrotask(() => (this.broken ? thread.emit('error', new Error('cannot listen')) : thread.listens()));
    return thread;
  };
}

/** Refuses rules whose expression holds `bad`; hands out the lines it was given. */
export class FakeNative implements Native {
  generation = 0;
  policy: { rules: { name: string; at: string; expression: string }[] } | null = null;
  lines: string[] = [];
  rate = Number.NaN;
  compile(text: string, activate: boolean): string {
    const policy = JSON.parse(text);
    const problems = policy.rules
      .filter(({ expression }: { expression: string }) => expression.includes('bad'))
      .map(({ at }: { at: string }) => ({ at, message: 'unknown field' }));
    if (activate && problems.length === 0) {
      this.policy = policy;
      this.generation += 1;
    }
    return JSON.stringify({ generation: this.generation, problems });
  }
  drain(buffer: Uint8Array): number {
    const text = Buffer.from(this.lines.splice(0).join(''));
    buffer.set(text);
    return text.length;
  }
  /** What was loaded, by kind; what holds `broken` is refused. */
  readonly databases: [kind: string, text: string | null][] = [];
  loadDatabase(kind: string, bytes: Buffer | null): void {
    if (bytes?.includes('broken')) throw new Error('the search tree is broken');
    this.databases.push([kind, bytes?.toString('latin1') ?? null]);
  }
  /** What the acceptor was told. */
  readonly accepting: string[] = [];
  hasIdentity(): boolean {
    return true;
  }
  acceptorListenFd(fd: number): number {
    if (fd < 0) throw new Error('EBADF');
    this.accepting.push('listen');
    return 0;
  }
  acceptorBound(bounds: string): void {
    this.accepting.push(`bound ${bounds}`);
  }
  acceptorClose(address: string, port: number): void {
    this.accepting.push(`close ${address} ${port}`);
  }
  acceptorStop(): void {
    this.accepting.push('stop');
  }
  acceptorPending(): number {
    return 0;
  }
  judge(): string {
    return '{"reason":null}';
  }
  sample(rate: number): void {
    this.rate = rate;
  }
  spent(): null {
    return null;
  }
  spendingSettled(): void {}
  async pki(): Promise<string> {
    return JSON.stringify({ certificates: [] });
  }
  revoke(): void {}
  revokeTokens(): void {}
  loadKeySet(): string {
    return '{"keys":[],"skipped":[],"changed":false}';
  }
  forgetKeySet(): void {}
  unknownKeyIds(): string {
    return '[]';
  }
  inspectToken(): string {
    return '{"reason":null,"steps":[],"header":null,"claims":null}';
  }
  changeKeys(): void {}
  replacePartners(): void {}
  limits(): string {
    return '[]';
  }
  topLimited(): string {
    return '[]';
  }
  resetLimited(): boolean {
    return false;
  }
  exemptLimited(): void {}
  volumes(): string {
    return '[]';
  }
  usedKeys(): string {
    return '[]';
  }
  async loadRevocationList(): Promise<string> {
    return JSON.stringify({ problem: { message: 'none', hint: '' } });
  }
  ocspAnswer(): void {}
  seen(): string {
    return '[]';
  }
  metrics(): string {
    return '[]';
  }
}

export const silent = () => pino({}, { write: () => {} });

const FAMILIES = JSON.stringify([
  {
    name: 'portcullis_requests_total',
    help: 'Requests by host, operation, class of status and verdict.',
    type: 'counter',
    samples: [{ labels: { host: 'a"b\\c', operation: 'GET /orders/{id}', code: '2xx', verdict: 'pass' }, value: 3 }],
  },
  {
    name: 'portcullis_request_duration_seconds',
    help: 'Whole exchange.',
    type: 'histogram',
    samples: [
      {
        labels: { host: 'a' },
        buckets: [
          [0.001, 2],
          [0.01, 3],
        ],
        sum: 0.02,
        count: 4,
      },
    ],
  },
]);

export const fakeMetrics = () => new Metrics(() => FAMILIES, { version: '0.0.0', node: process.version });
