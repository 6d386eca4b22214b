import { interleave, row } from '../rounds.mjs';

export const name = 'get-mtls';
export const about = 'GET of 142 bytes over 64 kept-alive connections with a client certificate';

export const GET = { path: '/orders/1', connections: 64 };

export async function run(place, rivals) {
  return measureGet(place, rivals, name, place.load);
}

/** The same for a load generator of the caller's choice. */
export async function measureGet(place, rivals, scenario, load) {
  const gateways = [];
  for (const rival of rivals) gateways.push(await rival.start(place));
  const samples = await interleave(place, gateways, { get: GET }, load);
  for (const gateway of gateways) await gateway.program.stop();
  const nginx = samples.get('nginx')?.get('get');
  return gateways.map(each => row(scenario, each.name, load.name, samples.get(each.name).get('get'), nginx));
}
