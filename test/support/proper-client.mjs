// A client that asks one thing after the other by HTTP/2, in a thread of its own: what it measures is not the waiting of
// whoever abuses the gateway beside it.
//
//     'go'      asks until it is told to stop
//     'stop'    answers the milliseconds that each request took, or { error }

import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

/** Between two requests. */
const BEAT_MS = 10;

const { port, host, ca, cert, key } = workerData;
const session = connect(`https://127.0.0.1:${port}`, { servername: host, ca, cert, key });
let took = [];
let [going, error] = [false, null];
session.on('error', failed => {
  error = failed.message;
});

parentPort.on('message', message => {
  if (message === 'go') {
    [took, going] = [[], true];
    run().catch(failed => {
      error = failed.message;
    });
  } else {
    going = false;
    parentPort.postMessage(error === null ? took : { error });
  }
});

async function run() {
  while (going) {
    const began = performance.now();
    await ask();
    took.push(performance.now() - began);
    await sleep(BEAT_MS);
  }
}

function ask() {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/healthy', ':authority': host });
    stream.on('response', ({ ':status': status }) => {
      if (status !== 200) reject(new Error(`the proper client was answered ${status}`));
    });
    stream.on('error', reject).on('end', resolve).resume();
    stream.end();
  });
}
