import { usage } from './fault.js';

/** More rows than that are a program's business, which pages through the API. */
const MOST = 100_000;
/** What the API answers whole, without pages, is no longer. */
export const MOST_AT_ONCE = 1_000;

/** `--limit`: a number of rows. */
export function mostOf(limit: string): number {
  return numberOf(limit, '--limit', MOST);
}

export function numberOf(written: string, option: string, most: number): number {
  const number = Number(written);
  if (/^\d+$/.test(written) && number >= 1 && number <= most) return number;
  throw usage(`${option}: \`${written}\` is no number from 1 to ${most}`);
}
