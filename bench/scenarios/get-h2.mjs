import * as h2load from '../load/h2load.mjs';
import { interleave, row } from '../rounds.mjs';

export const name = 'get-h2';
export const about =
  'GET of 142 bytes by HTTP/2 with a client certificate, from an HTTP/1.1 origin: 8 connections of 16 streams, and 64 of one';

const SHOTS = {
  '8x16': { path: '/orders/1', connections: 8, streams: 16 },
  '64x1': { path: '/orders/1', connections: 64, streams: 1 },
};

export function absent(place) {
  return h2load.absent(place);
}

export function programs() {
  return [h2load];
}

export async function run(place, rivals) {
  const gateways = [];
  for (const rival of rivals) gateways.push(await rival.start(place, { http2: true }));
  return measure(place, gateways, name, SHOTS);
}

/** One row a shot and gateway; ends the gateways. */
export async function measure(place, gateways, scenario, shots) {
  const samples = await interleave(place, gateways, shots, h2load);
  for (const gateway of gateways) await gateway.program.stop();
  return Object.keys(shots).flatMap(shot => {
    const nginx = samples.get('nginx')?.get(shot);
    return gateways.map(each => {
      const {
        scenario: of,
        gateway,
        ...rest
      } = row(scenario, each.name, h2load.name, samples.get(each.name).get(shot), nginx);
      return { scenario: of, gateway, asked: shot, ...rest };
    });
  });
}
