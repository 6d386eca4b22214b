// How commands reach the admin API, prove who asks, and tell what went wrong.

import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/cleanup.js';
import { stubAdmin } from '../support/stub-admin.js';
import { portcullis } from '../support/terminal.js';

const TOKEN = 'pct_0123456789ab_secret_01234567';
const NO_TOKENS = { 'GET /tokens': { body: { items: [], next: null } } };

describe('where the admin API is', () => {
  test('`--admin` goes before PORTCULLIS_ADMIN, that before the configuration', async () => {
    const [option, variable, written] = await Promise.all([1, 2, 3].map(() => stubAdmin(NO_TOKENS)));
    const folder = temporaryFolder();
    const config = join(folder, 'portcullis.yaml');
    writeFileSync(config, `listen: { admin: "127.0.0.1:${new URL(written?.url ?? '').port}" }\nhosts: {}\n`);
    const env = { PORTCULLIS_ADMIN: variable?.url };
    await portcullis(['token', 'list', '--admin', option?.url ?? '', '-c', config], { env });
    await portcullis(['token', 'list', '-c', config], { env });
    await portcullis(['token', 'list', '-c', config]);
    expect([option, variable, written].map(stub => stub?.asked.length)).toEqual([1, 1, 1]);
  });

  test.each(['gateway:9090', 'ftp://gateway', 'http://gateway/admin', 'http://me:secret@gateway'])(
    '%s is no address of one',
    async admin => {
      const ran = await portcullis(['token', 'list', '--admin', admin]);
      expect(ran).toMatchObject({ exit: 2, out: '' });
      expect(ran.error).toContain('--admin is no address');
    },
  );

  test('a configuration that cannot be read is a mistake of the command line', async () => {
    const ran = await portcullis(['token', 'list', '-c', '/nowhere/portcullis.yaml']);
    expect(ran.exit).toBe(2);
  });
});

