// Violations that are only logged: rules can read them, and a body too large to be inspected goes on.

import { beforeAll, beforeEach, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask, connect } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { noise, transfer } from '../support/transfer.js';

const INLINE_BYTES = 1024;
const description = {
  openapi: '3.1.0',
  info: { title: 'Notes', version: '1' },
  paths: {
    '/notes': {
      post: {
        requestBody: { content: { 'application/json': { schema: { type: 'object', required: ['text'] } } } },
        responses: { 200: { description: 'Taken.' } },
      },
    },
  },
};
const violated = 'cf.schema_validation.uploaded.violated';

let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin();
  const openapi = (action: string) => ({ file: 'notes.json', action });
  front = await startFront(
    {
      'watch.test': { origin: origin.url, openapi: openapi('log') },
      'ruled.test': { origin: origin.url, openapi: openapi('log') },
      'strict.test': { origin: origin.url, openapi: openapi('block') },
    },
    {
      files: { 'notes.json': JSON.stringify(description) },
      config: {
        inspect: { inlineBytes: `${INLINE_BYTES / 1024}KiB`, threads: 1 },
        rules: [
          { name: 'as-described', expression: `http.host eq "ruled.test" and ${violated}`, action: 'block' },
          {
            name: 'nothing-unknown',
            expression: 'http.host eq "ruled.test" and cf.api_gateway.fallthrough_detected',
            action: 'block',
          },
        ],
      },
    },
  );
});

beforeEach(() => {
  origin.arrived.length = 0;
});

const eventOf = ({ headers }: Pick<Answered, 'headers'>) =>
  front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

test.each([
  ['on the edge thread', 0],
  ['by the pool', 4 * INLINE_BYTES],
])('a rule blocks a body that violates its description, inspected %s', async (_, padding) => {
  const post = (host: string, of: object) =>
    ask(front.caller(host), '/notes', {
      method: 'POST',
      body: JSON.stringify({ padding: 'x'.repeat(padding), ...of }),
      headers: { 'content-type': 'application/json' },
    });
  const answered = await post('ruled.test', { words: 1 });
  expect([answered.status, JSON.parse(answered.body).reason]).toEqual([403, 'rules.as-described']);
  expect(await eventOf(answered)).toMatchObject({
    SecurityAction: 'block',
    SecurityRuleID: 'rules.as-described',
    SecurityRuleIDs: ['schema.body'],
    SchemaViolations: [{ Class: 'required' }],
  });
  expect(origin.arrived).toEqual([]);
  expect((await post('ruled.test', { text: 1 })).status).toBe(200);
  expect((await post('watch.test', { words: 1 })).status).toBe(200);
});

test.each([true, false])(
  'a body too large to be inspected streams on where that is only logged (chunked: %s)',
  async chunked => {
    const body = noise(3_000_000);
    const headers = { 'content-type': 'application/json' };
    const answered = await transfer(front.caller('watch.test'), '/notes', { method: 'POST', body, chunked, headers });
    expect(answered.status).toBe(200);
    expect(answered.body.equals(body)).toBe(true);
    expect(origin.arrived[0]?.body.equals(body)).toBe(true);
    expect(await eventOf(answered)).toMatchObject({ SecurityAction: 'log', SecurityRuleID: 'http.body_too_large' });
  },
);

test('such a body in chunks is refused where violations are blocked', async () => {
  const client = await connect(front.caller('strict.test'));
  client.send('POST /notes HTTP/1.1\r\nHost: strict.test\r\nContent-Type: application/json\r\n');
  client.send(`Transfer-Encoding: chunked\r\n\r\n200000\r\n${' '.repeat(0x200000)}\r\n`);
  expect(await client.response()).toMatchObject({ status: 413 });
  expect(origin.arrived).toEqual([]);
});

test('a rule reads that no operation matches, where that alone is only logged', async () => {
  const get = (host: string) => ask(front.caller(host), '/unknown');
  expect((await get('watch.test')).status).toBe(200);
  const ruled = await get('ruled.test');
  expect([ruled.status, JSON.parse(ruled.body).reason]).toEqual([403, 'rules.nothing-unknown']);
});
