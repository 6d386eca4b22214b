// Bodies larger than any buffer on the way: they arrive byte for byte, and whoever is slow slows the other side down.

import type { Socket } from 'node:net';
import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { connect } from '../support/https.js';
import { httpOrigin, rawOrigin } from '../support/origin.js';
import { scriptedOrigin } from '../support/scripted-origin.js';
import { noise, transfer, writable } from '../support/transfer.js';
import { pause, settled, until } from '../support/waiting.js';

const LARGE = noise(20_000_003);
/** A body longer than all buffers on its way. */
const FLOW = 160_000_000;
/** Above what kernels hold for the two connections of a path (net.ipv4.tcp_rmem, 32 MiB here, and tcp_wmem, 4 MiB). */
const BUFFERS = 90_000_000;
/** What the gateway itself may hold of one body, and what its heap happens to grow by. */
const HELD = 40_000_000;

const origin = await httpOrigin(({ url, body }, response) => {
  if (url === '/length') response.setHeader('content-length', LARGE.length).end(LARGE);
  else if (url === '/close') response.writeHead(200, { connection: 'close' }).end(LARGE);
  else if (url === '/chunked') {
    response.writeHead(200);
    for (let at = 0; at < LARGE.length; at += 77_777) response.write(LARGE.subarray(at, at + 77_777));
    response.end();
  } else response.end(`${body.length} ${body.equals(LARGE)}`);
});
const raw = await scriptedOrigin();
const front = await startFront({
  'large.test': { origin: origin.url, maxBodyBytes: '1GB' },
  'raw.test': { origin: raw.url, maxBodyBytes: '1GB' },
});
const large = front.caller('large.test');

test.each(['/length', '/chunked', '/close'])('20 MB come down whole: %s', async path => {
  const { status, headers, body } = await transfer(large, path);
  expect(status).toBe(200);
  expect(headers['content-length']).toBe(path === '/length' ? String(LARGE.length) : undefined);
  expect(body.equals(LARGE)).toBe(true);
});

test.each([false, true])('20 MB go up whole, chunked: %s', async chunked => {
  const { status, body } = await transfer(large, '/up', { method: 'POST', body: LARGE, chunked });
  expect([status, body.toString()]).toEqual([200, `${LARGE.length} true`]);
  expect(origin.arrived.at(-1)?.headers['transfer-encoding']).toBe(chunked ? 'chunked' : undefined);
});

test('eight large transfers at once do not mix', async () => {
  const all = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      index % 2 === 0
        ? transfer(large, index % 4 === 0 ? '/length' : '/chunked').then(({ body }) => body.equals(LARGE))
        : transfer(large, '/up', { method: 'PUT', body: LARGE, chunked: index % 4 === 1 }).then(
            ({ body }) => body.toString() === `${LARGE.length} true`,
          ),
    ),
  );
  expect(all).toEqual(Array(8).fill(true));
});

/** How a body of FLOW bytes is framed, piece by piece. */
const FRAMINGS = [
  { by: 'length', fields: `Content-Length: ${FLOW}\r\n`, framed: (piece: Buffer) => piece, end: '' },
  { by: 'chunks', fields: 'Transfer-Encoding: chunked\r\n', framed: chunk, end: '0\r\n\r\n' },
];

test.each(FRAMINGS)('a client that does not read stops the origin, and gets all later: $by', async framing => {
  const path = `/down-${framing.by}`;
  const flow = new Flow();
  raw.on(path, ({ socket }) => {
    socket.write(`HTTP/1.1 200 OK\r\n${framing.fields}Connection: close\r\n\r\n`);
    return flow.into(socket, framing);
  });
  const client = await connect(front.caller('raw.test'));
  client.socket.removeAllListeners('data').pause();
  client.send(`GET ${path} HTTP/1.1\r\nHost: raw.test\r\n\r\n`);
  await settled(() => flow.sent);
  expect(flow.sent).toBeGreaterThan(0);
  expect(flow.sent).toBeLessThan(BUFFERS);
  let got = 0;
  client.socket.on('data', piece => {
    got += piece.length;
  });
  client.socket.resume();
  await until(() => got >= FLOW);
  expect(flow.sent).toBe(FLOW);
});

test.each(FRAMINGS)('an origin that does not read stops the client, and gets all later: $by', framing =>
  stalledUpload(framing, { paceMs: 2 }),
);