describe('who asks', () => {
  test('PORTCULLIS_TOKEN is sent as a bearer token', async () => {
    const { url, asked } = await stubAdmin(NO_TOKENS);
    await portcullis(['token', 'list', '--admin', url], { env: { PORTCULLIS_TOKEN: TOKEN } });
    expect(asked[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
  });

  test('`--token-file` goes before it, and must be readable for its owner alone', async () => {
    const { url, asked } = await stubAdmin(NO_TOKENS);
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, `${TOKEN}\n`, { mode: 0o600 });
    const args = ['token', 'list', '--admin', url, '--token-file', file];
    expect((await portcullis(args, { env: { PORTCULLIS_TOKEN: 'other' } })).exit).toBe(0);
    expect(asked[0]?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    chmodSync(file, 0o640);
    const ran = await portcullis(args);
    expect(ran.exit).toBe(2);
    expect(ran.error).toContain(`chmod 600 ${file}`);
    expect(asked.length).toBe(1);
  });

  test('login checks a typed token without echo and keeps it for this gateway alone', async () => {
    const home = temporaryFolder();
    const me = { body: { name: 'ops', role: 'operator' } };
    const [ours, other] = await Promise.all([1, 2].map(() => stubAdmin({ ...NO_TOKENS, 'GET /me': me })));
    const ran = await portcullis(['login', '--admin', ours?.url ?? ''], { home, typed: [TOKEN] });
    expect(ran).toMatchObject({ exit: 0 });
    expect(ran.out + ran.error).not.toContain(TOKEN);
    const file = join(home, '.config/portcullis/token');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await portcullis(['token', 'list', '--admin', ours?.url ?? ''], { home });
    await portcullis(['token', 'list', '--admin', other?.url ?? ''], { home });
    expect(ours?.asked.at(-1)?.headers.authorization).toBe(`Bearer ${TOKEN}`);
    expect(other?.asked.at(-1)?.headers.authorization).toBeUndefined();
    expect((await portcullis(['logout'], { home })).exit).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('');
  });

  test('login keeps nothing that the gateway does not know', async () => {
    const home = temporaryFolder();
    const { url } = await stubAdmin({ 'GET /me': { status: 401, body: { title: 'Who asks?' } } });
    const ran = await portcullis(['login', '--admin', url], { home, typed: [TOKEN] });
    expect(ran.exit).toBe(3);
    expect(existsSync(join(home, '.config/portcullis/token'))).toBe(false);
  });

  test('a kept token that others can read is not used', async () => {
    const home = temporaryFolder();
    mkdirSync(join(home, '.config/portcullis'), { recursive: true });
    writeFileSync(join(home, '.config/portcullis/token'), `http://127.0.0.1:9090 ${TOKEN}\n`, { mode: 0o644 });
    const ran = await portcullis(['token', 'list'], { home });
    expect(ran.exit).toBe(2);
    expect(ran.error).not.toContain(TOKEN);
  });

  test('a token is not sent in the clear beyond this machine', async () => {
    const env = { PORTCULLIS_TOKEN: TOKEN };
    const ran = await portcullis(['token', 'list', '--admin', 'http://192.0.2.1:9090'], { env });
    expect(ran.exit).toBe(2);
    expect(ran.error).toContain('in the clear');
  });

  test('a token with a line break in it never becomes a header', async () => {
    const { url, asked } = await stubAdmin(NO_TOKENS);
    const env = { PORTCULLIS_TOKEN: `${TOKEN}\r\nX-Evil: 1` };
    const ran = await portcullis(['token', 'list', '--admin', url], { env });
    expect(ran).toMatchObject({ exit: 2 });
    expect(asked).toEqual([]);
  });
});

describe('what went wrong', () => {
  test('nothing listens: exit code 3, and what would do', async () => {
    const port = await freePort();
    const ran = await portcullis(['token', 'list', '--admin', `http://127.0.0.1:${port}`]);
    expect(ran).toMatchObject({ exit: 3, out: '' });
    expect(ran.error).toContain('nothing listens there');
    expect(ran.error).toContain('portcullis run');
  });

  test('no answer in time: exit code 3', async () => {
    const server = createServer(() => {});
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const ran = await portcullis(['token', 'list', '--admin', `http://127.0.0.1:${port}`, '--timeout', '1s']);
    server.close();
    expect(ran.exit).toBe(3);
    expect(ran.error).toContain('no whole answer within 1 s');
  });

  test.each([
    [400, 1],
    [401, 3],
    [403, 3],
    [404, 1],
    [409, 1],
    [412, 1],
    [422, 1],
    [500, 1],
    [503, 1],
  ])('a refusal with %i is exit code %i, with its title, errors and detail', async (status, exit) => {
    const problem = {
      title: 'It is not as described.',
      detail: 'Say it otherwise.',
      errors: [{ pointer: '/name', detail: 'is no name' }],
    };
    const { url } = await stubAdmin({ 'GET /tokens': { status, body: problem } });
    const ran = await portcullis(['token', 'list', '--admin', url]);
    expect(ran).toMatchObject({ exit, out: '' });
    expect(ran.error).toContain('portcullis: It is not as described.\n  /name: is no name\n  Say it otherwise.\n');
  });

  test('a refusal cannot steer the terminal', async () => {
    const body = { title: 'No\u001b[2J\u009b31m', detail: 'or\n\u202eelse' };
    const { url } = await stubAdmin({ 'GET /tokens': { status: 409, body } });
    const { error } = await portcullis(['token', 'list', '--admin', url]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(error.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    expect(error.split('\n')).toEqual(['portcullis: No [2J 31m', '  or  else', '']);
  });

  test('what is no admin API is said to be none', async () => {
    const html = { body: '<html>', headers: { 'content-type': 'text/html' } };
    const { url } = await stubAdmin({ 'GET /tokens': html });
    const ran = await portcullis(['token', 'list', '--admin', url]);
    expect(ran.exit).toBe(3);
    expect(ran.error).toContain('is this the admin API');
  });

  test.each([
    ['an unknown command', ['mtsl']],
    ['an unknown option', ['token', 'list', '--al']],
    ['a missing argument', ['token', 'create']],
    ['a role that is none', ['token', 'create', 'x', '--role', 'root']],
    ['a time that is none', ['token', 'create', 'x', '--expires', 'soon']],
    ['a timeout that is none', ['token', 'list', '--timeout', 'long']],
    ['half a client certificate', ['token', 'list', '--client-cert', 'x.pem']],
  ])('%s is exit code 2', async (_, args) => {
    expect((await portcullis(args)).exit).toBe(2);
  });
});

test('all pages of a list are one answer', async () => {
  const one = { id: 'a', name: 'a', role: 'viewer', created_at: '2026-01-01T00:00:00Z', created_by: 'x' };
  const dates = { expires_at: null, last_used_at: null, revoked_at: null };
  const { url } = await stubAdmin({
    'GET /tokens': ({ query }) => ({
      body: query.cursor
        ? { items: [{ ...one, ...dates, id: 'b' }], next: null }
        : { items: [{ ...one, ...dates }], next: 'two' },
    }),
  });
  const { out } = await portcullis(['token', 'list', '--admin', url, '-o', 'json']);
  expect(JSON.parse(out)).toMatchObject({ items: [{ id: 'a' }, { id: 'b' }], next: null });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}
