// A person in front of the command line: questions, secrets without echo, progress; and a real terminal.

import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { progress } from '../../src/manage/cli/progress.js';
import { confirm, newSecret, secret, type Terminal } from '../../src/manage/cli/terminal.js';
import { lengthOf, whenGone, whenPast } from '../../src/manage/cli/time.js';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { needs } from '../support/needs.js';
import { type Authority, authority } from '../support/pki.js';
import { stubAdmin } from '../support/stub-admin.js';
import { portcullis } from '../support/terminal.js';

const TOKEN = 'pct_0123456789ab_secret_01234567';

describe('questions', () => {
  test.each([
    ['y\n', true],
    ['YES\r', true],
    ['\n', false],
    ['n\n', false],
    ['yesterday\n', false],
  ])('%j is yes: %s', async (typed, yes) => {
    const { terminal } = fake(typed);
    const asked = confirm(terminal, 'Really?', undefined);
    await (yes ? asked : expect(asked).rejects.toThrow('nothing was done'));
  });

  test('the end of input is no', async () => {
    const { terminal, input } = fake('');
    input.end();
    await expect(confirm(terminal, 'Really?', undefined)).rejects.toThrow();
  });

  test('a question shows no control characters of what it asks about', async () => {
    const { terminal, said } = fake('y\n');
    await confirm(terminal, 'Revoke a\u001b[2Kb\n?', undefined);
    expect(said()).toBe('Revoke a [2Kb ? [y/N] ');
  });
});

describe('secrets', () => {
  test('are read raw, echoed never; erasing works', async () => {
    const { terminal, said, raw } = fake('pasx\u007fsw\n');
    expect(await secret(terminal, 'password', 'a file')).toBe('passw');
    expect(said()).toBe('password: \n');
    expect(raw).toEqual([true, false]);
  });

  test('an interrupt ends the question, and the terminal is as before', async () => {
    const { terminal, raw } = fake('abc\u0003');
    await expect(secret(terminal, 'password', 'a file')).rejects.toThrow('interrupted');
    expect(raw).toEqual([true, false]);
  });

  test('are typed twice where they are new, and may not be empty', async () => {
    expect(await newSecret(fake('same\nsame\n').terminal, 'password', 'a file')).toBe('same');
    await expect(newSecret(fake('same\nother\n').terminal, 'password', 'a file')).rejects.toThrow('not the same');
    await expect(newSecret(fake('\n\n').terminal, 'password', 'a file')).rejects.toThrow('empty');
  });

  test('more than a line could hold is refused', async () => {
    await expect(secret(fake('x'.repeat(5_000)).terminal, 'password', 'a file')).rejects.toThrow('4096');
  });
});

