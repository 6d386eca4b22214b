// h2load: HTTP/2 with several streams a connection, given a client certificate as wrk is.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finish, firstLine, installed, start } from '../processes.mjs';
import { compile } from './compile.mjs';

export const name = 'h2load';

export function absent(place) {
  if (!installed('h2load', '--version')) return 'not installed: nghttp2-client';
  return library(place).why ?? null;
}

export function version() {
  return firstLine('h2load', '--version');
}

/** One measurement; `shot` is `{ path, headers?, body?, connections, streams }`, `body` a Buffer. */
export async function run(place, port, shot) {
  const env = { LD_PRELOAD: library(place).path, BENCH_CERTIFICATE: place.pki.client, BENCH_KEY: place.pki.clientKey };
  const log = join(place.folder, 'h2load.log');
  const data = join(place.folder, 'h2load.body');
  const args = ['-t1', `-c${shot.connections}`, `-m${shot.streams}`, '-D', String(place.seconds), `--log-file=${log}`];
  for (const [name, value] of Object.entries(shot.headers ?? {})) args.push('-H', `${name}: ${value}`);
  if (shot.body !== undefined) {
    writeFileSync(data, shot.body);
    args.push('-d', data);
  }
  // It appends.
  rmSync(log, { force: true });
  const out = await finish(start('load', 'h2load', [...args, `https://localhost:${port}${shot.path}`], { env }), name);
  if (!out.includes('Application protocol: h2')) throw new Error(`h2load did not get HTTP/2: ${out.slice(-500)}`);
  const [, requests, failed, errored, timeout] =
    /requests: .* (\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(out).map(Number);
  const [, good] = /status codes: (\d+) 2xx/.exec(out).map(Number);
  const { p50_ms, p99_ms } = latencies(readFileSync(log, 'latin1'));
  return {
    requests,
    rps: requests / place.seconds,
    p50_ms,
    p99_ms,
    non_2xx: Math.max(0, requests - good),
    errors: failed + errored + timeout,
  };
}

/** A line a request: when it began, its status, and how many microseconds it took. */
function latencies(text) {
  const took = Float64Array.from(text.matchAll(/\t(\d+)$/gm), ([, us]) => Number(us)).sort();
  const at = share => (took[Math.floor(took.length * share)] ?? 0) / 1000;
  return { p50_ms: at(0.5), p99_ms: at(0.99) };
}

function library(place) {
  return compile(place, 'client-cert.c', '-shared', '-fPIC', '-ldl');
}
