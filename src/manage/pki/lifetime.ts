// How long certificates and authorities are good for, as an operator writes it: `12h`, `90d`, `10y`.

import { z } from 'zod';

const UNITS = { h: 3_600_000, d: 86_400_000, y: 365 * 86_400_000 } as const;

/** Between `least` and `most`, which are written the same way. Stays the text that was written. */
export function lifetime(least: string, most: string) {
  return z
    .string()
    .regex(/^\d{1,6}[hdy]$/, { error: 'is no lifetime: a number with h, d or y, such as `90d`' })
    .refine(text => milliseconds(text) >= milliseconds(least) && milliseconds(text) <= milliseconds(most), {
      error: `must lie between ${least} and ${most}`,
    })
    .meta({ title: 'lifetime', examples: ['90d', '12h', '10y'] });
}

/** A year counts 365 days. */
export function milliseconds(text: string): number {
  return Number(text.slice(0, -1)) * UNITS[text.slice(-1) as keyof typeof UNITS];
}

/** RFC 3339, as times are told outside. */
export function rfc3339(at: number): string {
  return new Date(at).toISOString();
}
