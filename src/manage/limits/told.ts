// What the engine tells of limits and takes back, through the native door: JSON of native/engine/src/limits.

/** The part of the native door that is asked, and told. */
export interface Limiting {
  /** The limits in force, with what was counted since the process started. */
  limits(): string;
  /** JSON `{ rule, most }` in; keys that were refused most come first. */
  topLimited(asked: string): string;
  /** JSON `{ rule, key }`: whether there was something. */
  resetLimited(asked: string): boolean;
  /** JSON `[{ rule, key, until }]`, in place of all before. */
  exemptLimited(exemptions: string): void;
  /** Of buckets that have ended by this time (Unix milliseconds); each is told once, `[]` when there is no more. */
  volumes(until: number): string;
}

/** What a process counted of one limit. */
export interface Figures {
  name: string;
  checked: number;
  refused: number;
  /** In `log`. */
  would_refuse: number;
  delayed: number;
}

export interface Counted {
  rule: string;
  key: string;
  identity: string | null;
  used: number;
  refused: number;
  penalty_ends: number | null;
}

export function figuresOf(native: Pick<Limiting, 'limits'>): Map<string, Figures> {
  const told = JSON.parse(native.limits()) as (Partial<Figures> & { name: string })[];
  return new Map(told.map(one => [one.name, { ...NOTHING, ...one }]));
}

export const NOTHING: Omit<Figures, 'name'> = { checked: 0, refused: 0, would_refuse: 0, delayed: 0 };

export function topOf(native: Pick<Limiting, 'topLimited'>, rule: string | null, most: number): Counted[] {
  const told = JSON.parse(native.topLimited(JSON.stringify({ rule, most }))) as (Partial<Counted> & Counted)[];
  return told.map(({ identity = null, penalty_ends = null, ...one }) => ({ ...one, identity, penalty_ends }));
}
