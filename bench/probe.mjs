// One request at a time over mTLS: to wait for a gateway, and to prove that it does what is measured.

import { readFileSync } from 'node:fs';
import { request as requestPlain } from 'node:http';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { POST_BODY } from './orders.mjs';

// Node's start and the compilation of 10,000 rules on a busy machine.
const READY_MS = 20_000;

/** Answers `{ status, body }`; status 0 when there was no HTTP answer. `certificate: false` presents none, `plain` uses no TLS. */
export function ask(
  place,
  port,
  { method = 'GET', path = '/orders/1', headers: extra = {}, body, certificate = true, plain = false } = {},
) {
  const identity = certificate ? { cert: readFileSync(place.pki.client), key: readFileSync(place.pki.clientKey) } : {};
  const headers = { host: `localhost:${port}`, 'user-agent': 'bench', ...extra };
  if (body !== undefined) Object.assign(headers, { 'content-type': 'application/json', 'content-length': body.length });
  return new Promise(resolve => {
    const options = { host: '127.0.0.1', port, method, path, headers, servername: 'localhost', agent: false };
    const ca = readFileSync(place.pki.serverCa);
    const sent = (plain ? requestPlain : request)({ ...options, ca, timeout: 5_000, ...identity }, answer => {
      let text = '';
      answer.setEncoding('utf8').on('data', part => {
        text += part;
      });
      answer.on('close', () => resolve({ status: answer.statusCode, body: text }));
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', error => resolve({ status: 0, body: error.message }));
    sent.end(body);
  });
}

/** `headers` of the gateway come with every request. Waits until it answers, then shows that it proxies for a client certificate and not without one. */
export async function prove(place, gateway, more = [], readyMs = READY_MS) {
  const { plain, headers } = gateway;
  const deadline = performance.now() + readyMs;
  let answer = await ask(place, gateway.port, { plain, headers });
  while (answer.status !== 200) {
    const ended = await Promise.race([gateway.program.ended, sleep(100, null)]);
    if (ended !== null || performance.now() > deadline) {
      const { out, err } = gateway.program;
      throw new Error(`${gateway.name} does not serve: ${answer.status} ${answer.body}\n${(out + err).slice(-3_000)}`);
    }
    answer = await ask(place, gateway.port, { plain, headers });
  }
  const facts = [
    ...(plain ? [] : [CERTIFICATE]),
    {
      what: 'forwards a POST',
      ask: { method: 'POST', path: '/orders', body: POST_BODY },
      holds: at => at.status === 201,
    },
    ...more,
  ];
  for (const fact of facts) {
    const seen = await ask(place, gateway.port, { ...fact.ask, plain, headers: { ...headers, ...fact.ask.headers } });
    if (!fact.holds(seen))
      throw new Error(`${gateway.name} should be one that ${fact.what}: ${seen.status} ${seen.body}`);
  }
  return gateway;
}

const CERTIFICATE = {
  what: 'refuses a client without a certificate',
  ask: { certificate: false },
  holds: at => at.status === 0 || at.status >= 400,
};
