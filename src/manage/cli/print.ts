// One answer, two readers: a program gets the API's JSON as it came, a person a table.

import type { ReachOptions } from './reach.js';
import type { Terminal } from './terminal.js';

export type Output = ReachOptions['output'];

export function print({ output }: Terminal, how: Output, value: unknown, human: () => string): void {
  output.write(how === 'json' ? `${JSON.stringify(value, null, 2)}\n` : human());
}

/** What is said beside the answer: never on standard output, so that it can be piped. */
export function say({ error }: Terminal, sentence: string): void {
  error.write(`${sentence}\n`);
}

/** `1 certificate`, `2 certificates`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** `2026-11-22 in 29 d`, out of RFC 3339; `-` for nothing. */
export function dayAndDistance(time: string | null | undefined, now: number): string {
  if (!time) return '-';
  const at = Date.parse(time);
  return Number.isNaN(at) ? time : `${time.slice(0, 10)} ${distance(at - now)}`;
}

/** `2026-11-22 01:14:41`, UTC as everything here. */
export function moment(time: string | null | undefined): string {
  return time ? time.slice(0, 19).replace('T', ' ') : '-';
}

function distance(ms: number): string {
  const away = Math.abs(ms);
  const [number, unit] = away < 2 * DAY_MS ? [Math.floor(away / HOUR_MS), 'h'] : [Math.floor(away / DAY_MS), 'd'];
  return ms < 0 ? `${number} ${unit} ago` : `in ${number} ${unit}`;
}
