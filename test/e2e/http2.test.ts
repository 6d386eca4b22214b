// HTTP/2 clients get the same answers as HTTP/1.1 clients, and streams do not get into each other's way.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer as createH2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import { connectFrames, ErrorCode, Flag, Frame } from '../support/h2-frames.js';
import { httpOrigin } from '../support/origin.js';
import { scriptedOrigin } from '../support/scripted-origin.js';
import { answerOf, connect2 } from '../support/streams.js';
import { until } from '../support/waiting.js';

const run = promisify(execFile);

const ORDERS = `
openapi: 3.1.0
info: { title: Orders, version: '1' }
paths:
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema: { type: object, required: [item], properties: { item: { type: string }, note: { type: string } }, additionalProperties: false }
      responses: { '201': { description: made } }
`;

const echo = await httpOrigin(({ method, url, headers, body }, response) => {
  response.setHeader('x-saw', JSON.stringify({ method, url, headers }));
  response.end(body);
});
const large = Buffer.alloc(8 * 1024 * 1024, 'large ');
const files = await httpOrigin((_, response) => response.end(large));
const scripted = await scriptedOrigin();
const h2 = createH2Server();
h2.on('stream', stream => {
  const pieces: Buffer[] = [];
  let saw = {};
  stream.on('trailers', ({ ...fields }) => {
    saw = fields;
  });
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  stream.on('end', () => {
    stream.additionalHeaders({ ':status': 103, link: '</style.css>' });
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-saw': JSON.stringify(saw) }));
    stream.end(Buffer.concat(pieces));
  });
});
h2.listen(0, '127.0.0.1');
await once(h2, 'listening');
atTheEnd(() => void h2.close());
const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'orders.v2' });
sockets.on('connection', socket =>
  socket.on('message', (message, isBinary) => socket.send(message, { binary: isBinary })),
);
await once(sockets, 'listening');
atTheEnd(() => {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
});
const at = (server: { address(): unknown }) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const front = await startFront(
  {
    'api.test': { origin: echo.url },
    'open.test': { origin: echo.url, mtls: { mode: 'off' } },
    'files.test': { origin: files.url },
    'scripted.test': { origin: scripted.url },
    'h2.test': { origin: { url: at(h2), protocol: 'h2' } },
    'ws.test': { origin: at(sockets) },
    'orders.test': { origin: echo.url, openapi: { file: 'orders.yaml', action: 'block', fallthrough: 'block' } },
  },
  {
    files: { 'orders.yaml': ORDERS },
    config: {
      rules: [
        {
          name: 'only-http2',
          expression: 'http.request.version ne "HTTP/2" and http.request.uri.path eq "/two"',
          action: 'block',
        },
        { name: 'no-secrets', expression: 'http.request.uri.path eq "/secret"', action: 'block' },
      ],
    },
  },
);

test('a request goes to an HTTP/1.1 origin and its response comes back', async () => {
  const client = await connect2(front.caller('api.test'));
  const answer = await client.ask({ ':path': '/a/../b?c=d', cookie: ['a=1', 'b=2'], 'x-mine': 'yes' });
  expect(answer.status).toBe(200);
  const saw = JSON.parse(answer.headers['x-saw'] as string);
  expect(saw).toMatchObject({ method: 'GET', url: '/b?c=d' });
  expect(saw.headers).toMatchObject({
    host: 'api.test',
    cookie: 'a=1; b=2',
    'x-mine': 'yes',
    'x-forwarded-proto': 'https',
  });
  expect(answer.headers['x-request-id']).toBe(saw.headers['x-request-id']);
  const event = await front.gateway.event(one => one.RayID === answer.headers['x-request-id']);
  expect(event).toMatchObject({
    ClientRequestProtocol: 'HTTP/2',
    ClientRequestHost: 'api.test',
    ClientRequestPath: '/b',
    ClientMTLSAuthStatus: 'ok',
    EdgeResponseStatus: 200,
  });
});

test('a client without a certificate is refused as on the other door', async () => {
  const client = await connect2(front.caller('api.test', null));
  const answer = await client.ask({});
  expect([answer.status, JSON.parse(answer.body).reason]).toEqual([403, 'mtls.missing']);
  expect(answer.headers['content-type']).toBe('application/problem+json');
});

test('rules tell the protocols apart', async () => {
  const client = await connect2(front.caller('api.test'));
  expect((await client.ask({ ':path': '/two' })).status).toBe(200);
  const refused = await client.ask({ ':path': '/secret' });
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([403, 'rules.no-secrets']);
});

