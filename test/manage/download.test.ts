// What is fetched at URLs that strangers' certificates name.

import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { download, MAX_LIST_BYTES } from '../../src/manage/download.js';
import { atTheEnd } from '../support/cleanup.js';

const INSIDE = { allowPrivateAddresses: true, maxBytes: 1_000 };

test('fetches, and asks only whether it changed the next time', async () => {
  const seen: (string | undefined)[] = [];
  const url = await serve((request, response) => {
    seen.push(request.headers['if-none-match']);
    response.setHeader('ETag', '"one"').setHeader('Cache-Control', 'public, max-age=60');
    if (request.headers['if-none-match'] === '"one"') response.writeHead(304).end();
    else response.end('list');
  });
  const first = await download(url, INSIDE);
  expect(first).toMatchObject({ bytes: Buffer.from('list'), etag: '"one"', maxAgeMs: 60_000 });
  expect(await download(url, { ...INSIDE, etag: first.etag })).toMatchObject({ bytes: null, etag: '"one"' });
  expect(seen).toEqual([undefined, '"one"']);
});

test('posts what it is given', async () => {
  const url = await serve((request, response) => {
    request.pipe(response.setHeader('X-Type', request.headers['content-type'] ?? ''));
  });
  const body = { bytes: Buffer.from('question'), contentType: 'application/ocsp-request' };
  expect((await download(url, { ...INSIDE, body })).bytes?.toString()).toBe('question');
});

test.each([
  ['a loopback address', 'http://127.0.0.1:9/'],
  ['the same in IPv6', 'http://[::1]:9/'],
  ['the same wrapped', 'http://[::ffff:127.0.0.1]:9/'],
  ['the same as one number', 'http://2130706433:9/'],
  ['a private address', 'http://10.1.2.3/'],
  ['the address that clouds keep their credentials at', 'http://169.254.169.254/latest'],
  ['a name that leads to loopback', 'http://localhost:9/'],
])('refuses %s', async (_, url) => {
  await expect(download(url, { ...INSIDE, allowPrivateAddresses: false })).rejects.toThrow(
    'private or special network',
  );
});

test.each([
  ['file:///etc/passwd', 'file: is not fetched'],
  ['ldap://ldap.example/cn=list', 'ldap: is not fetched'],
  ['http://user:secret@127.0.0.1/', 'holds a password'],
  ['nonsense', 'no URL'],
  [`http://127.0.0.1/${'a'.repeat(3_000)}`, 'no URL'],
])('refuses %s', async (url, message) => {
  await expect(download(url, INSIDE)).rejects.toThrow(message);
});

test('follows three redirects and no fourth, to the same scheme only', async () => {
  const url = await serve((request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end('there');
    else if (left === 99) response.writeHead(302, { location: 'https://127.0.0.1:9/' }).end();
    else response.writeHead(301, { location: `/${left - 1}` }).end();
  });
  expect((await download(`${url}3`, INSIDE)).bytes?.toString()).toBe('there');
  await expect(download(`${url}4`, INSIDE)).rejects.toThrow('more than 3 redirects');
  await expect(download(`${url}99`, INSIDE)).rejects.toThrow('from http: to https:');
});

test('a redirect to the inside is refused like any URL', async () => {
  // What `allowPrivateAddresses` lets through is judged once more at each step: here by the scheme.
  const url = await serve((_, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end());
  await expect(download(url, INSIDE)).rejects.toThrow('file: is not fetched');
});

test.each([
  ['told', { 'content-length': '1001' }],
  ['not told', {}],
] as const)('an answer above the bound is refused, its length %s', async (_, headers) => {
  const url = await serve((_, response) => response.writeHead(200, headers).end('x'.repeat(1_001)));
  await expect(download(url, INSIDE)).rejects.toThrow(/too large|larger than/);
});

test('a body that never ends stops at the bound', async () => {
  const url = await serve((_, response) => {
    const more = () => {
      while (response.writable && response.write(Buffer.alloc(64 * 1024)));
    };
    response.on('drain', more).on('error', () => {});
    more();
  });
  await expect(download(url, { ...INSIDE, maxBytes: MAX_LIST_BYTES / 16 })).rejects.toThrow(/too large|larger than/);
});

test.each([
  ['an error', (_: unknown, response: Answer) => response.writeHead(500).end(), 'answers 500'],
  ['304 that nobody asked for', (_: unknown, response: Answer) => response.writeHead(304).end(), 'answers 304'],
  ['half an answer', half, 'broke off'],
  ['an encoded answer', (_: unknown, response: Answer) => encoded(response), 'is encoded (gzip)'],
] as const)('%s is told as such', async (_, answer, message) => {
  await expect(download(await serve(answer as RequestListener), INSIDE)).rejects.toThrow(message);
});

test('a compressed answer is unpacked where it may be compressed', async () => {
  let asked: string | undefined;
  const url = await serve((request, response) => {
    asked = request.headers['accept-encoding'];
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('list'));
  });
  expect((await download(url, { ...INSIDE, gzip: true })).bytes?.toString()).toBe('list');
  expect(asked).toBe('gzip');
  const broken = await serve((_, response) => encoded(response));
  await expect(download(broken, { ...INSIDE, gzip: true })).rejects.toThrow('compressed with is broken');
  const brotli = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('x'));
  await expect(download(brotli, { ...INSIDE, gzip: true })).rejects.toThrow('is encoded (br)');
});

