// Files of other hosts are fetched by https alone, from public addresses, within bounds.

import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fetchRemote, isListed } from '../../src/check/endpoints/remote.js';
import { isPublic } from '../../src/config/addresses.js';
import { authority } from '../support/pki.js';

let server: Server;
let base: string;
let ca: string;
let asked = 0;

beforeAll(async () => {
  const issuer = await authority('shared schemas');
  const { cert, key } = await issuer.server(['localhost']);
  ca = issuer.pem;
  server = createServer({ cert, key }, (request, response) => {
    asked++;
    if (request.url === '/moved') response.writeHead(302, { location: '/order.yaml' }).end();
    else if (request.url === '/large') response.end(Buffer.alloc(9 * 2 ** 20));
    else if (request.url === '/torn')
      response.writeHead(200, { 'content-length': 100 }).write('a', () => request.socket.destroy());
    else if (request.url === '/order.yaml') response.end('a: 1\n');
    else response.writeHead(404).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const get = (path: string) => fetchRemote(new URL(path, base), { ca });

test('a file is fetched from an address that is listed as it stands', async () => {
  expect(await get('/order.yaml')).toBe('a: 1\n');
});

test.each([
  ['/moved', 'the host answers 302, and redirects are not followed'],
  ['/none', 'the host answers 404'],
  ['/large', 'the file is larger than 8 MiB'],
  ['/torn', 'the connection broke off'],
])('%s is refused: %s', async (path, message) => {
  await expect(get(path)).rejects.toThrow(message);
});

test('a certificate that nobody here trusts is refused', async () => {
  await expect(fetchRemote(new URL('/order.yaml', base))).rejects.toThrow(/certificate/);
});

test('a name that leads to a private address is refused before anything is sent', async () => {
  const before = asked;
  const url = new URL('/order.yaml', base.replace('127.0.0.1', 'localhost'));
  await expect(fetchRemote(url, { ca })).rejects.toThrow('the host has an address of a private or special network');
  expect(asked).toBe(before);
});

test('a password in the URL is refused', async () => {
  await expect(fetchRemote(new URL(base.replace('//', '//user:pass@')))).rejects.toThrow('the URL holds a password');
});

test.each([
  ['https://a.example.com/x', ['a.example.com'], true],
  ['https://a.example.com:443/x', ['a.example.com'], true],
  ['https://A.EXAMPLE.com/x', ['a.example.com'], true],
  ['https://a.example.com:8443/x', ['a.example.com'], false],
  ['https://a.example.com:8443/x', ['a.example.com:8443'], true],
  ['http://a.example.com/x', ['a.example.com'], false],
  ['https://b.a.example.com/x', ['a.example.com'], false],
  ['https://[2001:db8::1]/x', ['[2001:db8::1]'], true],
  ['https://0x7f.1/x', ['127.0.0.1'], true],
  ['https://127.0.0.1/x', ['a.example.com'], false],
] as const)('%s with %j listed: %s', (url, hosts, listed) => {
  expect(isListed(new URL(url), hosts)).toBe(listed);
});

test.each([
  ['8.8.8.8', true],
  ['2606:4700::1111', true],
  ['10.1.2.3', false],
  ['127.0.0.1', false],
  ['169.254.169.254', false],
  ['172.31.0.1', false],
  ['192.168.0.1', false],
  ['100.64.0.1', false],
  ['0.0.0.0', false],
  ['255.255.255.255', false],
  ['::1', false],
  ['::', false],
  ['::ffff:10.0.0.1', false],
  ['::ffff:8.8.8.8', false],
  ['64:ff9b::a00:1', false],
  ['2002:a00:1::', false],
  ['fd00::1', false],
  ['fe80::1', false],
  ['ff02::1', false],
  ['not an address', false],
])('%s is public: %s', (address, open) => {
  expect(isPublic(address)).toBe(open);
});
