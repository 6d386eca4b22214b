// One meaning for every byte: the cases of test/corpus/http through the real door, and what uWebSockets.js leaves open.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Front, startFront } from '../support/front.js';
import { connect, type RawClient } from '../support/https.js';
import { type HttpOrigin, httpOrigin } from '../support/origin.js';
import { authority } from '../support/pki.js';
import { plainUws } from '../support/plain-uws.js';

const CORPUS = join(import.meta.dirname, '../corpus/http');
/** Bytes that do not fit into one piece. */
const LONG = 300_000;
/** Time for what must not happen to happen. */
const SETTLE_MS = 150;

interface Case {
  name: string;
  /** The bytes, written as text in UTF-8. */
  request: string;
  /** Who refuses: uWebSockets.js alone, or it before the engine would. Unmarked: the engine. */
  by?: 'uws';
  also?: 'uws';
  expect: { status?: number; reason?: string; target?: string; body?: string; answered?: false };
}

let origin: HttpOrigin;
let front: Front;
let nameless: Front;

beforeAll(async () => {
  origin = await httpOrigin(({ url, body }, response) => {
    if (url.startsWith('/slow')) setTimeout(() => response.end(url), 100);
    else if (url === '/long') response.end(Buffer.alloc(LONG, 'x'));
    else if (url === '/long/chunked') response.write(Buffer.alloc(LONG, 'x'), () => response.end());
    else if (url.startsWith('/echo')) response.end(url);
    else response.end(body);
  });
  const rules = [
    { name: 'closed', expression: 'starts_with(http.request.uri.path, "/closed")', action: 'block' },
    { name: 'admin', expression: 'any(http.request.headers["x-name"][*] eq "admin")', action: 'block' },
  ];
  const hosts = { localhost: { mtls: { mode: 'off' }, origin: origin.url } };
  front = await startFront(hosts, { config: { rules } });
  nameless = await startFront(hosts, { config: { rules }, environment: { PORTCULLIS_IDENTITY: 'request' } });
});

beforeEach(() => {
  origin.arrived.length = 0;
});

