// One meaning for every request by HTTP/2: the cases of test/corpus/http2 through the real door. A new case needs no code.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { connectFrames, ErrorCode, Flag, type Pair } from '../support/h2-frames.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';

const CORPUS = join(import.meta.dirname, '../corpus/http2');

interface Case {
  name: string;
  /** In order, as they go out: nothing is lower-cased or checked. */
  fields: Pair[];
  /** As many fields more, of so long values. */
  more?: { count: number; length: number };
  /** Without, the fields end the request. */
  body?: string;
  expect: {
    status?: number;
    reason?: string;
    /** What the origin was asked for, with which fields (null: without it) and body. */
    target?: string;
    headers?: Record<string, string | null>;
    body?: string;
    /** The code that the stream is reset with; one that ends the connection counts too: no origin has seen it. */
    reset?: keyof typeof ErrorCode;
  };
}

let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin();
  front = await startFront({ localhost: { mtls: { mode: 'off' }, origin: origin.url } });
});

beforeEach(() => {
  origin.arrived.length = 0;
});

for (const file of readdirSync(CORPUS)) {
  describe(`test/corpus/http2/${file}`, () => {
    const cases: Case[] = JSON.parse(readFileSync(join(CORPUS, file), 'utf8'));
    test.each(cases.map(one => [one.name, one] as const))('%s', async (_, { fields, more, body, expect: expected }) => {
      const client = await connectFrames(front.caller('localhost', null));
      const added = Array.from({ length: more?.count ?? 0 }, (_, n): Pair => [`x-${n}`, 'y'.repeat(more?.length ?? 0)]);
      const end = body === undefined ? Flag.EndHeaders | Flag.EndStream : Flag.EndHeaders;
      client.begin().headers(1, [...fields, ...added], end);
      if (body !== undefined) client.data(1, body);
      const outcome = await client.outcome(1);
      client.close();
      if (expected.reset !== undefined) {
        const codes = [{ reset: ErrorCode[expected.reset] }, { goAway: ErrorCode[expected.reset] }];
        expect(codes).toContainEqual(outcome);
      } else {
        expect(outcome).toMatchObject({ status: expected.status });
      }
      if (expected.reason !== undefined) {
        expect(JSON.parse((outcome as { body: string }).body).reason).toBe(expected.reason);
      }
      if (expected.target === undefined) {
        expect(origin.arrived).toEqual([]);
        return;
      }
      const [arrived] = origin.arrived;
      expect(arrived?.url).toBe(expected.target);
      expect(arrived?.body.toString()).toBe(expected.body ?? '');
      for (const [name, value] of Object.entries(expected.headers ?? {})) {
        expect(arrived?.headers[name] ?? null, name).toBe(value);
      }
    });
  });
}
