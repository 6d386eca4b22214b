// What goes through the gateway, in both directions, arrives as it was sent; what must not go through does not.

import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { ask, connect, keptAlive } from '../support/https.js';
import { type Connection, httpOrigin, rawOrigin } from '../support/origin.js';
import { field, scriptedOrigin } from '../support/scripted-origin.js';
import { pause, until } from '../support/waiting.js';

const origin = await scriptedOrigin();
const echo = await httpOrigin();
const [first, second] = [await httpOrigin(), await httpOrigin()];
const front = await startFront({
  'api.test': { origin: origin.url, mtls: { mode: 'require', trust: ['devices'], forward: ['rfc9440', 'sha256'] } },
  'echo.test': { origin: echo.url },
  'two.test': { origin: { addresses: [first.url, second.url] } },
});
const api = front.caller('api.test');
const echoed = front.caller('echo.test');

/** Requests are told apart by their paths: a behaviour of the origin, and one request that meets it. */
async function exchange(path: string, answer: string, request = `GET ${path} HTTP/1.1\r\nHost: api.test\r\n\r\n`) {
  let head = '';
  origin.on(path, (connection, arrived) => {
    head = arrived;
    connection.write(answer);
  });
  const client = await connect(api);
  const response = await client.ask(request);
  return { response, head, client };
}

// --- responses ----------------------------------------------------------------------------------------------------

test('a response with Content-Length keeps its status, fields, length and body', async () => {
  const { response } = await exchange(
    '/length',
    'HTTP/1.1 201 Created\r\nContent-Length: 5\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nhello',
  );
  expect(response).toMatchObject({ status: 201, reason: 'Created', body: 'hello' });
  expect(response.headers).toMatchObject({
    'content-length': '5',
    'content-type': 'text/plain',
    'set-cookie': 'a=1, b=2',
  });
});

