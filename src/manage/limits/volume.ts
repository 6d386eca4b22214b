// What was asked of one operation in ten minutes: as the engine tells it, and as a row of the store keeps it.
//
// The heaviest sessions are most of a row. There they are packed: the first 8 bytes of the hash, which are enough to
// know a session again, and its counts as varints (LEB128); 200 of them are some 3.5 KiB.

import { z } from 'zod';

export const BUCKET_MS = 600_000;
/** The engine tells no more (native/engine/src/limits/volume.rs). */
export const MAX_HEAVIEST = 200;
/** Of the shown hash: as many as are kept. */
export const SESSION_DIGITS = 16;
/** Most requests in one of these spans, aligned to the bucket: with each of the heaviest sessions, in this order. */
export const SPANS_S = [1, 10, 60] as const;

/** A session, its requests, and the most of them in one span of 1, 10 and 60 seconds. */
export type Heavy = readonly [session: string, requests: number, ...peaks: [number, number, number]];

const count = z.int().min(0);
const heavy = z.tuple([z.string().regex(/^[0-9a-f]{16,32}$/), count, count, count, count]);

const kept = {
  /** All of them, whatever the share. */
  requests: count,
  /** Of them, those without a session: they count under the hash of their address. */
  anonymous: count.default(0),
  /** That were counted. */
  sessions: count,
  /** Of all sessions, those that were counted: 1, 1/2, 1/4 ... */
  share: z.number().positive().max(1).default(1),
  /** How many sessions made from `least` to `most` requests. */
  histogram: z.array(z.tuple([count, count, count])).max(512),
  methods: z.record(z.string(), count).default({}),
  /** Those that come late as `4xx`, where there are very many. */
  statuses: z.record(z.string(), count).default({}),
};

const told = z.object({
  host: z.string(),
  operation: z.string(),
  bucket: z.int().multipleOf(BUCKET_MS),
  ...kept,
  heaviest: z.array(heavy).max(MAX_HEAVIEST),
});

const row = z.object({ ...kept, heaviest: z.base64() });

export type Told = z.output<typeof told>;
export type Volume = Omit<Told, 'host' | 'operation' | 'bucket'>;

/** null: it is not what the engine is known to tell. */
export function readTold(value: unknown): Told | null {
  return told.safeParse(value).data ?? null;
}

/** For the column `data`. */
export function pack({ heaviest, ...rest }: Volume): string {
  const bytes: number[] = [];
  for (const [session, ...counts] of heaviest) {
    bytes.push(...Buffer.from(session.slice(0, SESSION_DIGITS), 'hex'));
    for (const number of counts) varint(bytes, number);
  }
  const packed = Buffer.from(bytes).toString('base64');
  return JSON.stringify({ ...rest, heaviest: packed });
}

/** null: nobody here wrote that. */
export function unpack(data: string): Volume | null {
  try {
    const { data: read } = row.safeParse(JSON.parse(data));
    return read ? { ...read, heaviest: unpacked(Buffer.from(read.heaviest, 'base64')) } : null;
  } catch {
    return null;
  }
}

function unpacked(bytes: Buffer): Told['heaviest'] {
  const all: Told['heaviest'] = [];
  for (let at = 0; at < bytes.length; ) {
    const session = bytes.toString('hex', at, at + SESSION_DIGITS / 2);
    at += SESSION_DIGITS / 2;
    const counts: [number, number, number, number] = [0, 0, 0, 0];
    for (let which = 0; which < counts.length; which++) {
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes.readUInt8(at);
        at += 1;
        counts[which] = (counts[which] as number) + (byte & 127) * scale;
        if (byte < 128) break;
      }
    }
    all.push([session, ...counts]);
  }
  return all;
}

function varint(bytes: number[], number: number): void {
  let left = number;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) + 128);
  bytes.push(left);
}
