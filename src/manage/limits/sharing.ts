// What the main thread does for counters that a fleet shares, as long as the configuration names servers of theirs.

import type { Told } from '../../check/limits/asking.js';
import type { SharedPlan } from '../../check/limits/shared.js';
import type { FleetMetrics } from '../../journal/metrics/fleet.js';
import type { Log } from '../log.js';
import { Settling, type SettlingDoor } from './settling.js';
import { Standings } from './standing.js';

/** Edge threads have numbers from 0. */
const MAIN_THREAD = -1;

export interface SharingParts {
  door: SettlingDoor;
  log: Log;
  metrics: FleetMetrics;
}

export class Sharing {
  readonly #parts: SharingParts;
  readonly #standings: Standings;
  #plan: SharedPlan | null = null;
  #settling: Settling | null = null;

  constructor(parts: SharingParts) {
    this.#parts = parts;
    this.#standings = new Standings(parts.log, parts.metrics);
  }

  /** Of an edge thread. */
  hear(thread: number, told: Told): void {
    this.#standings.hear(thread, told);
  }

  /** The servers from now on; null: there are none. Never rejects. */
  async adopt(plan: SharedPlan | null): Promise<void> {
    if (JSON.stringify(plan) === JSON.stringify(this.#plan)) return;
    const before = this.#settling;
    this.#plan = plan;
    this.#settling = null;
    await before?.stop();
    if (plan === null) return;
    const { door, log } = this.#parts;
    this.#settling = new Settling({ plan, door, log, tell: told => this.#standings.hear(MAIN_THREAD, told) });
  }

  /** Takes a counter away; answers whether there was one. Rejects when nobody answers. */
  async reset(key: string): Promise<boolean> {
    return this.#settling === null ? false : this.#settling.reset(key);
  }

  async stop(): Promise<void> {
    await this.adopt(null);
    this.#standings.stop();
  }
}
