// One node of a fleet as its counters see it: the client of a thread, and a door that asks for what a test says.

import { Asking, type AskingDoor, type Told } from '../../src/check/limits/asking.js';
import type { Fault } from '../../src/check/limits/faults.js';
import { FleetCounters, type Standing } from '../../src/check/limits/fleet.js';
import type { SharedPlan } from '../../src/check/limits/shared.js';
import { atTheEnd } from './cleanup.js';
import { until } from './waiting.js';

const RECORD_WORDS = 8;

/** A record that takes `cost` of `burst` units which come back within the hour. */
export function takes(cost = 1, burst = 1_000): Buffer {
  const t = 3_600_000_000 / burst;
  return words([1, t, burst * t, cost, 0, 7_200_000, 0, 0]);
}

/** A record that settles `spent` of them, and wants more. */
export function settles(spent: number, want: number, burst = 1_000): Buffer {
  const t = 3_600_000_000 / burst;
  return words([20, t, burst * t, spent, 0, 7_200_000, want, 0]);
}

/** What a call carries: the known birth, then records. */
export function records(...all: Buffer[]): Buffer {
  return Buffer.concat([words([0]), ...all]);
}

function words(all: number[]): Buffer {
  const buffer = Buffer.alloc(all.length * 8);
  for (const [place, word] of all.entries()) buffer.writeDoubleLE(word, place * 8);
  return buffer;
}

export function counter(name: number, partition = '0', prefix = 'portcullis'): string {
  return `${prefix}{${partition}}:${name.toString(16).padStart(RECORD_WORDS * 4, '0')}`;
}

/** The verdict of each record. */
export function verdicts(reply: Buffer | null): number[] | null {
  if (reply === null) return null;
  const count = (reply.length - 16) / 24;
  return Array.from({ length: count }, (_, place) => reply.readDoubleLE(16 + place * 24));
}

export class Node {
  readonly fleet: FleetCounters;
  /** Of all changes, in order. */
  readonly heard: Standing[] = [];

  constructor(readonly plan: SharedPlan) {
    this.fleet = new FleetCounters(plan, standing => this.heard.push(standing));
    atTheEnd(() => this.close());
  }

  static async up(plan: SharedPlan): Promise<Node> {
    const node = new Node(plan);
    await node.comesUp();
    return node;
  }

  get why(): Fault | null {
    return this.fleet.standing.why;
  }

  comesUp(withinMs = 10_000): Promise<void> {
    return until(() => this.fleet.standing.up && this.fleet.standing.down === 0, withinMs);
  }

  fails(why: Fault, withinMs = 10_000): Promise<void> {
    return until(() => this.fleet.standing.why === why, withinMs);
  }

  /** Given up after the plan's bound. */
  ask(name: number, record = takes(), partition = '0'): Promise<number[] | null> {
    const keys = [`${this.plan.prefix}{${partition}}:born`, counter(name, partition, this.plan.prefix)];
    return new Promise(resolve => {
      const pending = this.fleet.ask(keys, records(record), reply => resolve(verdicts(reply)));
      setTimeout(() => pending.giveUp(), this.plan.timeoutMs);
    });
  }

  close(): void {
    this.fleet.close();
  }
}

interface Waiting {
  since: number;
  done: (answer: { verdict: number | null; ms: number }) => void;
}

/** An edge thread: exchanges ask, each for a counter of its own; a turn's questions are one call. */
export class Edge implements AskingDoor {
  readonly asking: Asking;
  readonly told: Told[] = [];
  up = false;
  /** Records of the calls that were made. */
  readonly sizes: number[] = [];
  #next = 0;
  #batch = 0;
  #wanting: { slot: number; key: string; record: Buffer }[] = [];
  readonly #waiting = new Map<number, Waiting>();
  readonly #batches = new Map<number, { slots: number[]; verdicts: number[] | null }>();

  constructor(readonly plan: SharedPlan) {
    this.asking = new Asking({
      plan,
      door: this,
      asked: (slot, batch) => this.#asked(slot, batch),
      tell: told => this.told.push(told),
    });
    atTheEnd(() => this.asking.close());
  }

  ask(name: number, record = takes()): Promise<{ verdict: number | null; ms: number }> {
    const slot = this.#next++;
    this.#wanting.push({ slot, key: counter(name), record });
    this.asking.wanted();
    return new Promise(done => this.#waiting.set(slot, { since: performance.now(), done }));
  }

  get unanswered(): number {
    return this.#waiting.size;
  }

  nextBatch() {
    const wanting = this.#wanting.splice(0, 1_024);
    if (wanting.length === 0) return null;
    const number = this.#batch++;
    this.sizes.push(wanting.length);
    const slots = wanting.map(({ slot }) => slot);
    this.#batches.set(number, { slots, verdicts: null });
    const keys = [`${this.plan.prefix}{0}:born`, ...wanting.map(({ key }) => key)];
    return { number, slots, calls: [{ keys, records: records(...wanting.map(({ record }) => record)) }] };
  }

  batchAnswered(number: number, _call: number, reply: Buffer | null): void {
    const batch = this.#batches.get(number);
    if (batch) batch.verdicts = verdicts(reply);
  }

  batchOver(number: number): void {
    this.#batches.delete(number);
  }

  countersUp(up: boolean): void {
    this.up = up;
  }

  #asked(slot: number, number: number): void {
    const batch = this.#batches.get(number);
    const waiting = this.#waiting.get(slot);
    this.#waiting.delete(slot);
    const verdict = batch?.verdicts?.[batch.slots.indexOf(slot)] ?? null;
    waiting?.done({ verdict, ms: performance.now() - waiting.since });
  }
}