describe('progress', () => {
  test('is a bar on a terminal, and at most ten lines in a log', () => {
    for (const isTTY of [true, false]) {
      const { terminal, said } = fake('');
      Object.assign(terminal.error, { isTTY });
      const shown = progress(terminal, 'issuing\u001b', 1_000);
      for (let done = 1; done <= 1_000; done++) shown.step(done);
      shown.end();
      const text = said();
      expect(text.match(/\n/g)).toHaveLength(isTTY ? 1 : 10);
      expect(text).toContain(isTTY ? '[########################] 1000/1000' : 'issuing : 1000 of 1000\n');
    }
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-22T00:00:00Z');

  test('are lengths or dates', () => {
    expect(lengthOf('12h', '--x')).toBe(43_200_000);
    expect(whenGone('30d', '--x', now)).toBe('2026-12-22T00:00:00.000Z');
    expect(whenPast('2d', '--x', now)).toBe('2026-11-20T00:00:00.000Z');
    expect(whenGone('2027-01-31', '--x', now)).toBe('2027-01-31T00:00:00.000Z');
    expect(whenGone('2027-01-31T12:00:00+01:00', '--x', now)).toBe('2027-01-31T11:00:00.000Z');
  });

  test.each(['soon', '30', '-1d', '1w', '2027-13-45', '9999999d', '999999y', ''])('%j is neither', written => {
    expect(() => whenGone(written, '--x', now)).toThrow();
  });
});

describe('an admin API behind TLS', () => {
  let ours: Authority;
  let url: string;
  const files: Record<string, string> = {};
  beforeAll(async () => {
    ours = await authority('admin');
    const [server, client] = [await ours.server(['localhost']), await ours.client('ops')];
    const folder = temporaryFolder();
    const keep = (name: string, content: string) => {
      files[name] = join(folder, name);
      writeFileSync(files[name], content);
    };
    keep('ca', ours.pem);
    keep('cert', client.cert);
    keep('key', client.key);
    keep('other', (await authority('other')).pem);
    const tls = { cert: server.cert, key: server.key, ca: ours.pem, requestCert: true };
    const https = createServer(tls, (_, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ items: [], next: null }));
    });
    await new Promise<void>(resolve => https.listen(0, '127.0.0.1', resolve));
    atTheEnd(() => https.close());
    url = `https://localhost:${(https.address() as AddressInfo).port}`;
  });

  test('is reached with its authority and a client certificate', async () => {
    const identity = ['--client-cert', files.cert ?? '', '--client-key', files.key ?? ''];
    const ran = await portcullis(['token', 'list', '--admin', url, '--ca', files.ca ?? '', ...identity]);
    expect(ran, ran.error).toMatchObject({ exit: 0 });
  });

  test('is not believed with another authority, nor by another name', async () => {
    const other = await portcullis(['token', 'list', '--admin', url, '--ca', files.other ?? '']);
    expect(other.exit).toBe(3);
    expect(other.error).toContain('`--ca authority.pem`');
    const none = await portcullis(['token', 'list', '--admin', url]);
    expect(none.exit).toBe(3);
    const named = url.replace('localhost', '127.0.0.2');
    const wrong = await portcullis(['token', 'list', '--admin', named, '--ca', files.ca ?? '']);
    expect(wrong.exit).toBe(3);
  });

  test('plain HTTP spoken to it is told as such', async () => {
    const plain = url.replace('https:', 'http:');
    const ran = await portcullis(['token', 'list', '--admin', plain]);
    expect(ran.exit).toBe(3);
    expect(ran.error).toContain('does it want https there?');
  });

  test('a file that is no certificate is a mistake of the command line', async () => {
    const odd = ['--client-cert', files.ca ?? '', '--client-key', files.other ?? ''];
    const ran = await portcullis(['token', 'list', '--admin', url, ...odd]);
    expect(ran.exit).toBe(2);
  });
});

needs('script')('in a real terminal a typed token is not echoed', async () => {
  const { url } = await stubAdmin({ 'GET /me': { body: { name: 'ops', role: 'viewer' } } });
  const line = `${process.execPath} dist/main.js login --admin ${url}`;
  const env = { ...process.env, HOME: temporaryFolder(), XDG_CONFIG_HOME: '', PORTCULLIS_TOKEN: '' };
  const child = spawn('script', ['-qec', line, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  let shown = '';
  let typed = false;
  child.stdout.on('data', piece => {
    shown += piece;
    if (!typed && shown.includes('token: ')) {
      typed = true;
      child.stdin.write(`${TOKEN}\r`);
    }
  });
  const code = await new Promise(resolve => child.on('close', resolve));
  expect(shown).toContain('ops (viewer)');
  expect(shown).not.toContain('secret');
  expect(code).toBe(0);
});

needs('bash')('whoever reads no more ends the command, without a complaint', () => {
  const line = `set -o pipefail; ${process.execPath} dist/main.js completion bash | head -1; echo "\${PIPESTATUS[0]}"`;
  const { stdout, stderr } = spawnSync('bash', ['-c', line]);
  expect(stdout.toString()).toMatch(/^# Completion.*\n0\n$/);
  expect(stderr.toString()).toBe('');
});

/** A terminal on which `typed` is typed. */
function fake(typed: string) {
  const input = new PassThrough();
  const error = new PassThrough();
  const raw: boolean[] = [];
  Object.assign(input, { isTTY: true, setRawMode: (on: boolean) => raw.push(on) });
  let text = '';
  error.on('data', piece => {
    text += piece;
  });
  input.write(typed);
  const terminal: Terminal = { input, output: new PassThrough(), error, env: {}, home: '/nowhere', now: Date.now };
  return { terminal, input, raw, said: () => text };
}