const open = () => connect(front.caller('localhost', null));
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const targets = () => origin.arrived.map(({ url }) => url);
const settled = () => new Promise(resolve => setTimeout(resolve, SETTLE_MS));
const statuses = (client: RawClient) => [...client.received.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(match => match[1]);

for (const file of readdirSync(CORPUS)) {
  describe(`test/corpus/http/${file}`, () => {
    const cases: Case[] = JSON.parse(readFileSync(join(CORPUS, file), 'utf8'));
    test.each(cases.map(one => [one.name, one] as const))('%s', async (_, one) => {
      const { request, expect: expected } = one;
      const client = await open();
      client.send(Buffer.from(request, 'utf8').toString('latin1'));
      if (expected.target !== undefined) {
        expect(await client.response()).toMatchObject({ status: 200, body: expected.body ?? '' });
        expect(targets()).toEqual([expected.target]);
        expect(origin.arrived[0]?.body.toString()).toBe(expected.body ?? '');
      } else {
        if (expected.status !== undefined) {
          const response = await client.response();
          expect(response.status).toBe(expected.status);
          if (one.by === 'uws' || one.also === 'uws') {
            expect(response.headers, 'the engine answered: take the mark away').not.toHaveProperty('x-request-id');
          } else {
            expect(JSON.parse(response.body).reason).toBe(expected.reason);
          }
        }
        if (expected.answered === false) {
          // uWebSockets.js takes the head for unfinished and waits for more, until the connection has idled too long.
          await settled();
          expect(client.received).toBe('');
        }
        expect(targets()).toEqual([]);
      }
      client.close();
    });
  });
}

const chunked = (path: string) =>
  `POST ${path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`;
/** The two bytes behind the last chunk are dropped unread by uWebSockets.js. */
const smuggling = (path: string) => `${chunked(path)}0\r\nXX${get('/smuggled')}`;

test('uWebSockets.js by itself takes what is smuggled behind a chunked body for a request', async () => {
  const servers = await authority('servers');
  const identity = await servers.server(['localhost']);
  const plain = await plainUws([{ name: 'localhost', identity, clientAuthorities: servers.pem }]);
  const client = await connect({ port: plain.port, host: 'localhost', ca: servers.pem });
  client.send(smuggling('/first'));
  expect((await client.response()).body).toBe('/first');
  expect((await client.response()).body).toBe('/smuggled');
  client.close();
});

describe.each([
  ['with the identity of connections', () => front],
  ['without the identity of connections', () => nameless],
])('a chunked request is the last of its connection, %s', (_, at) => {
  const open = () => connect(at().caller('localhost', null));

  test.each(['/first', '/long', '/long/chunked'])('what is smuggled behind %s reaches no origin', async path => {
    const client = await open();
    client.send(smuggling(path));
    await client.closed;
    await settled();
    expect(targets()).not.toContain('/smuggled');
    expect(statuses(client).length).toBeLessThanOrEqual(1);
  });

  test('what comes after its answer is not read', async () => {
    const client = await open();
    client.send(`${chunked('/first')}0\r\n\r\n`);
    expect(await client.response()).toMatchObject({ status: 200, body: 'abc', headers: { connection: 'close' } });
    client.send(get('/later'));
    await client.closed;
    await settled();
    expect(targets()).toEqual(['/first']);
  });

  test('what is smuggled behind one that is denied reaches no origin', async () => {
    const client = await open();
    client.send(smuggling('/closed'));
    await client.closed;
    await settled();
    expect(targets()).toEqual([]);
    expect(['', '403']).toContain(statuses(client).join());
  });

  test('one that is denied is answered, then its connection ends', async () => {
    const client = await open();
    client.send(`${chunked('/closed')}0\r\n\r\n`);
    expect(await client.response()).toMatchObject({ status: 403, headers: { connection: 'close' } });
    await client.closed;
  });

  test('nor is anything read behind a request whose length is ambiguous', async () => {
    const post = 'POST /first HTTP/1.1\r\nHost: localhost\r\n';
    for (const framing of ['Content-Length: 2\r\nContent-Length: 40', 'Transfer-Encoding: gzip, chunked']) {
      const client = await open();
      client.send(`${post}${framing}\r\n\r\n${framing.startsWith('C') ? '{}' : '0\r\n\r\n'}`);
      expect(await client.response()).toMatchObject({ status: 400, headers: { connection: 'close' } });
      client.send(get('/smuggled'));
      await client.closed;

      const another = await open();
      another.send(`${post}${framing}\r\n\r\n${framing.startsWith('C') ? '{}' : '0\r\n\r\n'}${get('/smuggled')}`);
      await another.closed;
      expect(['', '400']).toContain(statuses(another).join());
    }
    await settled();
    expect(targets()).toEqual([]);
  });

  test('an extension of a chunk never cuts the body', async () => {
    const client = await open();
    client.send(`${chunked('/first')}3;name=value\r\ndef\r\n0\r\n\r\n`);
    await Promise.race([client.response().catch(() => {}), settled()]);
    client.close();
    await settled();
    // uWebSockets.js waits for more: either the whole body arrives, or no request at all.
    for (const { body } of origin.arrived) expect(body.toString()).toBe('abcdef');
  });
});

// uWebSockets.js offers no way to close behind a streamed answer: only a connection's identity tells what comes later.
test.each(['/long', '/long/chunked'])(
  'what comes after a streamed answer to a chunked request is not read: %s',
  async path => {
    const client = await open();
    client.send(`${chunked(path)}0\r\n\r\n`);
    const answer = await client.response();
    expect(answer).toMatchObject({ status: 200, headers: { connection: 'close' } });
    expect(answer.body.length).toBe(LONG);
    client.send(get('/later'));
    await client.closed;
    await settled();
    expect(targets()).toEqual([path]);
  },
);

test('what uWebSockets.js cuts off the ends of a value is gone for rules and origin alike', async () => {
  // It takes bytes above ASCII for white space there, and drops them.
  const withName = (path: string, name: string) =>
    `GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-Name: ${Buffer.from(name).toString('latin1')}\r\n\r\n`;
  const client = await open();
  expect((await client.ask(withName('/echo', 'éadminé'))).status).toBe(403);
  expect((await client.ask(withName('/echo', 'éada é lovelaceé'))).status).toBe(200);
  expect(origin.arrived.map(({ headers }) => headers['x-name'])).toEqual([
    Buffer.from('ada é lovelace').toString('latin1'),
  ]);
  client.close();
});

describe('the size of a head', () => {
  test('15 KiB pass', async () => {
    const client = await open();
    const value = 'a'.repeat(15 * 1024);
    expect((await client.ask(`GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Long: ${value}\r\n\r\n`)).status).toBe(200);
    expect(origin.arrived[0]?.headers['x-long']).toBe(value);
    client.close();
  });

  test('more than 16 KiB are refused, whether the head ends or not', async () => {
    for (const end of ['\r\n\r\n', '']) {
      const client = await open();
      client.send(`GET /echo HTTP/1.1\r\nHost: localhost\r\nX-Long: ${'a'.repeat(17 * 1024)}${end}`);
      expect((await client.response()).status).toBe(431);
      await client.closed;
    }
    expect(targets()).toEqual([]);
  });
});

describe('several requests on one connection', () => {
  test('a hundred, one after the other, are each answered', async () => {
    const client = await open();
    for (let turn = 0; turn < 100; turn++) {
      expect(await client.ask(get(`/echo/${turn}`))).toMatchObject({ status: 200, body: `/echo/${turn}` });
    }
    expect(origin.arrived.length).toBe(100);
    client.close();
  });

  test('a head that comes byte by byte is read like any other', async () => {
    const client = await open();
    for (const byte of get('/echo/slowly')) {
      client.send(byte);
      await new Promise(resolve => setImmediate(resolve));
    }
    expect(await client.response()).toMatchObject({ status: 200, body: '/echo/slowly' });
    client.close();
  });

  test('pipelined denials are answered in order', async () => {
    const client = await open();
    client.send(get('/closed/1') + get('/closed/2'));
    const answers = [await client.response(), await client.response()];
    expect(answers.map(({ status }) => status)).toEqual([403, 403]);
    const ids = answers.map(({ headers }) => headers['x-request-id']);
    expect(new Set(ids).size).toBe(2);
    client.close();
  });

  // docs/decisions/0002-pipelining.md
  test.each([
    ['in one segment', 0],
    ['in two segments', 30],
  ])('behind one that is being forwarded nothing is answered wrongly, %s', async (_, pauseMs) => {
    const client = await open();
    client.send(get('/slow/1') + (pauseMs ? '' : get('/slow/2')));
    if (pauseMs) {
      await new Promise(resolve => setTimeout(resolve, pauseMs));
      client.send(get('/slow/2'));
    }
    await client.closed;
    // The client has to send again what was not answered; nothing else was promised.
    expect(['', '/slow/1']).toContain(client.received.split('\r\n\r\n')[1] ?? '');
    expect(statuses(client).length).toBeLessThanOrEqual(1);
    await settled();
    expect(targets()).not.toContain('/slow/2');
    // Others are served as before.
    const other = await open();
    expect(await other.ask(get('/echo/after'))).toMatchObject({ status: 200, body: '/echo/after' });
    other.close();
  });

  test('a request behind a denied one whose body is small is served', async () => {
    const client = await open();
    const denied = 'POST /closed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello';
    expect((await client.ask(denied)).status).toBe(403);
    expect(await client.ask(get('/echo/next'))).toMatchObject({ status: 200, body: '/echo/next' });
    client.close();
  });

  test('the body of a denied request is never taken for a request', async () => {
    const client = await open();
    const inner = get('/echo/hidden');
    client.send(`POST /closed HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
    expect((await client.response()).status).toBe(403);
    await settled();
    expect(targets()).toEqual([]);
    expect(statuses(client)).toEqual(['403']);
    client.close();
  });
});
