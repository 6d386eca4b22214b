// A process with real edge threads under the real keeper of edge threads, whose test can hurt a thread: it sends one
// what nobody sends, so that an exception is thrown in it. Started with fork(); told what to do by messages.
//
//     { port, certificate, key, origin }   starts; answers 'started', or { error }
//     'hurt'                               an exception is thrown in the thread that started last
//     'counts'                             answers { started, replaced, ready }
//     'stop'                               drains, and ends with 0

import { startWorker } from '../../dist/manage/edge-thread.js';
import { Edges } from '../../dist/manage/edges.js';
import * as native from '../../dist/native.js';

const threads = [];
const replaced = [];
let edges;

process.on('message', async message => {
  if (message === 'hurt') threads.at(-1).postMessage(null);
  else if (message === 'counts') process.send({ started: threads.length, replaced, ready: edges.ready });
  else if (message === 'stop') {
    const cut = await edges.stop(2000);
    process.exit(cut === 0 ? 0 : 1);
  } else process.send(await start(message).catch(error => ({ error: error.message })));
});

async function start({ port, certificate, key, origin }) {
  const host = { host: 'api.test', certificate, key, clientAuthorities: null };
  const policy = {
    origins: [
      {
        addresses: [origin],
        connections: 16,
        connect_timeout_ms: 1000,
        first_byte_timeout_ms: 5000,
        idle_timeout_ms: 5000,
      },
    ],
    hosts: [{ name: 'api.test', at: '/hosts/api.test', origin: 0, mtls: { mode: 'off' }, max_body_bytes: 1_000_000 }],
  };
  const { problems } = JSON.parse(native.compile(JSON.stringify(policy), true));
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const startThread = startWorker(new URL('../../dist/edge.js', import.meta.url));
  const plan = {
    threads: 2,
    graceMs: 5000,
    listen: { address: '127.0.0.1', port, h2: false },
    tls: { fallback: host, hosts: [host] },
    inspect: { inlineBytes: 16_384, threads: 1 },
    exchanges: 1000,
    counters: null,
  };
  const log = { info() {}, warn() {}, error: (...words) => console.error(JSON.stringify(words)) };
  edges = new Edges(
    plan,
    options => {
      const thread = startThread(options);
      threads.push(thread);
      return thread;
    },
    log,
    why => replaced.push(why),
  );
  await edges.start();
  return 'started';
}
