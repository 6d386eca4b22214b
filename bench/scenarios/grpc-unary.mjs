import { readFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { CALL, CALL_HEADERS, CALL_REQUEST, CALL_UNFIT } from '../calls.mjs';
import * as portcullis from '../rivals/portcullis.mjs';
import { measure } from './get-h2.mjs';

export { absent, programs } from './get-h2.mjs';

export const name = 'grpc-unary';
export const about =
  'gRPC unary call with a client certificate, to an h2c origin: 8 connections of 16 streams, and 64 of one; Portcullis checks the message';

const CALLED = { path: `/${CALL}`, headers: CALL_HEADERS, body: CALL_REQUEST };
const SHOTS = {
  '8x16': { ...CALLED, connections: 8, streams: 16 },
  '64x1': { ...CALLED, connections: 64, streams: 1 },
};

const READY_MS = 20_000;

export async function run(place, rivals) {
  const gateways = [];
  for (const rival of rivals) gateways.push(await rival.start(place, { http2: true, grpc: true, proof: prove }));
  return measure(place, gateways, name, SHOTS);
}

/** Waits until it answers a call, and shows that Portcullis, which pays for it, refuses what is not described. */
async function prove(place, gateway) {
  const deadline = performance.now() + READY_MS;
  let status = await call(place, gateway.port, CALL, CALL_REQUEST);
  while (status !== '0') {
    const ended = await Promise.race([gateway.program.ended, sleep(100, null)]);
    if (ended !== null || performance.now() > deadline) {
      const { out, err } = gateway.program;
      throw new Error(`${gateway.name} does not serve calls: ${status}\n${(out + err).slice(-3_000)}`);
    }
    status = await call(place, gateway.port, CALL, CALL_REQUEST);
  }
  if (gateway.name !== portcullis.name) return gateway;
  const unfit = await call(place, gateway.port, CALL, CALL_UNFIT);
  if (unfit !== '3') throw new Error(`a message that is not as described: grpc-status ${unfit}`);
  const unknown = await call(place, gateway.port, 'bench.Orders/Put', CALL_REQUEST);
  if (unknown !== '12') throw new Error(`a method that is not described: grpc-status ${unknown}`);
  return gateway;
}

/** The call's grpc-status, or what went wrong. */
function call(place, port, path, body) {
  return new Promise(resolve => {
    const [ca, cert, key] = ['serverCa', 'client', 'clientKey'].map(name => readFileSync(place.pki[name]));
    const session = connect(`https://localhost:${port}`, { ca, cert, key, servername: 'localhost' });
    const end = answer => {
      resolve(answer);
      session.destroy();
    };
    session.on('error', error => end(error.message));
    session.setTimeout(5_000, () => end('no answer in time'));
    const stream = session.request({ ':method': 'POST', ':path': `/${path}`, ...CALL_HEADERS });
    let status = null;
    const look = fields => {
      status = fields['grpc-status'] ?? status ?? `HTTP ${fields[':status']}`;
    };
    stream
      .on('response', look)
      .on('trailers', look)
      .on('error', error => end(error.message));
    stream.on('end', () => end(status)).resume();
    stream.end(body);
  });
}