test('bodies are held against their description', async () => {
  const client = await connect2(front.caller('orders.test'));
  const json = { ':path': '/orders', 'content-type': 'application/json' };
  expect(await client.ask(json, '{"item":"a"}')).toMatchObject({ status: 200, body: '{"item":"a"}' });
  for (const wrong of ['{"item":1}', '{"item":"a","x":1}', '{']) {
    expect((await client.ask(json, wrong)).status).toBe(400);
  }
  const whole = JSON.stringify({ item: 'a', note: 'n'.repeat(400_000) });
  expect((await client.ask(json, whole)).body.length).toBe(whole.length);
  const broken = JSON.stringify({ item: 1, note: 'n'.repeat(400_000) });
  expect(JSON.parse((await client.ask(json, broken)).body).reason).toMatch(/^schema\./);
  expect((await client.ask({ ':path': '/unknown' })).status).toBe(404);
});

test("an answer ahead of the request's end is not followed by a reset while the rest comes", async () => {
  const client = await connectFrames(front.caller('api.test'));
  const resets = () => client.frames.filter(({ type }) => type === Frame.RstStream);
  client.begin().request(1, '/secret', [], { method: 'POST', open: true });
  const answer = await client.next(({ type, stream }) => type === Frame.Headers && stream === 1);
  expect(Object.fromEntries(answer?.fields ?? [])[':status']).toBe('403');
  client.frame(Frame.Data, 0, 1, Buffer.alloc(10));
  client.frame(Frame.Data, Flag.EndStream, 1, Buffer.alloc(10));
  client.frame(Frame.Ping, 0, 0, Buffer.alloc(8));
  await client.next(({ type, flags }) => type === Frame.Ping && (flags & Flag.Ack) !== 0);
  expect(resets()).toEqual([]);
  // Whoever goes on for long is told to stop; the answer stands.
  client.request(3, '/secret', [], { method: 'POST', open: true });
  const reset = await client.next(({ type, stream }) => type === Frame.RstStream && stream === 3);
  expect(reset?.payload.readUInt32BE(0)).toBe(ErrorCode.NoError);
  client.close();
});

test("curl gets the answers that come ahead of its body's end", async () => {
  const { port, ca, cert, key } = front.caller('api.test');
  const folder = temporaryFolder();
  const file = (name: string, content: string | Uint8Array = '') => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const [body, roots] = [file('body', Buffer.alloc(900_000)), file('ca.pem', ca)];
  const [chain, secret] = [file('client.pem', cert), file('client.key', key)];
  const calls = Array.from({ length: 10 }, () =>
    run('curl', [
      ...['--silent', '--http2', '--cacert', roots, '--cert', chain, '--key', secret],
      ...['--connect-to', `api.test:443:127.0.0.1:${port}`, '--data-binary', `@${body}`],
      ...['--write-out', '%{http_code}', '--output', '/dev/null', 'https://api.test/secret'],
    ]).then(({ stdout }) => stdout),
  );
  expect(await Promise.all(calls)).toEqual(Array(10).fill('403'));
});

test('bodies that nobody inspects stream, with and without a length', async () => {
  const client = await connect2(front.caller('api.test'));
  const body = Buffer.alloc(3_000_000, 'body ');
  const told = await client.ask({ 'content-length': String(body.length) }, body);
  expect([told.status, told.body.length]).toEqual([200, body.length]);
  expect((await client.ask({}, body)).body).toBe(body.toString());
  expect((await client.ask({}, '')).body).toBe('');
});

test('a response that the client does not take waits, and arrives whole', async () => {
  const client = await connect2(front.caller('files.test'));
  const slow = client.open({});
  slow.pause();
  await new Promise(resolve => setTimeout(resolve, 300));
  expect((await answerOf(slow)).body.length).toBe(large.length);
});

test('twenty streams at once', async () => {
  const client = await connect2(front.caller('api.test'));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => client.ask({ ':path': `/${n}` }, `body ${n}`)),
  );
  expect(answers.map(({ body }) => body)).toEqual(Array.from({ length: 20 }, (_, n) => `body ${n}`));
});

test('a stream that its client resets is given up at the origin', async () => {
  let [seen, gone] = [false, false];
  scripted.on('/slow', connection => {
    seen = true;
    connection.socket.once('close', () => {
      gone = true;
    });
  });
  const client = await connect2(front.caller('scripted.test'));
  const stream = client.open({ ':path': '/slow' });
  await until(() => seen);
  stream.close(8);
  await until(() => gone);
  expect((await client.ask({ ':path': '/none', ':authority': 'api.test' })).status).toBe(200);
});