test('an answer that is compressed a thousandfold is stopped at the bound', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20), { level: 9 });
  const url = await serve((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb));
  const before = process.memoryUsage().rss;
  await expect(download(url, { ...INSIDE, maxBytes: 2 ** 20, gzip: true })).rejects.toThrow('larger than 1 MiB');
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * 2 ** 20);
});

test('an answer that unpacks to nothing for ever is stopped by its own size', async () => {
  const empty = gzipSync('');
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' });
    response.end(Buffer.concat(Array.from({ length: 100 }, () => empty)));
  });
  await expect(download(url, { ...INSIDE, gzip: true })).rejects.toThrow('too large');
});

test.each([
  ['application/json', 'application/json; charset=utf-8', true],
  ['application/json', 'text/html', false],
  ['application/json', undefined, false],
])('where %s is asked for, %s is taken: %s', async (type, sent, taken) => {
  const url = await serve((_, response) => response.writeHead(200, sent ? { 'content-type': sent } : {}).end('{}'));
  const found = download(url, { ...INSIDE, types: [type] });
  if (taken) expect((await found).bytes?.toString()).toBe('{}');
  else await expect(found).rejects.toThrow(`the answer is ${sent ?? 'of no type'}, not application/json`);
});

test('follows no redirect where none is allowed, and no plain HTTP where only TLS is', async () => {
  const url = await serve((_, response) => response.writeHead(302, { location: '/there' }).end());
  await expect(download(url, { ...INSIDE, redirects: 0 })).rejects.toThrow('answers 302, and redirects are not');
  await expect(download(url, { ...INSIDE, allowHttp: false })).rejects.toThrow('http: is not fetched');
});

test.each([
  [{ 'cache-control': 'max-age=60', age: '20' }, 40_000],
  [{ 'cache-control': 'max-age=60, no-cache' }, 0],
  [{ 'cache-control': 'no-store' }, 0],
  [{ expires: 'Wed, 21 Oct 2026 07:28:00 GMT', date: 'Wed, 21 Oct 2026 07:27:00 GMT' }, 60_000],
  [{ expires: '0' }, 0],
  [{}, null],
])('%j is fresh for %s ms', async (headers, fresh) => {
  const url = await serve((_, response) => response.writeHead(200, headers).end('x'));
  expect((await download(url, INSIDE)).maxAgeMs).toBe(fresh);
});

test('a server that says nothing is left after its time', async () => {
  const url = await serve(() => {});
  await expect(download(url, { ...INSIDE, timeoutMs: 100 })).rejects.toThrow('no whole answer within 0.1 s');
});

test('nobody listening, and no such host, are told as such', async () => {
  await expect(download('http://127.0.0.1:9/', INSIDE)).rejects.toThrow('refused');
  await expect(download('http://no-such-host.invalid/', INSIDE)).rejects.toThrow(/no address|EAI_AGAIN/);
});

type Answer = Parameters<RequestListener>[1];

function half(_: unknown, response: Answer): void {
  response.writeHead(200, { 'content-length': '100' });
  response.write('half');
  setTimeout(() => response.destroy(), 20);
}

function encoded(response: Answer): void {
  response.writeHead(200, { 'content-encoding': 'gzip' }).end('x');
}

async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}
