import { POST_BODY } from '../orders.mjs';
import { interleave, ratio, row } from '../rounds.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'post-schema';
export const about = 'POST of 1 KiB of JSON: Portcullis checks it against its schema, the others only forward it';

const POST = { path: '/orders', body: POST_BODY, connections: 64 };

export async function run(place, rivals) {
  const gateways = [];
  for (const rival of rivals) gateways.push(await rival.start(place));
  // Each gateway's GET is measured right before its POST, so that their ratio is of the same minute.
  const samples = await interleave(place, gateways, { get: GET, post: POST });
  for (const gateway of gateways) await gateway.program.stop();
  const nginx = samples.get('nginx')?.get('post');
  return gateways.map(each => {
    const [get, post] = ['get', 'post'].map(shot => samples.get(each.name).get(shot));
    const own = row(name, each.name, place.load.name, post, nginx);
    const valid = own.valid && row(name, each.name, '', get).valid;
    return { ...own, ...ratio('cpu_to_own_get', post, get), valid };
  });
}
