// wrk, given a client certificate by a preloaded library. The cheapest load generator: 8 us of CPU a request.

import { finish, firstLine, installed, start } from '../processes.mjs';
import { compile } from './compile.mjs';

export const name = 'wrk';

const DRIVE = new URL('drive.lua', import.meta.url).pathname;

export function absent(place) {
  if (!installed('wrk', '-v')) return 'not installed';
  return library(place).why ?? null;
}

export function version() {
  return firstLine('wrk', '-v').split(' ').slice(0, 2).join(' ');
}

/** One measurement; `shot` is `{ path, headers?, body?, connections, newConnections?, plain? }`, `plain` without TLS. */
export async function run(place, port, shot) {
  const env = { LD_PRELOAD: library(place).path, BENCH_CERTIFICATE: place.pki.client, BENCH_KEY: place.pki.clientKey };
  if (shot.body !== undefined) Object.assign(env, { BENCH_METHOD: 'POST', BENCH_BODY: shot.body });
  const headers = Object.entries(shot.headers ?? {});
  if (headers.length > 0) env.BENCH_HEADERS = headers.map(([name, value]) => `${name}:${value}\n`).join('');
  if (shot.newConnections) Object.assign(env, { BENCH_CLOSE: '1', BENCH_FULL_HANDSHAKES: '1' });
  const url = `${shot.plain ? 'http' : 'https'}://localhost:${port}${shot.path}`;
  const args = ['-t1', `-c${shot.connections}`, `-d${place.seconds}s`, '--latency', '-s', DRIVE, url];
  const out = await finish(start('load', 'wrk', args, { env }), 'wrk');
  const seen = JSON.parse(/^RESULT (.*)$/m.exec(out)[1]);
  return {
    requests: seen.requests,
    rps: seen.requests / (seen.duration_us / 1e6),
    p50_ms: seen.p50_us / 1000,
    p99_ms: seen.p99_us / 1000,
    non_2xx: seen.non_2xx,
    errors: seen.errors,
  };
}

function library(place) {
  return compile(place, 'client-cert.c', '-shared', '-fPIC', '-ldl');
}
