import { median, range, round } from '../report.mjs';
import * as portcullis from '../rivals/portcullis.mjs';
import { manyRules } from '../rivals/portcullis-policy.mjs';
import { interleave, row } from '../rounds.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'rules-10000';
export const about = 'what 10,000 rules cost over 10 (the bound is 1 us a request)';

export function absent(_place, rivals) {
  return rivals.includes(portcullis) ? null : 'it measures Portcullis only';
}

export async function run(place) {
  const gateways = [];
  for (const count of [10, 10_000]) {
    gateways.push(await portcullis.start(place, { called: `portcullis-${count}`, policy: manyRules(count) }));
  }
  const samples = await interleave(place, gateways, { get: GET });
  for (const gateway of gateways) await gateway.program.stop();
  const [few, many] = gateways.map(each => samples.get(each.name).get('get'));
  const more = many.map((each, turn) => round(each.cpu_us - few[turn].cpu_us, 2));
  return [
    row(name, gateways[0].name, place.load.name, few),
    {
      ...row(name, gateways[1].name, place.load.name, many),
      cpu_us_more: median(more),
      cpu_us_more_range: range(more),
    },
  ];
}
