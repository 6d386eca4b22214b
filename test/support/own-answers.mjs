// A process with real edge threads whose main thread answers own paths as a test wants it. Started with fork(); told
// what to do by messages.
//
//     { port, certificate, key, authority, known, origin }   starts; answers 'started', or { error }
//     'state'      answers { waiting, lines, metrics }: requests that wait for an answer, event lines so far
//     'seen'       answers the certificates that requests came with since it was asked last
//     'release'    answers what waits
//     'stop'       drains, and ends with 0
//
// The answer is JSON of what the main thread was told. Paths of EST under the label `wait` wait until released, under
// `throw` fail, under `header` answer with a header that would split the response.

import { readFileSync } from 'node:fs';
import { startWorker } from '../../dist/manage/edge-thread.js';
import { Edges } from '../../dist/manage/edges.js';
import * as native from '../../dist/native.js';

const waiting = [];
const buffer = new Uint8Array(1024 * 1024);
let lines = '';
let edges;

process.on('message', async message => {
  if (message === 'release') for (const resolve of waiting.splice(0)) resolve();
  else if (message === 'state') {
    lines += Buffer.from(buffer.subarray(0, native.drain(buffer))).toString();
    process.send({ waiting: waiting.length, lines, metrics: JSON.parse(native.metrics()) });
  } else if (message === 'seen') process.send(JSON.parse(native.seen()));
  else if (message === 'stop') process.exit((await edges.stop(2000)) === 0 ? 0 : 1);
  else process.send(await start(message).catch(error => ({ error: error.message })));
});

async function answer(request, body) {
  const [, label] = /\/est\/(\w+)\//.exec(request.path) ?? [];
  if (label === 'wait') await new Promise(resolve => waiting.push(resolve));
  if (label === 'throw') throw new Error('on purpose');
  const headers = [['Content-Type', 'application/json']];
  if (label === 'header') headers.push(['X-Name', 'a\r\nSet-Cookie: b=c']);
  return { status: 201, headers, body: JSON.stringify({ ...request, body: Buffer.from(body).toString() }) };
}

async function start({ port, certificate, key, authority, known, origin }) {
  const host = { host: 'api.test', certificate, key, clientAuthorities: known };
  const timeouts = { connect_timeout_ms: 1000, first_byte_timeout_ms: 5000, idle_timeout_ms: 5000 };
  const policy = {
    authorities: [{ name: 'devices', at: '/authorities/devices', certificates: readFileSync(authority, 'utf8') }],
    rules: [
      {
        name: 'closed',
        at: '/rules/0/expression',
        expression: 'any(http.request.headers["x-blocked"][*] eq "1")',
        action: 'block',
      },
    ],
    origins: [{ addresses: [origin], connections: 16, ...timeouts }],
    hosts: [
      {
        name: 'api.test',
        at: '/hosts/api.test',
        origin: 0,
        mtls: { mode: 'require', trust: ['devices'], own: { renew: true, est: true } },
        max_body_bytes: 1_000_000,
      },
    ],
  };
  const { problems } = JSON.parse(native.compile(JSON.stringify(policy), true));
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const log = { info() {}, warn() {}, error() {} };
  const plan = {
    threads: 1,
    graceMs: 5000,
    listen: { address: '127.0.0.1', port },
    tls: { fallback: host, hosts: [host] },
    inspect: { inlineBytes: 16_384, threads: 1 },
    exchanges: 1000,
    counters: null,
  };
  edges = new Edges(plan, startWorker(new URL('../../dist/edge.js', import.meta.url)), log, () => {}, answer);
  await edges.start();
  return 'started';
}
