// More bodies than the inspection pool has room for: refused, or passed on unchecked, as each host says.

import { expect, test, vi } from 'vitest';
import { startFront } from '../support/front.js';
import { type Asked, ask, connect } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';

const INLINE_BYTES = 1024;
/** Of the pool's queue (src/check/schema/pool.ts), and what makes it overflow. */
const DEPTH = 512;
const MORE = 20;
const MORE_TRIES = 100;

/** Each level doubles what has to be looked at: such a body keeps a pool thread busy until its bound of steps. */
const costly = {
  type: 'object',
  anyOf: ['p', 'q'].map(name => ({
    required: [name],
    properties: { n: { $ref: '#/components/schemas/Costly' } },
  })),
};
const content = { 'application/json': { schema: { $ref: '#/components/schemas/Costly' } } };
const simple = { 'application/json': { schema: { type: 'object', required: ['id'] } } };
const description = {
  openapi: '3.1.0',
  info: { title: 'Costly', version: '1' },
  paths: {
    '/costly': { post: { requestBody: { content }, responses: { 200: { description: 'Done.' } } } },
    '/simple': {
      get: { responses: { 200: { description: 'It.', content: simple } } },
      post: { requestBody: { content: simple }, responses: { 200: { description: 'Done.' } } },
    },
  },
  components: { schemas: { Costly: costly } },
};

test('a full queue refuses where it blocks, passes on unchecked where it passes, and both are counted', async () => {
  const padding = ' '.repeat(2 * INLINE_BYTES);
  const origin = await httpOrigin((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{${padding}}`);
  });
  const openapi = { file: 'costly.json', responses: { action: 'block' } };
  const front = await startFront(
    {
      'strict.test': { origin: origin.url, openapi },
      'lenient.test': { origin: origin.url, openapi: { ...openapi, overload: 'pass' } },
    },
    {
      threads: 1,
      files: { 'costly.json': JSON.stringify(description) },
      config: { inspect: { inlineBytes: `${INLINE_BYTES / 1024}KiB`, threads: 1 } },
    },
  );
  const costlyBody = `${'{"n":'.repeat(50)}{}${'}'.repeat(50)}${padding}`;
  const clients = await Promise.all(Array.from({ length: DEPTH + MORE }, () => connect(front.caller('strict.test'))));
  for (const client of clients) {
    client.send('POST /costly HTTP/1.1\r\nHost: strict.test\r\nContent-Type: application/json\r\n');
    client.send(`Content-Length: ${costlyBody.length}\r\n\r\n${costlyBody}`);
  }
  await vi.waitFor(
    () => expect(clients.some(({ received }) => received.includes('schema.overload'))).toBe(true),
    4_000,
  );
  // The thread takes one away now and then: what was refused comes again until these have been answered.
  const again = setInterval(() => {
    for (const client of clients.filter(({ received }) => received.endsWith('}'))) {
      client.received = '';
      client.send('POST /costly HTTP/1.1\r\nHost: strict.test\r\nContent-Type: application/json\r\n');
      client.send(`Content-Length: ${costlyBody.length}\r\n\r\n${costlyBody}`);
    }
  }, 5);
  const body = `{${padding}}`;
  const post = { method: 'POST', body, headers: { 'content-type': 'application/json' } };
  // A place may be free for a moment: then the body is checked, and found wrong.
  const crowdedOut = async (host: string, asked?: Asked) => {
    for (let tries = 0; tries < MORE_TRIES; tries++) {
      const answered = await ask(front.caller(host), '/simple', asked);
      if (!/"schema\.(response_)?body"/.test(answered.body)) return answered;
    }
    throw new Error('the queue had room each time');
  };
  const [request, response] = [await crowdedOut('lenient.test', post), await crowdedOut('lenient.test')];
  const refused = [await crowdedOut('strict.test', post), await crowdedOut('strict.test')];
  clearInterval(again);
  expect([request.status, request.body, response.status, response.body]).toEqual([200, body, 200, body]);
  for (const answered of refused) {
    expect(answered.status).toBe(503);
    expect(answered.headers['retry-after']).toBe('1');
    expect(JSON.parse(answered.body).reason).toBe('schema.overload');
  }
  const metrics = await front.gateway.metrics();
  expect(Number(/^portcullis_schema_passed_unchecked_total (\d+)$/m.exec(metrics)?.[1])).toBe(2);
  expect(metrics).toContain('reason="schema.overload"');
});
