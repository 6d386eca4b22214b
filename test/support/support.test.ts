// The tests' own tools, tried against OpenSSL and Node: a test is worth what its certificates and clients are.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { atTheEnd, temporaryFolder } from './cleanup.js';
import { ask, connect } from './https.js';
import { needs } from './needs.js';
import { httpOrigin, rawOrigin } from './origin.js';
import { type Authority, authority, hours, type Identity } from './pki.js';
import { fromPypi } from './pypi.js';

const openssl = needs('openssl');

openssl('OpenSSL accepts a good client certificate and names what is wrong with the others', async () => {
  const root = await authority('root');
  const issuing = await root.intermediate('issuing', { pathLength: 0 });
  const revoked = await issuing.client('revoked');
  const crls = [await root.crl([]), await issuing.crl([revoked])];
  const verdict = async (identity: Identity | Promise<Identity>) => verify(await identity, root, [issuing], crls);

  expect(await verdict(issuing.client('good'))).toBe('OK');
  expect(await verdict(issuing.client('rsa', { key: 'RSA-2048' }))).toBe('OK');
  expect(await verdict(issuing.client('p384', { key: 'P-384', hash: 'SHA-384' }))).toBe('OK');
  expect(await verdict(issuing.client('late', { notAfter: hours(-1) }))).toContain('certificate has expired');
  expect(await verdict(issuing.client('early', { notBefore: hours(1) }))).toContain('not yet valid');
  expect(await verdict(issuing.server(['localhost']))).toContain('unsuitable certificate purpose');
  expect(await verdict((await authority('stranger')).client('lost'))).toContain('unable to get local issuer');
  expect(await verdict(revoked)).toContain('certificate revoked');
});

openssl('a certificate without extensions is of version 1', async () => {
  const { certificate } = await (await authority('root')).clientVersion1('old');
  expect(certificate.extensions).toEqual([]);
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: certificate.toString('pem') });
  expect(text.toString()).toContain('Version: 1 (0x0)');
});

test('the raw client reads pipelined, chunked and empty responses', async () => {
  const root = await authority('root');
  const identity = await root.server(['localhost']);
  const server = createServer(identity, (request, response) => {
    if (request.url === '/chunked') response.write('one ');
    if (request.url === '/empty') response.writeHead(204);
    response.end(request.url === '/empty' ? undefined : request.url);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => server.close());
  const caller = { port: (server.address() as AddressInfo).port, host: 'localhost', ca: root.pem };

  const client = await connect(caller);
  client.send(['/chunked', '/empty', '/plain'].map(path => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(''));
  expect(await client.response()).toMatchObject({ status: 200, body: 'one /chunked' });
  expect(await client.response()).toMatchObject({ status: 204, body: '' });
  expect(await client.response()).toMatchObject({ status: 200, body: '/plain' });
  client.close();
  expect(await ask(caller, '/plain')).toMatchObject({ status: 200, body: '/plain' });
});

test('origins remember what reached them', async () => {
  const polite = await httpOrigin();
  expect(await (await fetch(polite.url, { method: 'POST', body: 'hello' })).text()).toBe('hello');
  expect(polite.arrived).toMatchObject([{ method: 'POST', url: '/', body: Buffer.from('hello') }]);

  const rude = await rawOrigin(async connection => {
    expect(await connection.head()).toMatch(/^GET \/x HTTP\/1\.1\r\n/);
    connection.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  });
  expect(await (await fetch(`${rude.url}/x`)).text()).toBe('ok');
});

function verify(identity: Identity, root: Authority, intermediates: Authority[], crls: string[]): string {
  const folder = temporaryFolder();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const args = ['verify', '-x509_strict', '-purpose', 'sslclient', '-crl_check_all'];
  args.push('-CAfile', file('root.pem', root.pem), '-CRLfile', file('crls.pem', crls.join('')));
  args.push('-untrusted', file('intermediates.pem', intermediates.map(({ pem }) => pem).join('')));
  try {
    execFileSync('openssl', [...args, file('leaf.pem', identity.cert)], { stdio: 'pipe' });
    return 'OK';
  } catch (error) {
    return String((error as { stderr: Buffer }).stderr);
  }
}

test('a package of PyPI is installed when it is asked for, whole or not at all, and once', () => {
  const folder = temporaryFolder();
  const python = join(folder, 'python3');
  const [log, cache] = [join(folder, 'log'), join(folder, 'cache')];
  const says = (...lines: string[]) => writeFileSync(python, ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o700 });
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  says(`echo "$@" >>${log}`, 'for word; do target=$last last=$word; done', 'touch $target/half', 'exit 1');
  expect(fromPypi('some', '1.0', ['--no-deps'], cache)).toBeNull();
  expect(readdirSync(cache)).toEqual([]);
  says(`echo "$@" >>${log}`);
  for (let times = 0; times < 2; times++) expect(fromPypi('some', '1.0', [], cache)).toBe(join(cache, 'some-1.0'));
  expect(readdirSync(cache)).toEqual(['some-1.0']);
  expect(readFileSync(log, 'utf8').match(/^-m pip install .*some==1\.0$/gm)).toHaveLength(2);
});
