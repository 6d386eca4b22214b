// Rate limits over the wire: what a client that asks too often is told, and what is recorded of it.

import { once } from 'node:events';
import { beforeAll, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { atTheEnd } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import { type Answered, ask } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';

const AMOUNT = 5;

let origin: HttpOrigin;
let front: Front;

beforeAll(async () => {
  origin = await httpOrigin(({ url }, response) => {
    response.writeHead(url === '/login' ? 401 : 200, { 'X-Cost': '4' }).end('ok');
  });
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(sockets, 'listening');
  atTheEnd(() => {
    for (const socket of sockets.clients) socket.terminate();
    sockets.close();
  });
  const path = (path: string) => `http.request.uri.path eq "${path}"`;
  const minutely = { requestsPerPeriod: AMOUNT, period: '1m', characteristics: ['ip.src'] };
  front = await startFront(
    {
      'api.test': { origin: origin.url },
      'ws.test': { origin: `http://127.0.0.1:${(sockets.address() as { port: number }).port}` },
    },
    {
      config: {
        limits: {
          headers: true,
          rules: [
            { name: 'minutely', expression: path('/minutely'), ...minutely },
            { name: 'watched', expression: path('/watched'), ...minutely, action: 'log' },
            {
              name: 'logins',
              expression: path('/login'),
              countingExpression: 'http.response.code eq 401',
              ...minutely,
            },
            {
              name: 'costs',
              expression: path('/costs'),
              scorePerPeriod: 10,
              score: { responseHeader: 'X-Cost' },
              period: '1m',
            },
            { name: 'at-once', expression: path('/slow'), concurrency: 1 },
            { name: 'sockets', expression: 'http.host eq "ws.test"', concurrency: 1 },
          ],
        },
      },
    },
  );
});

const api = (path: string, asked = {}) => ask(front.caller('api.test'), path, asked);
const eventOf = ({ headers }: Answered) => front.gateway.event(({ RayID }) => RayID === headers['x-request-id']);

/** One after the other. */
async function times(count: number, path: string): Promise<Answered[]> {
  const answers = [];
  for (let n = 0; n < count; n++) answers.push(await api(path));
  return answers;
}

test('who asks too often is refused, and told since when and until when', async () => {
  const answers = await times(AMOUNT + 1, '/minutely');
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 429]);
  const [first, refused] = [answers[0] as Answered, answers[AMOUNT] as Answered];
  expect(first.headers).toMatchObject({
    'ratelimit-policy': '"minutely";q=5;w=60',
    ratelimit: '"minutely";r=4;t=12',
  });
  const { reason, status, type } = JSON.parse(refused.body);
  expect({ reason, status, type }).toEqual({
    reason: 'limits.minutely',
    status: 429,
    type: 'urn:portcullis:reason:limits.minutely',
  });
  const retryAfter = Number(refused.headers['retry-after']);
  expect(retryAfter).toBeGreaterThan(0);
  expect(retryAfter).toBeLessThanOrEqual(12);
  expect(refused.headers['ratelimit-policy']).toBe('"minutely";q=5;w=60');
  expect(refused.headers.ratelimit).toMatch(/^"minutely";r=0;t=\d+$/);
  expect(await eventOf(refused)).toMatchObject({
    EdgeResponseStatus: 429,
    SecurityAction: 'block',
    SecurityRuleID: 'limits.minutely',
    RateLimits: [
      { Action: 'block', ID: 'limits.minutely', Key: expect.stringMatching(/^[0-9a-f]{8}$/), RetryAfter: retryAfter },
    ],
  });
  await front.gateway.counted('portcullis_denials_total', 1, 'action="block",reason="limits.minutely"');
  await front.gateway.counted('portcullis_limits_checked_total', AMOUNT + 1, 'limit="minutely"');
});

test('what is only logged passes, and is recorded as if it were refused', async () => {
  const answers = await times(AMOUNT + 1, '/watched');
  expect(answers.map(({ status }) => status)).toEqual(Array(AMOUNT + 1).fill(200));
  const last = answers[AMOUNT] as Answered;
  expect(last.headers.ratelimit).toBeUndefined();
  expect(await eventOf(last)).toMatchObject({
    SecurityAction: 'log',
    SecurityRuleID: 'limits.watched',
    RateLimits: [{ Action: 'log', ID: 'limits.watched' }],
  });
  await front.gateway.counted('portcullis_denials_total', 1, 'action="log",reason="limits.watched"');
});

test('what is counted by its answer is refused when enough answers counted', async () => {
  const answers = await times(AMOUNT + 1, '/login');
  expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429]);
});

test('an answer says what its request has cost', async () => {
  const answers = await times(4, '/costs');
  // 4 each: the third was let in with 2 left.
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 429]);
});

test('a request under way keeps its place until it has been answered, or its client has gone', async () => {
  const slow = await httpOrigin((_, response) => setTimeout(() => response.end('ok'), 300));
  front.gateway.writeConfig({
    hosts: { ...front.hosts, 'api.test': { ...front.hosts['api.test'], origin: slow.url } },
  });
  const generation = await front.gateway.count('portcullis_snapshot_generation');
  await until(async () => (await front.gateway.count('portcullis_snapshot_generation')) > generation);
  const [one, other] = await Promise.all([api('/slow'), api('/slow')]);
  expect([one.status, other.status].sort()).toEqual([200, 429]);
  expect((await api('/slow')).status).toBe(200);
});

test('a WebSocket is under way as long as it is open', async () => {
  const first = await opens();
  expect(first).toBeInstanceOf(WebSocket);
  expect(await opens()).toBe(429);
  (first as WebSocket).close();
  await until(async () => {
    const next = await opens();
    if (next instanceof WebSocket) next.terminate();
    return next instanceof WebSocket;
  });
});

/** The status, when it was refused. */
function opens(): Promise<WebSocket | number> {
  const { port, ca, cert, key } = front.caller('ws.test');
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, {
    ...{ ca, cert, key, servername: 'ws.test' },
    headers: { host: 'ws.test' },
  } as object);
  atTheEnd(() => socket.terminate());
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve(socket));
    socket.once('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
    socket.once('error', reject);
  });
}
