// The origin behind every gateway: nginx answering from memory, on the load generator's core.

import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CALL, CALL_ANSWER } from '../calls.mjs';
import { order, unfit } from '../orders.mjs';
import { freePort, installed, start as startProgram } from '../processes.mjs';

/** 142 bytes, the size of a small resource. */
export const GET_ANSWER =
  '{"id":1,"status":"packed","customer":"c-1042","currency":"EUR","total_cents":1299,"lines":2,"created":"2026-01-05T09:30:00Z","carrier":"post"}';

const POST_ANSWER = '{"id":1,"status":"accepted"}';

/** Under /exports/: larger answers, kept in files because a value in nginx's configuration ends at 4 KiB. */
const ANSWERS = { small: order(1024, 10), large: order(20 * 1024, 100), unfit: unfit(order(1024, 10)) };

export async function start(place) {
  if (!installed('nginx', '-v')) throw new Error('the origin of the bench is nginx: install nginx');
  const folder = join(place.folder, 'origin');
  mkdirSync(join(folder, 'files', 'exports'), { recursive: true });
  for (const [name, text] of Object.entries(ANSWERS)) writeFileSync(join(folder, 'files', 'exports', name), text);
  const [port, grpcPort] = [await freePort(), await freePort()];
  mkdirSync(join(folder, 'files', 'calls', 'bench.Orders'), { recursive: true });
  writeFileSync(join(folder, 'files', 'calls', CALL), CALL_ANSWER);
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off;
${process.getuid() === 0 ? 'user root; # or its worker could not read the folder of the run' : ''}
pid ${folder}/nginx.pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile 32768;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  default_type application/json;
  open_file_cache max=16;
  open_file_cache_valid 3600s;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /bench-status { stub_status; }
    location /exports/ { root ${folder}/files; }
    location / {
      if ($request_method = POST) { return 201 '${POST_ANSWER}'; }
      return 200 '${GET_ANSWER}';
    }
  }
  # HTTP/2 in the clear: a file is what every call is answered with, for POST by way of an error page.
  server {
    listen 127.0.0.1:${grpcPort} http2 backlog=4096;
    default_type application/grpc;
    location / { root ${folder}/files/calls; error_page 405 =200 /answers$uri; }
    location /answers/ { internal; alias ${folder}/files/calls/; add_trailer grpc-status 0; }
  }
}
`,
  );
  const program = startProgram('load', 'nginx', ['-e', 'stderr', '-c', join(folder, 'nginx.conf')]);
  for (let tries = 0; !(await listens(port)); tries++) {
    if (tries === 50) throw new Error(`the origin does not start: ${program.err}`);
    await sleep(100);
  }
  return { port, grpcPort, program, answered: () => answered(port) };
}

/** How many requests the origin has seen in its life: what the load generator counts must have come this far. */
async function answered(port) {
  const text = await (await fetch(`http://127.0.0.1:${port}/bench-status`)).text();
  return Number(/^\s*\d+\s+\d+\s+(\d+)/m.exec(text)[1]);
}

function listens(port) {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => resolve(true) || socket.destroy());
    socket.on('error', () => resolve(false));
  });
}