test('an origin that breaks off in the middle of its response resets the stream', async () => {
  scripted.on('/half', connection => {
    // More than is waited for to be whole.
    connection.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${'half '.repeat(40_000)}`);
    setTimeout(() => connection.end(), 100);
  });
  const client = await connect2(front.caller('scripted.test'));
  await expect(answerOf(client.open({ ':path': '/half' }))).rejects.toThrow('INTERNAL_ERROR');
  scripted.on('/nothing', connection => connection.end());
  const refused = await client.ask({ ':path': '/nothing' });
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([502, 'origin.closed']);
});

test('HEAD, 204 and empty responses have no body', async () => {
  scripted.on('/204', connection => connection.write('HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n'));
  scripted.on('/empty', connection => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'));
  scripted.on('/head', connection => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n'));
  const client = await connect2(front.caller('scripted.test'));
  expect(await client.ask({ ':path': '/204' })).toMatchObject({ status: 204, body: '', headers: { 'x-a': 'b' } });
  expect(await client.ask({ ':path': '/empty' })).toMatchObject({ status: 200, body: '' });
  expect(await client.ask({ ':path': '/head', ':method': 'HEAD' })).toMatchObject({
    status: 200,
    headers: { 'content-length': '7' },
  });
});

test('responses carry a date, as uWebSockets.js gives them one', async () => {
  const client = await connect2(front.caller('api.test'));
  for (const headers of [{}, { ':path': '/secret' }]) {
    const { date } = (await client.ask(headers)).headers;
    expect(Math.abs(Date.parse(date ?? '') - Date.now())).toBeLessThan(5000);
  }
});

test('an HTTP/2 origin and its client exchange trailers, and 1xx responses arrive', async () => {
  const client = await connect2(front.caller('h2.test'));
  const stream = client.session.request(
    { ':method': 'POST', ':path': '/trailers', ':scheme': 'https', ':authority': 'h2.test' },
    { waitForTrailers: true },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '5', authorization: 'no' }));
  stream.end('hello');
  const answer = await answerOf(stream);
  expect(answer).toMatchObject({ status: 200, body: 'hello', interim: [103], trailers: { 'x-saw': '{"x-sum":"5"}' } });
});

// --- WebSockets ---------------------------------------------------------------------------------------------------

/** A text frame of a client, whose mask is zero (RFC 6455, 5.2); below 126 bytes. */
function textFrame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
}

const SHAKE = { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' };

test('a WebSocket passes both ways, decided and recorded as a request', async () => {
  const client = await connect2(front.caller('ws.test'));
  const stream = client.open({ ...SHAKE, ':path': '/chat', 'sec-websocket-protocol': 'orders.v2' }, false);
  const [head] = await once(stream, 'response');
  expect(head).toMatchObject({ ':status': 200, 'sec-websocket-protocol': 'orders.v2' });
  expect(head).not.toHaveProperty('sec-websocket-accept');
  stream.write(textFrame('hello'));
  const [echoed] = await once(stream, 'data');
  expect(echoed).toEqual(Buffer.concat([Buffer.from([0x81, 5]), Buffer.from('hello')]));
  const event = await front.gateway.event(one => one.ClientRequestPath === '/chat');
  expect(event).toMatchObject({ ClientRequestMethod: 'GET', ClientRequestProtocol: 'HTTP/2', EdgeResponseStatus: 101 });
  // Requests go on beside it.
  expect((await client.ask({ ':authority': 'api.test' })).status).toBe(200);
  stream.end();
  await once(stream, 'close');
  expect(stream.rstCode).toBe(0);
});

test('a WebSocket that a rule denies, or whose origin refuses, is answered', async () => {
  const client = await connect2(front.caller('ws.test'));
  const denied = await answerOf(client.open({ ...SHAKE, ':path': '/secret' }));
  expect([denied.status, JSON.parse(denied.body).reason]).toEqual([403, 'rules.no-secrets']);
  const refused = await answerOf(client.open({ ...SHAKE, ':path': '/refused', ':authority': 'api.test' }, false));
  expect([refused.status, JSON.parse(refused.body).reason]).toEqual([502, 'origin.connect']);
  const ended = await answerOf(client.open({ ...SHAKE, ':path': '/chat' }));
  expect([ended.status, JSON.parse(ended.body).reason]).toEqual([400, 'http.malformed']);
  const tunnel = await answerOf(client.open({ ':method': 'CONNECT', ':protocol': 'connect-udp' }));
  expect([tunnel.status, JSON.parse(tunnel.body).reason]).toEqual([400, 'http.malformed']);
});

// --- the end ------------------------------------------------------------------------------------------------------

test('a gateway that ends tells its clients, and lets streams end with their answers', async () => {
  let answerNow = () => {};
  scripted.on('/last', connection => {
    answerNow = () => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  const client = await connect2(front.caller('scripted.test'));
  const told = once(client.session, 'goaway');
  const answer = client.ask({ ':path': '/last' });
  const arrived = answerNow;
  await until(() => answerNow !== arrived);
  front.gateway.signal('SIGTERM');
  expect((await told)[0]).toBe(0);
  answerNow();
  expect(await answer).toMatchObject({ status: 200, body: 'ok' });
  expect(await front.gateway.ended).toBe(0);
});
