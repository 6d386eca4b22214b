import * as autocannon from '../load/autocannon.mjs';
import { measureGet } from './get-mtls.mjs';

export const name = 'get-autocannon';
export const about = 'get-mtls driven by autocannon: a gateway that mostly waits';

export function absent(place) {
  return place.load.name === 'autocannon' ? 'get-mtls is driven by autocannon already' : autocannon.absent();
}

export async function run(place, rivals) {
  return measureGet(place, rivals, name, autocannon);
}
