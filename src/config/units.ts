// Scalars an operator writes with a unit or a shape: parsed here once, plain numbers and strings afterwards.
//
// `title` and `forms` are what an error, the editor and docs/config.md say about such a value. (zod drops
// `examples` from the JSON Schema of anything that is transformed; schema.ts turns `forms` into it.)

import { isIP } from 'node:net';
import { z } from 'zod';

const MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const BYTES = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 } as const;

/** `5s`, `250ms`: milliseconds, within what a 32-bit timer takes. */
export function duration(least: string, most: string) {
  return z
    .string()
    .regex(/^\d{1,9}(ms|s|m|h)$/)
    .transform(milliseconds)
    .refine(ms => ms >= milliseconds(least) && ms <= milliseconds(most), {
      error: `must lie between ${least} and ${most}`,
    })
    .meta({ title: 'duration', forms: ['5s', '250ms'] });
}

function milliseconds(text: string): number {
  const [, digits, unit] = /^(\d+)(\D+)$/.exec(text) as RegExpExecArray;
  return Number(digits) * MS[unit as keyof typeof MS];
}

/** `1MiB`, `64KiB`, or a plain number of bytes. */
export function size(least: string, most: string) {
  return z
    .union([z.int(), z.string().regex(/^\d{1,9}(B|[KMG]i?B)$/)])
    .transform(bytes)
    .refine(count => count >= bytes(least) && count <= bytes(most), { error: `must lie between ${least} and ${most}` })
    .meta({ title: 'size', forms: ['1MiB', '64KiB'] });
}

function bytes(written: string | number): number {
  if (typeof written === 'number') return written;
  const [, digits, unit] = /^(\d+)(\D+)$/.exec(written) as RegExpExecArray;
  return Number(digits) * BYTES[unit as keyof typeof BYTES];
}

export interface Listen {
  /** null: every address of the machine, IPv6 and IPv4. */
  address: string | null;
  port: number;
}

/** A port, or `address:port` with IPv6 in brackets. Port 0 lets the system choose. */
export function listen() {
  return z
    .union([z.int(), z.string()])
    .transform((written, issues): Listen => {
      const parsed = parseListen(String(written));
      if (parsed) return parsed;
      issues.addIssue({
        code: 'custom',
        message: 'is neither a port (0 to 65535) nor `address:port`',
        params: { hint: 'such as 8443, `127.0.0.1:8443` or `[::1]:8443`; the address is an IP address, not a name' },
      });
      return z.NEVER;
    })
    .meta({ title: 'port or address:port' });
}

function parseListen(text: string): Listen | null {
  const match = /^(?:\[([^\]]+)\]:|([^:[\]]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) return null;
  const address = match[1] ?? match[2] ?? null;
  if (address === 'localhost') return { address: '127.0.0.1', port };
  if (address !== null && isIP(address) !== (match[1] ? 6 : 4)) return null;
  return { address, port };
}

export function loopback(address: string | null): boolean {
  return address !== null && (address === '::1' || address === 'localhost' || /^127\.\d+\.\d+\.\d+$/.test(address));
}

/** A file named in the configuration, relative to the configuration's own folder. */
export function file() {
  return z.string().min(1).meta({ title: 'path of a file' });
}

/** One or several of the same. */
export function oneOrMany<T extends z.ZodType>(one: T) {
  return z
    .union([one, z.array(one).min(1)])
    .transform(value => (Array.isArray(value) ? value : [value]) as z.output<T>[]);
}
