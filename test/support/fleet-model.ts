// What the functions of src/check/limits/functions.ts have to answer, in the plainest terms: GCRA in exact fractions, a
// window as the list of what was spent. Time is whole microseconds.

export interface Policy {
  amount: number;
  periodUs: number;
  burst: number;
}

export interface Answer {
  verdict: number;
  /** null: not for the model to say. */
  remaining: number | null;
  resetUs: number;
}

export interface Settled {
  granted: number;
  over: number;
  retryUs: number;
}

export interface Counter {
  take(now: number, cost: number, delayUs: number, penaltyUs: number): Answer;
  peek(now: number, cost: number, delayUs: number, penaltyUs: number): Answer;
  spend(now: number, cost: number, penaltyUs: number): Answer;
  giveBack(now: number, cost: number, at: number): Answer;
  settle(now: number, spent: number, want: number, penaltyUs: number): Settled;
  reset(): Answer;
}

abstract class Model implements Counter {
  #penaltyEnds = 0;

  /** Until so much more fits, in microseconds; null: it never will. */
  protected abstract wait(now: number, cost: number): number | null;
  protected abstract put(now: number, cost: number, wait: number): void;
  protected abstract back(now: number, cost: number, at: number): void;
  /** Beyond the policy: microseconds until it is not, and whole units. */
  protected abstract beyond(now: number): { us: number; units: number };
  protected abstract free(now: number): number;
  protected abstract emptyIn(now: number): number;
  protected abstract forget(): void;

  take(now: number, cost: number, delayUs: number, penaltyUs: number): Answer {
    return this.#look(now, cost, delayUs, penaltyUs, true);
  }

  peek(now: number, cost: number, delayUs: number, penaltyUs: number): Answer {
    return this.#look(now, cost, delayUs, penaltyUs, false);
  }

  spend(now: number, cost: number, penaltyUs: number): Answer {
    this.put(now, cost, 0);
    const { us } = this.beyond(now);
    if (us > 0 && penaltyUs > 0 && this.#left(now) === 0) this.#penaltyEnds = now + penaltyUs;
    return this.#answer(now, this.#left(now) > 0 ? -this.#left(now) : us);
  }

  giveBack(now: number, cost: number, at: number): Answer {
    this.back(now, cost, at);
    return this.#answer(now, 0);
  }

  settle(now: number, spent: number, want: number, penaltyUs: number): Settled {
    if (spent > 0) this.put(now, spent, 0);
    if (penaltyUs > 0 && this.#left(now) === 0) this.#penaltyEnds = now + penaltyUs;
    const left = this.#left(now);
    const granted = left > 0 ? 0 : Math.min(want, this.free(now));
    if (granted > 0) this.put(now, granted, 0);
    const over = this.beyond(now).units || -this.free(now) || 0;
    return { granted, over, retryUs: left > 0 ? -left : (this.wait(now, 1) ?? Math.max(1, this.emptyIn(now))) };
  }

  reset(): Answer {
    this.forget();
    this.#penaltyEnds = 0;
    return { verdict: 0, remaining: null, resetUs: 0 };
  }

  #look(now: number, cost: number, delayUs: number, penaltyUs: number, take: boolean): Answer {
    if (this.#left(now) > 0) return this.#answer(now, -this.#left(now));
    const wait = this.wait(now, cost);
    if (wait !== null && wait <= delayUs) {
      if (take) this.put(now, cost, wait);
      return this.#answer(now, wait);
    }
    if (penaltyUs === 0) return this.#answer(now, wait ?? Math.max(1, this.emptyIn(now)));
    this.#penaltyEnds = now + penaltyUs;
    return this.#answer(now, -penaltyUs);
  }

  #left(now: number): number {
    return Math.max(0, this.#penaltyEnds - now);
  }

  #answer(now: number, verdict: number): Answer {
    const left = this.#left(now);
    if (left > 0) return { verdict, remaining: 0, resetUs: left };
    return { verdict, remaining: this.free(now), resetUs: this.emptyIn(now) };
  }
}

/** Times in parts of a microsecond, as many as the amount: all of them are whole. */
export class GcraModel extends Model {
  readonly #amount: bigint;
  readonly #unit: bigint;
  readonly #tolerance: bigint;
  #end = 0n;

