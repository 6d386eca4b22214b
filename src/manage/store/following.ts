// One loop that looks at the revisions, for everybody who follows a topic.

import type { Topic } from './tables.js';

/** Between two looks at what other processes changed. With its effect it has to stay well below a second. */
const FOLLOW_MS = 200;

/** What the loop has to tell beside changes. Each is told once, when it begins or ends. */
export interface Standing {
  /** The store answers, or does not and why. */
  up(up: boolean, why: string | null): void;
  /** A follower could not take a change up; it is told again at every look until it can. */
  failed(topic: Topic, error: unknown): void;
}

export type Changed = (revision: number) => void | Promise<void>;

interface Follower {
  topic: Topic;
  changed: Changed;
  /** The revision it was told of last. */
  known: number;
  busy: boolean;
  failing: boolean;
}

export class Following {
  readonly #revisions: () => Promise<ReadonlyMap<Topic, number>>;
  readonly #opened: ReadonlyMap<Topic, number>;
  readonly #standing: Standing;
  readonly #followers = new Set<Follower>();
  #up: boolean | null = null;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  /** `opened`: the revisions when the store was opened. Whoever follows is told of every change since. */
  constructor(
    revisions: () => Promise<ReadonlyMap<Topic, number>>,
    opened: ReadonlyMap<Topic, number>,
    standing: Standing,
  ) {
    this.#revisions = revisions;
    this.#opened = opened;
    this.#standing = standing;
    this.#next();
  }

  follow(topic: Topic, changed: Changed): () => void {
    const follower = { topic, changed, known: this.#opened.get(topic) ?? 0, busy: false, failing: false };
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
  }

  /** One look after the other: a store that hangs gathers no queue of them. */
  #next(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => this.#next());
    }, FOLLOW_MS);
  }

  async #look(): Promise<void> {
    let now: ReadonlyMap<Topic, number>;
    try {
      now = await this.#revisions();
    } catch (error) {
      this.#tell(false, (error as Error).message);
      return;
    }
    this.#tell(true, null);
    for (const follower of this.#followers) {
      const value = now.get(follower.topic);
      if (value !== undefined && value !== follower.known && !follower.busy) void this.#hand(follower, value);
    }
  }

  /** A revision counts as known when it was taken up: what failed is told again, and what came meanwhile with it. */
  async #hand(follower: Follower, value: number): Promise<void> {
    follower.busy = true;
    try {
      await follower.changed(value);
      follower.known = value;
      follower.failing = false;
    } catch (error) {
      if (!follower.failing) this.#standing.failed(follower.topic, error);
      follower.failing = true;
    } finally {
      follower.busy = false;
    }
  }

  #tell(up: boolean, why: string | null): void {
    if (up === this.#up || this.#stopped) return;
    // That it is there at first is no news.
    const first = this.#up === null && up;
    this.#up = up;
    if (!first) this.#standing.up(up, why);
  }
}
