// nginx doing nothing but proxying for clients with a certificate: one worker, no access log.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { prove } from '../probe.mjs';
import { firstLine, freePort, installed, start as startProgram } from '../processes.mjs';

export const name = 'nginx';

export function absent() {
  return installed('nginx', '-v') ? null : 'not installed';
}

export function version() {
  return firstLine('nginx', '-v').replace('nginx version: ', '');
}

/** `http2`: clients speak it; `grpc`: so does the origin, and calls go there. */
export async function start(place, { http2 = false, grpc = false, proof } = {}) {
  const folder = join(place.folder, 'nginx');
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off;
pid ${folder}/nginx.pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile 32768;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  # Long enough for the idle scenario, and no reconnecting after the default of 1,000 requests.
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream origin {
    server 127.0.0.1:${grpc ? place.origin.grpcPort : place.origin.port};
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} ssl${http2 ? ' http2' : ''} backlog=4096;
    server_name localhost;
    ssl_certificate ${place.pki.server};
    ssl_certificate_key ${place.pki.serverKey};
    ssl_protocols TLSv1.3;
    ssl_session_cache shared:tls:10m;
    ssl_verify_client on;
    ssl_client_certificate ${place.pki.clientCa};
    location / {
${grpc ? GRPC : PROXY}
    }
  }
}
`,
  );
  const program = startProgram('gateway', 'nginx', ['-e', 'stderr', '-c', join(folder, 'nginx.conf')]);
  return (proof ?? prove)(place, { name, port, program });
}

const PROXY = `      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;`;

const GRPC = '      grpc_pass grpc://origin;';
