import { openapi, order } from '../orders.mjs';
import * as nginx from '../rivals/nginx.mjs';
import * as portcullis from '../rivals/portcullis.mjs';
import * as wallarm from '../rivals/wallarm.mjs';
import { interleave, ratio, row } from '../rounds.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'post-wallarm';
export const about =
  "POST of 0.5 KiB checked against its schema: Portcullis with TLS and client certificate, Wallarm's API Firewall over plain HTTP";

const POST = { path: '/orders', body: order(512, 5), connections: 64 };

export function absent(place, rivals) {
  if (!rivals.includes(portcullis) || !rivals.includes(nginx)) return 'it compares with Portcullis and nginx';
  return wallarm.absent(place.say);
}

/** Beyond the rivals of every scenario. */
export const programs = () => [wallarm];

export async function run(place) {
  const gateways = [
    await nginx.start(place),
    // Both read the same description: Wallarm's reader knows OpenAPI 3.0.
    await portcullis.start(place, { description: openapi({ version: '3.0.3' }) }),
    await wallarm.start(place),
  ];
  const samples = await interleave(place, gateways, { get: GET, post: POST });
  for (const gateway of gateways) await gateway.program.stop();
  const of = (rival, shot) => samples.get(rival.name).get(shot);
  return gateways.map(each => {
    const post = of(each, 'post');
    const ratios = {
      ...ratio('cpu_to_nginx_get', post, of(nginx, 'get')),
      ...ratio('cpu_to_portcullis', post, of(portcullis, 'post')),
    };
    return { ...row(name, each.name, place.load.name, post), ...ratios };
  });
}