test('a client that ends its connection with a request is told that it ends, and it does', async () => {
  for (const [host, status] of [
    ['api.test', 200],
    ['nobody.test', 421],
  ]) {
    const { response, client } = await exchange(
      '/ending',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      `GET /ending HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    );
    expect([response.status, response.headers.connection]).toEqual([status, 'close']);
    await client.closed;
  }
});

test('a chunked response arrives whole, without its trailers', async () => {
  const { response, client } = await exchange(
    '/chunked',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n' +
      '5\r\nhello\r\n7;note=1\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\n',
  );
  expect(response).toMatchObject({ status: 200, body: 'hello, world' });
  expect(response.headers).not.toHaveProperty('trailer');
  expect(client.received).not.toContain('X-Sum');
});

test('a chunked response that comes in pieces is passed on piece by piece', async () => {
  let more: (text: string) => void = () => {};
  origin.on('/pieces', connection => {
    connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n');
    more = text => connection.write(text);
  });
  const client = await connect(api);
  client.send('GET /pieces HTTP/1.1\r\nHost: api.test\r\n\r\n');
  await until(() => client.received.includes('first'));
  more('6\r\nsecond\r\n');
  await until(() => client.received.includes('second'));
  more('0\r\n\r\n');
  expect(await client.response()).toMatchObject({ status: 200, body: 'firstsecond' });
});

test('a response that ends with its connection arrives whole and ends for the client', async () => {
  origin.on('/until-close', connection => {
    connection.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it');
    connection.end();
  });
  const client = await connect(api);
  const response = await client.ask('GET /until-close HTTP/1.1\r\nHost: api.test\r\n\r\n');
  expect(response).toMatchObject({ status: 200, body: 'all of it' });
  expect(response.headers['transfer-encoding']).toBe('chunked');
});

test('HEAD has the length of the body and not the body', async () => {
  const head = 'HEAD /head HTTP/1.1\r\nHost: api.test\r\n\r\n';
  const { response, client } = await exchange('/head', 'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n', head);
  expect(response).toMatchObject({ status: 200, body: '' });
  expect(response.headers['content-length']).toBe('12345');
  await goesOn(client);
});

test('HEAD of a body without a length tells none', async () => {
  const head = 'HEAD /head-chunked HTTP/1.1\r\nHost: api.test\r\n\r\n';
  const { response, client } = await exchange(
    '/head-chunked',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    head,
  );
  expect(response.headers).not.toHaveProperty('content-length');
  await goesOn(client);
});

test.each([204, 304])('%i has no body, and the connection goes on', async status => {
  const { response, client } = await exchange(`/${status}`, `HTTP/1.1 ${status} Empty\r\nETag: "1"\r\n\r\n`);
  expect(response.status).toBe(status);
  expect(response.headers.etag).toBe('"1"');
  expect(response.headers).not.toHaveProperty('transfer-encoding');
  expect(response.headers).not.toHaveProperty('content-length');
  await goesOn(client);
});

test('an empty body is an empty body', async () => {
  const { response, client } = await exchange('/empty', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  expect(response).toMatchObject({ status: 200, body: '' });
  expect(response.headers['content-length']).toBe('0');
  await goesOn(client);
});

test('an interim response is skipped and the final one passed on', async () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n';
  const { response } = await exchange('/hints', `${hints}${hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`);
  expect(response).toMatchObject({ status: 200, body: 'ok' });
  expect(response.headers).not.toHaveProperty('link');
});

test('hop-by-hop fields of a response stay between the gateway and the origin', async () => {
  const { response } = await exchange(
    '/response-hops',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Secret-Hop\r\nKeep-Alive: timeout=5\r\n' +
      'X-Secret-Hop: 1\r\nUpgrade: h2c\r\nProxy-Connection: keep-alive\r\nX-Kept: yes\r\n\r\nok',
  );
  expect(response.headers['x-kept']).toBe('yes');
  for (const name of ['keep-alive', 'x-secret-hop', 'upgrade', 'proxy-connection', 'connection']) {
    expect(response.headers).not.toHaveProperty(name);
  }
});

test.each([
  ['a bare CR in a value', 'X-A: 1\rSet-Cookie: stolen=1'],
  ['a NUL in a value', 'X-A: 1\0'],
  ['a folded field', 'X-A: 1\r\n Set-Cookie: stolen=1'],
  ['a space before the colon', 'X-A : 1'],
  ['two lengths', 'Content-Length: 2\r\nContent-Length: 3'],
  ['a length and chunks', 'Content-Length: 2\r\nTransfer-Encoding: chunked'],
  ['another coding than chunked', 'Transfer-Encoding: gzip, chunked'],
])('a response with %s is refused', async (what, fields) => {
  const { response, client } = await exchange(
    `/split-${what.replaceAll(' ', '-')}`,
    `HTTP/1.1 200 OK\r\n${fields}\r\n\r\nok`,
  );
  expect(response.status).toBe(502);
  expect(JSON.parse(response.body)).toMatchObject({ status: 502, reason: 'origin.malformed' });
  expect(client.received).not.toContain('stolen');
});

// --- request heads ------------------------------------------------------------------------------------------------

test('the target, the method and ordinary fields reach the origin as they were sent', async () => {
  const { head } = await exchange(
    '/as-sent?a=1&b=%20c',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'PATCH /as-sent?a=1&b=%20c HTTP/1.1\r\nHost: api.test\r\nX-One: 1\r\nX-Two: two\r\nX-One: again\r\nCookie: a=b\r\nContent-Length: 0\r\n\r\n',
  );
  expect(head).toMatch(/^PATCH \/as-sent\?a=1&b=%20c HTTP\/1\.1\r\n/);
  expect(field(head, 'host')).toBe('api.test');
  expect(field(head, 'x-one')).toBe('1, again');
  expect(field(head, 'cookie')).toBe('a=b');
});

test('hop-by-hop fields of a request stay between the client and the gateway', async () => {
  const { head } = await exchange(
    '/request-hops',
    'HTTP/1.1 204 No Content\r\n\r\n',
    'GET /request-hops HTTP/1.1\r\nHost: api.test\r\nConnection: keep-alive, TE\r\nKeep-Alive: 5\r\n' +
      'TE: trailers\r\nTrailer: X-A\r\nProxy-Connection: keep-alive\r\nProxy: evil\r\n\r\n',
  );
  for (const name of ['connection', 'keep-alive', 'te', 'trailer', 'proxy-connection', 'proxy']) {
    expect.soft(field(head, name), name).toBeUndefined();
  }
});

test('the origin is told who asked, for what and how, and only by the gateway', async () => {
  const lies = [
    'X-Forwarded-For: 10.0.0.1',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Host: evil.test',
    'X_Forwarded_For: 10.0.0.2',
    'Forwarded: for=10.0.0.3',
    'X-Real-IP: 10.0.0.4',
    'X-Request-Id: chosen-by-the-client',
    'Client-Cert: :AAAA:',
    'Client_Cert: :AAAA:',
    'Cf-Client-Cert-Sha256: 00',
  ];
  const { head, response } = await exchange(
    '/who',
    'HTTP/1.1 204 No Content\r\n\r\n',
    `GET /who HTTP/1.1\r\nHost: api.test\r\n${lies.join('\r\n')}\r\n\r\n`,
  );
  expect(field(head, 'x-forwarded-for')).toBe('127.0.0.1');
  expect(field(head, 'x-forwarded-proto')).toBe('https');
  expect(field(head, 'x-forwarded-host')).toBe('api.test');
  expect(field(head, 'forwarded')).toBe('for=127.0.0.1;host=api.test;proto=https');
  expect(field(head, 'client-cert')).toBe(`:${der(front.client.cert)}:`);
  expect(field(head, 'cf-client-cert-sha256')).toMatch(/^[0-9a-f]{64}$/);
  const id = field(head, 'x-request-id');
  expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(response.headers['x-request-id']).toBe(id);
  for (const lie of ['10.0.0', 'evil.test', 'chosen-by-the-client', 'AAAA']) expect.soft(head).not.toContain(lie);
});

test('a traceparent is made when there is none, and a good one is kept', async () => {
  const made = await exchange('/trace-made', 'HTTP/1.1 204 No Content\r\n\r\n');
  expect(field(made.head, 'traceparent')).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const kept = await exchange(
    '/trace-kept',
    'HTTP/1.1 204 No Content\r\n\r\n',
    `GET /trace-kept HTTP/1.1\r\nHost: api.test\r\nTraceparent: ${parent}\r\nTracestate: a=1\r\n\r\n`,
  );
  expect(field(kept.head, 'traceparent')).toBe(parent);
  expect(field(kept.head, 'tracestate')).toBe('a=1');
});

// --- request bodies -----------------------------------------------------------------------------------------------

test('a chunked request is chunked anew by the gateway, and its trailers are dropped', async () => {
  let body = '';
  origin.on('/chunks', async connection => {
    while (!body.endsWith('0\r\n\r\n')) body += await connection.bytes(1);
    connection.write('HTTP/1.1 204 No Content\r\n\r\n');
  });
  const client = await connect(api);
  client.send('POST /chunks HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
  client.send('7\r\n, world\r\n0\r\n\r\n');
  expect((await client.response()).status).toBe(204);
  expect(unchunked(body)).toBe('hello, world');
});

test('a chunked request is the last of its connection', async () => {
  const client = await connect(echoed);
  const response = await client.ask(
    'POST / HTTP/1.1\r\nHost: echo.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n',
  );
  expect(response).toMatchObject({ status: 200, body: 'hi' });
  expect(response.headers.connection).toBe('close');
  await client.closed;
});

test('Expect: 100-continue is answered by the gateway, then by the origin', async () => {
  const client = await connect(echoed);
  client.send('POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  const interim = await client.response();
  expect(interim).toMatchObject({ status: 100, reason: 'Continue' });
  client.send('hello');
  const final = await client.response();
  expect(final).toMatchObject({ status: 200, body: 'hello' });
  expect(final.headers['x-request-id']).toMatch(/^[0-9a-f]{32}$/);
  expect(echo.arrived.at(-1)?.headers).not.toHaveProperty('expect');
  await goesOn(client, 'echo.test');
});

test('a client that expects 100-continue and is refused is told so before it sends its body', async () => {
  const client = await connect(front.caller('echo.test', null));
  client.send('POST / HTTP/1.1\r\nHost: echo.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
  // uWebSockets.js answers the expectation by itself, before the gateway is asked.
  expect((await client.response()).status).toBe(100);
  expect((await client.response()).status).toBe(403);
});

// --- connections --------------------------------------------------------------------------------------------------

test('requests of a connection reuse one kept-alive connection to the origin', async () => {
  const before = echo.connections;
  const client = await connect(echoed);
  for (let turn = 0; turn < 20; turn++) {
    expect((await client.ask('GET / HTTP/1.1\r\nHost: echo.test\r\n\r\n')).status).toBe(200);
  }
  expect(echo.connections - before).toBeLessThanOrEqual(1);
});

test('an origin that says Connection: close is given a new connection for the next request', async () => {
  const before = origin.connections.length;
  const answer = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok';
  const { client } = await exchange('/says-close', answer);
  expect((await client.ask('GET /says-close HTTP/1.1\r\nHost: api.test\r\n\r\n')).body).toBe('ok');
  expect(origin.connections.length - before).toBeGreaterThanOrEqual(1);
  expect(origin.connections.at(-1)?.received.match(/^GET/gm)).toHaveLength(1);
});

test('several addresses of an origin take turns', async () => {
  const agent = keptAlive();
  const caller = front.caller('two.test');
  for (let turn = 0; turn < 10; turn++) expect((await ask(caller, '/', { agent })).status).toBe(200);
  expect([first.arrived.length, second.arrived.length]).toEqual([5, 5]);
});

test('a client that goes away takes its request to the origin with it', async () => {
  const reached = new Promise<Connection>(resolve => origin.on('/abandoned', resolve));
  const client = await connect(api);
  client.send('GET /abandoned HTTP/1.1\r\nHost: api.test\r\n\r\n');
  const { ended } = await reached;
  client.close();
  await ended;
  const event = await front.gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/abandoned');
  expect(event.EdgeResponseStatus).toBe(499);
});

test('a client that goes away in the middle of a response takes it with it', async () => {
  const reached = new Promise<Connection>(resolve => {
    origin.on('/half', connection => {
      connection.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n');
      resolve(connection);
    });
  });
  const client = await connect(api);
  client.send('GET /half HTTP/1.1\r\nHost: api.test\r\n\r\n');
  await until(() => client.received.includes('hello'));
  client.close();
  await await reached;
});

test('more requests at once than connections to the origin wait for one and are all served', async () => {
  let [open, most] = [0, 0];
  const narrow = await rawOrigin(async connection => {
    for (;;) {
      await connection.head();
      most = Math.max(most, ++open);
      await pause(5);
      open--;
      connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    }
  });
  const alone = await startFront({ 'n.test': { origin: { url: narrow.url, connections: 2 } } }, { threads: 1 });
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(alone.caller('n.test'), '/')));
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(most).toBe(2);
});

/** The connection still answers after what was just read from it. */
async function goesOn(client: Awaited<ReturnType<typeof connect>>, host = 'api.test') {
  origin.on('/next', connection => connection.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext'));
  expect((await client.ask(`GET /next HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).status).toBe(200);
}

function unchunked(text: string): string {
  let body = '';
  for (let at = 0; ; ) {
    const line = text.indexOf('\r\n', at);
    const length = Number.parseInt(text.slice(at, line), 16);
    if (!(length > 0)) return body;
    body += text.slice(line + 2, line + 2 + length);
    at = line + 4 + length;
  }
}

function der(pem: string): string {
  return pem.replace(/-----[A-Z ]+-----|\s/g, '');
}
