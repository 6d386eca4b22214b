import { interleave, row } from '../rounds.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'connections';
export const about = 'a new connection with a full handshake for every request';

export function absent(place) {
  return place.load.name === 'wrk' ? null : 'it needs wrk';
}

export async function run(place, rivals) {
  const gateways = [];
  for (const rival of rivals) gateways.push(await rival.start(place));
  const samples = await interleave(place, gateways, { get: { ...GET, newConnections: true } });
  for (const gateway of gateways) await gateway.program.stop();
  const nginx = samples.get('nginx')?.get('get');
  return gateways.map(each => row(name, each.name, place.load.name, samples.get(each.name).get('get'), nginx));
}
