// `portcullis upgrade`, and the operation behind it, before a gateway that answers what the test says.

import { beforeAll, describe, expect, test } from 'vitest';
import { prepareAdmin } from '../../src/manage/admin/server.js';
import type { Upgraded } from '../../src/manage/messages.js';
import { type Admin, adminApi } from '../support/admin.js';
import { atTheEnd } from '../support/cleanup.js';
import { anySocket } from '../support/ports.js';
import { portcullis } from '../support/terminal.js';

const DONE: Upgraded = { upgraded: true, version: '1.2.3', process: 12 };
const BUSY: Upgraded = { upgraded: false, why: 'busy', message: 'an upgrade is under way', problems: [] };
const BROKEN: Upgraded = {
  ...{ upgraded: false, why: 'failed', message: 'the configuration was refused' },
  problems: [
    {
      severity: 'problem',
      file: 'portcullis.yaml',
      line: 12,
      column: 3,
      message: 'no host is served',
      hint: 'add one',
    },
  ],
};

let admin: Admin;
let url: string;
let result: Upgraded = DONE as Upgraded;
let asked = 0;

beforeAll(async () => {
  admin = await adminApi({
    gateway: {
      ready: () => true,
      metrics: async () => ({ contentType: 'text/plain', text: '' }),
      reload: async () => ({ applied: true, generation: 1 }),
      upgrade: async () => {
        asked++;
        return result;
      },
    },
  });
  const server = await prepareAdmin(admin.app, null).listen(await anySocket());
  atTheEnd(() => server.close());
  url = `http://127.0.0.1:${server.port}`;
});

const command = (upgraded: Upgraded, ...args: string[]) => {
  result = upgraded;
  const env = { PORTCULLIS_ADMIN: url, PORTCULLIS_TOKEN: admin.token('operator') };
  return portcullis(['upgrade', ...args], { env });
};

describe('the command', () => {
  test('says which version serves', async () => {
    const { exit, out } = await command(DONE);
    expect([exit, out]).toEqual([0, expect.stringContaining('portcullis 1.2.3 serves, as process 12')]);
    expect(JSON.parse((await command(DONE, '-o', 'json')).out)).toEqual({ version: '1.2.3', process: 12 });
  });

  test('says why there is none', async () => {
    const { exit, error } = await command(BUSY);
    expect([exit, error]).toEqual([1, 'portcullis: There is no upgrade now.\n  an upgrade is under way.\n']);
  });

  test('says where the problems of the new configuration are, and what would do', async () => {
    const { exit, error } = await command(BROKEN);
    expect(exit).toBe(1);
    expect(error).toBe(
      'portcullis: The upgrade failed; the gateway before goes on.\n' +
        '  portcullis.yaml:12:3: no host is served\n    add one\n  the configuration was refused.\n',
    );
  });

  test('waits longer than a start may take', async () => {
    expect((await portcullis(['upgrade', '--help'], {})).out).toMatch(/--timeout <duration>.*\(default: "90s"\)/);
  });
});

test('it is for operators, and what was done is in the audit log', async () => {
  asked = 0;
  expect((await admin.ask('POST', '/upgrade', undefined, { role: 'viewer' })).status).toBe(403);
  expect((await admin.ask('POST', '/upgrade', undefined, { token: null })).status).toBe(401);
  expect(asked).toBe(0);
  result = BROKEN;
  expect((await admin.ask('POST', '/upgrade', undefined, { role: 'operator' })).body).toMatchObject({
    status: 422,
    problems: BROKEN.upgraded ? [] : BROKEN.problems,
  });
  result = DONE;
  expect((await admin.ask('POST', '/upgrade', undefined, { role: 'operator' })).status).toBe(200);
  const { body } = await admin.ask('GET', '/audit?action=gateway.upgrade');
  expect(body.items[0]).toMatchObject({ target: 'gateway', after: { version: '1.2.3', process: 12 } });
});
