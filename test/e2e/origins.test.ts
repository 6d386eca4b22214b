// Origins of every kind behind both doors: HTTP/2 in the clear and over TLS, HTTP/1.1 over TLS.

import { once } from 'node:events';
import { createSecureServer, createServer, type Http2Server } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type Front, startFront } from '../support/front.js';
import { ask } from '../support/https.js';
import { authority, hours } from '../support/pki.js';

/** Larger than every window and buffer on the way. */
const LARGE = 5 * 1024 * 1024;
/** Node.js refuses streams of a connection that holds 10 MB, unless told otherwise. */
const ROOM = { maxSessionMemory: 100 };

const DESCRIPTION = {
  openapi: '3.1.0',
  info: { title: 'Looks at bodies', version: '1' },
  paths: {
    '/looked-at': {
      post: {
        requestBody: { content: { 'application/json': { schema: { type: 'object', required: ['name'] } } } },
        responses: { 200: { description: 'It.' } },
      },
    },
  },
};

let front: Front;
const servers: Server[] = [];
/** What reached any origin: protocol, server name, the client certificate's name. */
const arrived: { httpVersion: string; servername?: string | undefined; shown?: string | undefined }[] = [];

interface Asked {
  httpVersion: string;
  method?: string | undefined;
  url?: string | undefined;
  socket: unknown;
  on(event: 'data', act: (piece: Buffer) => void): unknown;
  on(event: 'end', act: () => void): unknown;
}

function answer(request: Asked, response: { setHeader(name: string, value: string): void; end(body: string): void }) {
  const { servername, getPeerCertificate } = request.socket as TLSSocket;
  const secure = typeof getPeerCertificate === 'function';
  const shown = secure ? (request.socket as TLSSocket).getPeerCertificate().subject?.CN : undefined;
  arrived.push({ httpVersion: request.httpVersion, servername: servername || undefined, shown: shown?.toString() });
  let bytes = 0;
  request.on('data', piece => {
    bytes += piece.length;
  });
  request.on('end', () => {
    response.setHeader('x-bytes', String(bytes));
    response.end(request.url === '/large' ? 'a'.repeat(LARGE) : `${request.method} ${bytes}`);
  });
}