// uWebSockets.js goes on reading a paused socket within one turn while each recv() fills its buffer of 512 KiB (seen on
// plain uWebSockets.js: 495 of 500 MB came after pause()): native/door/src/listening.rs keeps receive buffers below that.
test.each(FRAMINGS)('the same with a client that is faster than the gateway: $by', framing =>
  stalledUpload(framing, { paceMs: 0 }),
);

async function stalledUpload(framing: Framing, { paceMs }: { paceMs: number }) {
  const path = `/up-${framing.by}-${paceMs}`;
  const reached = new Promise<Socket>(resolve => {
    raw.on(path, ({ socket, received }, head) => {
      socket.removeAllListeners('data').pause();
      got = received.length - received.indexOf(head) - head.length;
      resolve(socket);
      return new Promise(() => {});
    });
  });
  let got = 0;
  let tail = '';
  const flow = new Flow();
  const before = await memory();
  const client = await connect(front.caller('raw.test'));
  client.send(`POST ${path} HTTP/1.1\r\nHost: raw.test\r\n${framing.fields}\r\n`);
  const all = flow.into(client.socket, framing, paceMs);
  const socket = await reached;
  await settled(() => flow.sent);
  expect(flow.sent).toBeLessThan(BUFFERS);
  expect((await memory()) - before).toBeLessThan(HELD);
  socket.on('data', (piece: string) => {
    got += piece.length;
    tail = (tail + piece).slice(-LAST_CHUNK.length);
    if (framing.end === '' ? got === FLOW : tail === LAST_CHUNK)
      socket.write('HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
  });
  socket.resume();
  await all;
  expect((await client.response()).status).toBe(204);
  expect(got).toBeGreaterThanOrEqual(FLOW);
}

test('the gateway holds a bounded part of what slow clients do not read', async () => {
  const before = await memory();
  const flows: Flow[] = [];
  raw.on('/many', ({ socket }) => {
    const flow = new Flow();
    flows.push(flow);
    socket.write(`HTTP/1.1 200 OK\r\n${FRAMINGS[0]?.fields}\r\n`);
    return flow.into(socket, FRAMINGS[0] as Framing);
  });
  const clients = await Promise.all(Array.from({ length: 20 }, () => connect(front.caller('raw.test'))));
  for (const client of clients) {
    client.socket.pause();
    client.send('GET /many HTTP/1.1\r\nHost: raw.test\r\n\r\n');
  }
  await until(() => flows.length === clients.length);
  await settled(() => flows.reduce((sum, { sent }) => sum + sent, 0));
  const grown = (await memory()) - before;
  for (const client of clients) client.close();
  // For each a turn's share of a response (256 KiB), what is copied of it and TLS: not 20 times what is under way.
  expect(grown).toBeLessThan(60_000_000);
});

test('an upload above the host bound is refused before the origin sees it', async () => {
  const small = await rawOrigin();
  const tight = await startFront({ 'tight.test': { origin: small.url, maxBodyBytes: '1KiB' } }, { threads: 1 });
  const client = await connect(tight.caller('tight.test'));
  const response = await client.ask('POST / HTTP/1.1\r\nHost: tight.test\r\nContent-Length: 1025\r\n\r\n');
  expect(response.status).toBe(413);
  expect(JSON.parse(response.body)).toMatchObject({ reason: 'http.body_too_large' });
  expect(small.connections).toHaveLength(0);
});

const LAST_CHUNK = '\r\n0\r\n\r\n';

type Framing = (typeof FRAMINGS)[number];

/** FLOW bytes on their way, as fast as the other side takes them. */
class Flow {
  sent = 0;

  async into(socket: Socket, { framed, end }: Framing, paceMs = 0): Promise<void> {
    const piece = LARGE.subarray(0, 100_000);
    for (; this.sent < FLOW && !socket.destroyed; this.sent += piece.length) {
      if (!socket.write(framed(piece))) await writable(socket);
      if (paceMs > 0 && this.sent % 1_000_000 === 0) await pause(paceMs);
    }
    socket.write(end);
  }
}

function chunk(piece: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
}

/** Resident bytes of the gateway process. */
async function memory(): Promise<number> {
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(await front.gateway.metrics())?.[1]);
}
