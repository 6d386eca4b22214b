// What is fetched at URLs that strangers' certificates name.

import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { download, MAX_LIST_BYTES } from '../../src/manage/pki/download.js';
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
