// Servers of key sets that are slow, endless, compressed, changed or simply wrong: each costs a bounded time and memory,
// and the last good set serves on.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { FETCH_MS } from '../../src/manage/jwt/key-set.js';
import { atTheEnd } from '../support/cleanup.js';
import { authority } from '../support/pki.js';
import { keySet, type Provider, plan, provider, refreshing, sends } from '../support/provider.js';
import { sqlitePlace } from '../support/stores.js';

/** Of a fetch, that of a busy machine included. */
const BOUND_MS = 1_500;
/** Shorter than in earnest, so that all of them are tried; the real one is tried below. */
const fetchMs = 500;
const MEMORY_BYTES = 48 * 2 ** 20;

const store = await (await sqlitePlace()).open();
const from = await provider();
const JSON_TYPE = { 'content-type': 'application/json' };

/** Puts bytes in again and again, as fast as they are taken. */
const endless =
  (piece: Buffer, headers: Record<string, string> = JSON_TYPE): Provider['answer'] =>
  (_, response) => {
    response.writeHead(200, headers);
    const more = () => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    more();
  };

const slowly =
  (text: string, everyMs: number): Provider['answer'] =>
  (_, response) => {
    response.writeHead(200, JSON_TYPE);
    let at = 0;
    const timer = setInterval(() => response.write(text[at++ % text.length] ?? ' '), everyMs);
    response.on('close', () => clearInterval(timer));
  };

const slowHeaders: Provider['answer'] = (request, response) => {
  const timer = setInterval(() => request.socket.write('x'), 20);
  request.socket.write('HTTP/1.1 200 OK\r\nx-slow: ');
  response.on('close', () => clearInterval(timer));
  request.socket.on('close', () => clearInterval(timer));
};

const HOSTILE: [what: string, answer: Provider['answer'], error: string | RegExp][] = [
  ['says nothing', () => {}, 'no whole answer'],
  ['sends its headers a byte at a time', slowHeaders, /no whole answer|Headers Overflow|HPE/],
  ['sends its body a byte at a time', slowly(keySet('two'), 20), 'no whole answer'],
  ['never ends its body', endless(Buffer.alloc(64 * 1024, ' ')), 'too large'],
  [
    'never ends a compressed body',
    endless(gzipSync(Buffer.alloc(2 ** 20, ' ')), { ...JSON_TYPE, 'content-encoding': 'gzip' }),
    /larger than 1 MiB|too large/,
  ],
  [
    'compresses a thousandfold',
    sends(gzipSync(Buffer.alloc(64 * 2 ** 20, ' ')), { 'content-encoding': 'gzip' }),
    'larger than 1 MiB',
  ],
  ['compresses in an unknown way', sends('x', { 'content-encoding': 'zstd' }), 'is encoded (zstd)'],
  [
    'says that it is compressed and is not',
    sends(keySet('two'), { 'content-encoding': 'gzip' }),
    'compressed with is broken',
  ],
  ['is larger than 1 MiB', sends(`{"keys":[${' '.repeat(2 ** 20)}]}`), /too large|larger than/],
  [
    'says that it is larger',
    (_, response) => response.writeHead(200, { ...JSON_TYPE, 'content-length': '99999999' }).write('{'),
    'larger than 1 MiB',
  ],
  [
    'breaks off',
    (_, response) =>
      response.writeHead(200, { ...JSON_TYPE, 'content-length': '100' }).write('{', () => response.destroy()),
    'broke off',
  ],
  ['has changed its type', sends(keySet('two'), { 'content-type': 'text/html' }), 'the answer is text/html'],
  ['has no type any more', (_, response) => response.writeHead(200).end(keySet('two')), 'of no type'],
  ['redirects', (_, response) => response.writeHead(302, { location: '/other' }).end(), 'redirects are not followed'],
  [
    'redirects to the inside',
    (_, response) => response.writeHead(302, { location: 'https://169.254.169.254/' }).end(),
    'redirects are not',
  ],
  ['fails', (_, response) => response.writeHead(500).end(), 'answers 500'],
  ['wants a password', (_, response) => response.writeHead(401).end(), 'answers 401'],
  ['has nothing there', (_, response) => response.writeHead(404, JSON_TYPE).end(keySet('two')), 'answers 404'],
  ['has nothing to say', (_, response) => response.writeHead(204).end(), 'answers 204'],
  ['says that nothing changed, unasked', (_, response) => response.writeHead(304).end(), 'answers 304'],
  ['sends what is no JSON', sends('<html>'), 'is not JSON'],
  ['sends nothing', sends(''), 'is not JSON'],
  ['sends what is not UTF-8', sends(Buffer.from([0x7b, 0xff, 0x7d])), 'not UTF-8'],
  ['sends other JSON', sends('{"error":"unavailable"}'), 'no JWK Set'],
  ['sends a list', sends('[]'), 'no JWK Set'],
  ['sends an empty set', sends('{"keys":[]}'), 'no usable key'],
  ['sends keys of unknown types alone', sends('{"keys":[{"kty":"PQC","kid":"two"}]}'), 'no usable key'],
];

