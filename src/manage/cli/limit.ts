import { usage } from './fault.js';

/** More rows than that are a program's business, which pages through the API. */
const MOST = 100_000;

/** `--limit`: a number of rows. */
export function mostOf(limit: string): number {
  const number = Number(limit);
  if (/^\d+$/.test(limit) && number >= 1 && number <= MOST) return number;
  throw usage(`--limit: \`${limit}\` is no number from 1 to ${MOST}`);
}
