// Whatever dies is serving again at once, and says so.

import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { launchFront, startFront } from '../support/front.js';
import { ask, connect } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { freePort } from '../support/ports.js';
import { pause, until } from '../support/waiting.js';

const BACK_WITHIN_MS = 3000;

const origin = await httpOrigin((_, response) => response.end('ok'));
const front = await startFront({ 'api.test': { origin: origin.url } });
const { gateway } = front;
const caller = front.caller('api.test');

test('a gateway process that is killed is serving again within 3 seconds', async () => {
  const client = await connect(caller);
  const killed = gateway.pid;
  process.kill(killed, 'SIGKILL');
  const since = Date.now();
  await client.closed;
  await until(served, BACK_WITHIN_MS);
  expect(Date.now() - since).toBeLessThan(BACK_WITHIN_MS);
  await until(() => gateway.pid !== killed);
  await gateway.logged('died and is started again');
  await gateway.ready();
});

test('it comes back every time', async () => {
  for (let turn = 0; turn < 3; turn++) {
    const killed = gateway.pid;
    process.kill(killed, 'SIGKILL');
    await until(served, BACK_WITHIN_MS);
    await until(() => gateway.pid !== killed);
  }
});

test('records of exchanges go on where they went before', async () => {
  await ask(caller, '/after-the-kill');
  const event = await gateway.event(({ ClientRequestPath }) => ClientRequestPath === '/after-the-kill');
  expect(event.EdgeResponseStatus).toBe(200);
});

test('a gateway process whose supervisor is killed ends by itself', async () => {
  const lone = await startFront({ 'api.test': { origin: origin.url } }, { config: { drain: { grace: '100ms' } } });
  const { pid } = lone.gateway;
  lone.gateway.signal('SIGKILL');
  await lone.gateway.ended;
  await until(() => !lives(pid));
});

test('a port that is left to the system is one for all edge threads', async () => {
  const config = { listen: { https: '127.0.0.1:0', admin: `127.0.0.1:${await freePort()}` } };
  const any = await launchFront({ 'api.test': { origin: origin.url } }, { config });
  await any.gateway.logged('"msg":"serving"', 20_000);
  const port = Number(/"https":(\d+)/.exec(any.gateway.log)?.[1]);
  for (let turn = 0; turn < 10; turn++) {
    expect((await ask({ ...any.caller('api.test'), port }, '/')).status).toBe(200);
  }
});

async function served(): Promise<boolean> {
  const answer = await ask(caller, '/').catch(() => null);
  if (answer === null) await pause(20);
  return answer?.status === 200;
}

/** A zombie that nobody has waited for is dead, too. */
function lives(pid: number): boolean {
  try {
    return !/^Z/.test(
      execFileSync('ps', ['-o', 'stat=', '-p', String(pid)])
        .toString()
        .trim(),
    );
  } catch {
    return false;
  }
}