async function listening(server: Server | Http2Server): Promise<number> {
  servers.push(server as Server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

beforeAll(async () => {
  const origins = await authority('origins');
  const named = await origins.server(['orders.internal']);
  const late = await origins.server(['orders.internal'], { notAfter: hours(-1) });
  const gateway = await origins.client('gateway');
  const tls = { cert: named.cert, key: named.key };
  const asking = { ...tls, ca: origins.pem, requestCert: true, rejectUnauthorized: true };
  const https = createHttpsServer(tls, answer);
  new WebSocketServer({ server: https }).on('connection', socket => socket.on('message', text => socket.send(text)));
  const [h2c, h2, plain, picky, old] = await Promise.all([
    listening(createServer(ROOM, answer as never)),
    listening(createSecureServer({ ...tls, ...ROOM }, answer as never)),
    listening(https),
    listening(createSecureServer({ ...asking, ...ROOM }, answer as never)),
    listening(createHttpsServer({ cert: late.cert, key: late.key }, answer)),
  ]);
  const openapi = { file: 'api.json', action: 'block', fallthrough: 'log' };
  const known = { authorities: 'origins.pem', serverName: 'orders.internal' };
  front = await startFront(
    {
      'h2c.test': { openapi, origin: { url: `http://127.0.0.1:${h2c}`, protocol: 'h2' } },
      'h2.test': { openapi, origin: { url: `https://127.0.0.1:${h2}`, protocol: 'h2', tls: known } },
      'https.test': { openapi, origin: { url: `https://127.0.0.1:${plain}`, tls: known } },
      'shown.test': {
        openapi,
        origin: {
          url: `https://127.0.0.1:${picky}`,
          protocol: 'h2',
          tls: { ...known, certificate: 'gateway.pem', key: 'gateway.key' },
        },
      },
      'hidden.test': { origin: { url: `https://127.0.0.1:${picky}`, protocol: 'h2', tls: known } },
      'old.test': { origin: { url: `https://127.0.0.1:${old}`, tls: known } },
      'misnamed.test': {
        origin: { url: `https://127.0.0.1:${plain}`, tls: { ...known, serverName: 'other.internal' } },
      },
      'untrusted.test': { origin: { url: `https://127.0.0.1:${plain}`, tls: { serverName: 'orders.internal' } } },
      'unverified.test': { origin: { url: `https://127.0.0.1:${old}`, tls: { allowUnverified: true } } },
      'one.test': { origin: { url: `https://127.0.0.1:${plain}`, protocol: 'h2', tls: known } },
    },
    {
      files: {
        'api.json': JSON.stringify(DESCRIPTION),
        'origins.pem': origins.pem,
        'gateway.pem': gateway.cert,
        'gateway.key': gateway.key,
      },
    },
  );
}, 60_000);

afterAll(() => {
  for (const server of servers) server.close();
});

describe.each([
  ['h2c.test', '2.0', undefined],
  ['h2.test', '2.0', 'orders.internal'],
  ['https.test', '1.1', 'orders.internal'],
  ['shown.test', '2.0', 'orders.internal'],
])('%s', (host, httpVersion, servername) => {
  test('is reached as it is configured', async () => {
    arrived.length = 0;
    const { status, body } = await ask(front.caller(host), '/');
    expect([status, body]).toEqual([200, 'GET 0']);
    expect(arrived).toEqual([
      { httpVersion, servername: servername, shown: host === 'shown.test' ? 'gateway' : undefined },
    ]);
  });

  test('gets bodies whole, small and large', async () => {
    for (const bytes of [1, 70_000, LARGE]) {
      const { headers, body } = await ask(front.caller(host), '/', { method: 'POST', body: Buffer.alloc(bytes, 'b') });
      expect([body, headers['x-bytes']]).toEqual([`POST ${bytes}`, String(bytes)]);
    }
  });

  test('gets a body that was looked at', async () => {
    for (const bytes of [10, 20_000, 200_000]) {
      const body = JSON.stringify({ name: 'n'.repeat(bytes) });
      const headers = { 'content-type': 'application/json' };
      const answered = await ask(front.caller(host), '/looked-at', { method: 'POST', headers, body });
      expect([answered.status, answered.headers['x-bytes']]).toEqual([200, String(body.length)]);
    }
    const refused = await ask(front.caller(host), '/looked-at', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(JSON.parse(refused.body).reason).toBe('schema.body');
  });

  test('answers with large bodies, many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(front.caller(host), '/large')));
    for (const { status, body } of answers) expect([status, body === 'a'.repeat(LARGE) || body]).toEqual([200, true]);
  });
});

test.each(['old.test', 'misnamed.test', 'untrusted.test', 'hidden.test', 'one.test'])(
  '%s cannot be trusted, and gets no request',
  async host => {
    arrived.length = 0;
    const { status, body } = await ask(front.caller(host), '/');
    expect([status, JSON.parse(body).reason ?? body]).toEqual([502, expect.stringContaining('origin.tls')]);
    expect(arrived).toEqual([]);
  },
);

test('an operator may take any certificate, and is warned', async () => {
  expect((await ask(front.caller('unverified.test'), '/')).status).toBe(200);
  await vi.waitFor(() => expect(front.gateway.log).toContain('the origin is not verified'));
});

test('WebSockets go to origins over TLS, not over HTTP/2', async () => {
  const open = (host: string) => {
    const { port, ca, cert, key } = front.caller(host);
    const lookup = (_: string, asked: { all?: boolean }, found: (...found: unknown[]) => void) =>
      asked.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4);
    return new WebSocket(`wss://${host}:${port}/`, { ca, cert, key, servername: host, lookup } as object);
  };
  const socket = open('https.test');
  await once(socket, 'open');
  socket.send('hello');
  const [text] = await once(socket, 'message');
  expect(String(text)).toBe('hello');
  socket.close();
  for (const host of ['h2c.test', 'misnamed.test', 'untrusted.test']) {
    const [error] = await once(open(host), 'error');
    expect(String(error)).toContain('502');
  }
});
