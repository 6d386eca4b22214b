// HAProxy doing nothing but proxying for clients with a certificate: one thread, no log.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prove } from '../probe.mjs';
import { firstLine, freePort, installed, start as startProgram } from '../processes.mjs';

export const name = 'haproxy';

export function absent() {
  return installed('haproxy', '-v') ? null : 'not installed';
}

export function version() {
  return firstLine('haproxy', '-v')
    .replace(/^HAProxy version /, '')
    .split(' ')[0];
}

/** `http2`: clients speak it; `grpc`: so does the origin, and calls go there. */
export async function start(place, { http2 = false, grpc = false, proof } = {}) {
  const folder = join(place.folder, 'haproxy');
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  writeFileSync(
    join(folder, 'haproxy.cfg'),
    `global
  nbthread 1
  # HAProxy wants two file descriptors for each and refuses to start where the hard limit is 20,000; idle ones take one.
  no strict-limits
  maxconn 10500
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
frontend door
  bind 127.0.0.1:${port} backlog 4096 ssl crt ${place.pki.serverBoth} ca-file ${place.pki.clientCa} verify required alpn ${http2 ? 'h2,' : ''}http/1.1
  default_backend origin
backend origin
  server one 127.0.0.1:${grpc ? `${place.origin.grpcPort} proto h2` : place.origin.port} pool-max-conn 64
`,
  );
  const program = startProgram('gateway', 'haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')]);
  return (proof ?? prove)(place, { name, port, program });
}