test.each(HOSTILE)('a provider that %s leaves the last good set', async (_, answer, error) => {
  from.answer = sends(keySet('one'));
  const { begin, refresh, native, state } = refreshing(store, { fetchMs });
  await begin(plan(from));
  from.answer = answer;
  const [began, memory] = [performance.now(), process.memoryUsage().rss];
  await refresh.find('customers')?.force();
  expect(performance.now() - began).toBeLessThan(BOUND_MS);
  expect(process.memoryUsage().rss - memory).toBeLessThan(MEMORY_BYTES);
  expect(state()?.error?.message).toMatch(error);
  expect(state()?.state).toBe('failing');
  expect(native.kids()).toEqual(['one']);
  // And it is taken up again as soon as it is well.
  from.answer = sends(keySet('two'));
  await refresh.find('customers')?.fetch();
  expect(native.kids()).toEqual(['two']);
});

test(`in earnest a fetch takes ${FETCH_MS} ms at most, from the first byte asked for to the last one read`, async () => {
  from.answer = slowly(keySet('two'), 100);
  const { begin, state } = refreshing(store, { firstMs: 60_000 });
  const began = performance.now();
  await begin(plan(from, { name: 'never' }));
  expect(performance.now() - began).toBeLessThan(FETCH_MS + BOUND_MS);
  expect(state('never')).toMatchObject({ state: 'missing', error: { message: 'no whole answer within 5 s' } });
});

test('what asks again meanwhile does not bring a hostile provider more than one connection', async () => {
  from.answer = () => {};
  from.asked.length = 0;
  const { clock, refresh, native } = refreshing(store, { fetchMs });
  refresh.adopt([plan(from, { name: 'silent' })]);
  const ticks = Array.from({ length: 100 }, () => {
    native.lacking = ['silent'];
    return clock.advance(250, [refresh], 1);
  });
  await Promise.all(ticks);
  expect(from.asked).toHaveLength(1);
});

/** Each configuration with a name of its own: the store keeps what the one before had. */
let named = 0;
const keysIn = async (changes: Parameters<typeof plan>[1], answer = sends(keySet('one'))) => {
  from.answer = answer;
  const { begin, native, state } = refreshing(store, { fetchMs });
  const name = `fresh-${++named}`;
  await begin(plan(from, { name, ...changes }));
  return native.kids(name) ?? state(name)?.error?.message;
};

test.each([
  ['a loopback address', () => from.url],
  ['a name that leads to one', () => from.url.replace('127.0.0.1', 'localhost')],
  ['the address of a cloud’s metadata', () => 'https://169.254.169.254/'],
  ['the same in IPv6', () => 'https://[::ffff:a9fe:a9fe]/'],
])('%s is not asked unless that is allowed', async (_, url) => {
  from.asked.length = 0;
  expect(await keysIn({ url: url(), allowPrivateAddresses: false })).toContain('private or special network');
  expect(from.asked).toHaveLength(0);
});

test('redirects are followed where that is allowed, three of them, and never to plain HTTP', async () => {
  const steps =
    (last: Provider['answer']): Provider['answer'] =>
    (request, response) => {
      const at = Number(request.url?.slice(1) ?? 0);
      if (at === 3) last(request, response);
      else response.writeHead(307, { location: `/${at + 1}` }).end();
    };
  expect(await keysIn({ allowRedirects: true }, steps(sends(keySet('there'))))).toEqual(['there']);
  const away =
    (location: string): Provider['answer'] =>
    (_, response) =>
      response.writeHead(302, { location }).end();
  expect(await keysIn({ allowRedirects: true }, steps(away('/4')))).toContain('more than 3 redirects');
  expect(await keysIn({ allowRedirects: true }, away('http://127.0.0.1/'))).toContain('http: is not fetched');
  expect(await keysIn({ allowRedirects: true, allowHttp: true }, away('http://127.0.0.1/'))).toContain(
    'from https: to',
  );
  expect(await keysIn({ allowRedirects: true }, away('file:///etc/passwd'))).toContain('file: is not fetched');
});

test('a server whose certificate is not trusted, or is of another name, gives no keys', async () => {
  expect(await keysIn({ ca: null })).toMatch(/self-signed|unable to (get|verify)/i);
  const stranger = await authority('provider');
  expect(await keysIn({ ca: stranger.pem })).toMatch(/certificate|signature/i);
  const { cert, key } = await stranger.server(['localhost'], {
    alternativeNames: [{ type: 'dns', value: 'other.example' }],
  });
  const server = createTlsServer({ cert, key }, socket => socket.end()).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  atTheEnd(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  expect(await keysIn({ ca: stranger.pem, url })).toMatch(/altnames/i);
});

test('a TLS handshake that never ends is left after the same time', async () => {
  const server = createTcpServer(() => {}).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  atTheEnd(() => server.close());
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const began = performance.now();
  expect(await keysIn({ url })).toContain('no whole answer');
  expect(performance.now() - began).toBeLessThan(BOUND_MS);
});

test('plain HTTP gives keys only where that is allowed', async () => {
  const server = createServer((request, response) => sends(keySet('plain'))(request, response)).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  atTheEnd(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  expect(await keysIn({ url })).toContain('http: is not fetched');
  expect(await keysIn({ url, allowHttp: true, ca: null })).toEqual(['plain']);
});