  constructor({ amount, periodUs, burst }: Policy) {
    super();
    this.#amount = BigInt(amount);
    this.#unit = BigInt(periodUs);
    this.#tolerance = BigInt(burst) * this.#unit;
  }

  protected wait(now: number, cost: number): number | null {
    const need = BigInt(cost) * this.#unit;
    if (need > this.#tolerance) return null;
    const over = this.#backlog(now) + need - this.#tolerance;
    return over <= 0n ? 0 : Math.max(1, this.#us(over));
  }

  protected put(now: number, cost: number): void {
    this.#end = this.#at(now) + this.#backlog(now) + BigInt(cost) * this.#unit;
  }

  protected back(now: number, cost: number, at: number): void {
    const back = BigInt(cost) * this.#unit - this.#at(Math.max(0, now - at));
    if (back > 0n) this.#end = most(this.#at(now), this.#at(now) + this.#backlog(now) - back);
  }

  protected beyond(now: number): { us: number; units: number } {
    const over = this.#backlog(now) - this.#tolerance;
    if (over <= 0n) return { us: 0, units: 0 };
    return { us: Math.max(1, this.#us(over)), units: Number((over + this.#unit - 1n) / this.#unit) };
  }

  protected free(now: number): number {
    return Number(most(0n, this.#tolerance - this.#backlog(now)) / this.#unit);
  }

  protected emptyIn(now: number): number {
    return this.#us(this.#backlog(now));
  }

  protected forget(): void {
    this.#end = 0n;
  }

  #backlog(now: number): bigint {
    return most(0n, this.#end - this.#at(now));
  }

  #at(us: number): bigint {
    return BigInt(us) * this.#amount;
  }

  #us(parts: bigint): number {
    return Number(parts) / Number(this.#amount);
  }
}

export class WindowModel extends Model {
  readonly #amount: number;
  readonly #eighth: number;
  #spent: { eighth: number; cost: number }[] = [];

  constructor({ amount, periodUs }: Policy) {
    super();
    this.#amount = amount;
    this.#eighth = periodUs / 8;
  }

  protected wait(now: number, cost: number): number | null {
    if (cost > this.#amount) return null;
    for (let eighth = this.#newest(now); ; eighth++) {
      if (this.#sum(eighth) + cost <= this.#amount) return Math.max(0, eighth * this.#eighth - now);
    }
  }

  protected put(now: number, cost: number, wait: number): void {
    const eighth = Math.max(this.#newest(now), Math.floor((now + wait) / this.#eighth));
    this.#spent.push({ eighth, cost });
  }

  protected back(_now: number, cost: number, at: number): void {
    const eighth = Math.floor(at / this.#eighth);
    for (const one of this.#spent) {
      if (one.eighth !== eighth) continue;
      const some = Math.min(one.cost, cost);
      one.cost -= some;
      cost -= some;
    }
  }

  protected beyond(now: number): { us: number; units: number } {
    const units = this.#sum(this.#newest(now)) - this.#amount;
    return units <= 0 ? { us: 0, units: 0 } : { us: this.wait(now, 0) ?? 0, units };
  }

  protected free(now: number): number {
    return Math.max(0, this.#amount - this.#sum(this.#newest(now)));
  }

  protected emptyIn(now: number): number {
    const newest = this.#newest(now);
    const counted = this.#spent.filter(({ eighth, cost }) => cost > 0 && eighth >= newest - 8);
    const ends = counted.map(({ eighth }) => (eighth + 9) * this.#eighth - now);
    return Math.max(0, newest * this.#eighth - now, ...ends);
  }

  protected forget(): void {
    this.#spent = [];
  }

  #newest(now: number): number {
    return Math.max(Math.floor(now / this.#eighth), ...this.#spent.map(({ eighth }) => eighth));
  }

  #sum(eighth: number): number {
    return this.#spent.filter(one => one.eighth >= eighth - 8).reduce((sum, { cost }) => sum + cost, 0);
  }
}

function most(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
