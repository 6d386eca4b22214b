// A process of its own, so that it can be pinned: reads what to do from standard input, prints one object.

import { readFileSync } from 'node:fs';
import autocannon from 'autocannon';

const { port, shot, seconds, pki } = JSON.parse(readFileSync(0, 'utf8'));

// autocannon's own histogram counts whole milliseconds; most answers take less.
const latencies = [];

const post = shot.body === undefined ? {} : { method: 'POST', body: shot.body };
const contentType = shot.body === undefined ? {} : { 'content-type': 'application/json' };
const run = autocannon({
  url: `${shot.plain ? 'http' : 'https'}://127.0.0.1:${port}${shot.path}`,
  connections: shot.connections,
  duration: seconds,
  servername: 'localhost',
  headers: { host: `localhost:${port}`, 'user-agent': 'bench', ...contentType, ...shot.headers },
  ...post,
  tlsOptions: { cert: readFileSync(pki.client), key: readFileSync(pki.clientKey), ca: readFileSync(pki.serverCa) },
});
run.on('response', (_client, _status, _bytes, took) => latencies.push(took));

const result = await run;
latencies.sort((a, b) => a - b);
const percentile = share => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
process.stdout.write(
  JSON.stringify({
    requests: latencies.length,
    rps: latencies.length / result.duration,
    p50_ms: percentile(0.5),
    p99_ms: percentile(0.99),
    non_2xx: result.non2xx,
    errors: result.errors,
  }),
);
