// A gateway is replaced by another while clients go on: none is refused, and no request is cut that ends in time.

import { expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { ask, connect } from '../support/https.js';
import { httpOrigin } from '../support/origin.js';
import { until } from '../support/waiting.js';

const origin = await httpOrigin((_, response) => response.end('ok'));

test('x', async () => {
  const front = await startFront({ 'api.test': { origin: origin.url } });
  const { gateway } = front;
  const before = gateway.pid;
  const answer = await gateway.ask('/admin/v1/upgrade', { method: 'POST' });
  console.log(answer.status, await answer.text());
  expect((await ask(front.caller('api.test'), '/')).status).toBe(200);
  console.log(gateway.log);
  gateway.signal('SIGUSR2');
  await new Promise(r => setTimeout(r, 3000));
  gateway.writeConfig({ hosts: {} });
  const again = await gateway.ask('/admin/v1/upgrade', { method: 'POST' });
  console.log(again.status, await again.text());
  console.log(gateway.log);
});
