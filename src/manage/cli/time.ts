// Times as they are typed: how long, or until when.

import { usage } from './fault.js';

const LENGTH = /^(\d{1,6})(m|h|d|y)$/;
/** A year counts 365 days, as everywhere here. */
const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000, y: 365 * 86_400_000 } as const;
const DATE = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?(\.\d{1,3})?(Z|[+-]\d{2}:\d{2}))?$/;

/** `30d`: milliseconds. */
export function lengthOf(written: string, option: string): number {
  const [, digits, unit] = LENGTH.exec(written) ?? [];
  if (digits === undefined)
    throw usage(`${option}: \`${written}\` is no length of time`, 'such as `12h`, `30d` or `2y`');
  return Number(digits) * UNITS[unit as keyof typeof UNITS];
}

/** `30d` from now, or a date; RFC 3339. */
export function whenGone(written: string, option: string, now: number): string {
  return DATE.test(written) ? dated(written, option) : rfc3339(now + lengthOf(written, option), option);
}

/** `30d` ago, or a date; RFC 3339. */
export function whenPast(written: string, option: string, now: number): string {
  return DATE.test(written) ? dated(written, option) : rfc3339(now - lengthOf(written, option), option);
}

function dated(written: string, option: string): string {
  return rfc3339(Date.parse(written), option);
}

function rfc3339(ms: number, option: string): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) throw usage(`${option}: there is no such date`, 'such as `2027-01-31`');
  return date.toISOString();
}
