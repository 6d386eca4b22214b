// A check beside its absence: two Portcullis that differ in one setting, and what a request costs more with it.

import { median, range, round } from './report.mjs';
import * as portcullis from './rivals/portcullis.mjs';
import { interleave, ratio, row } from './rounds.mjs';

/** Why it cannot be run with these rivals, null when it can. */
export function onlyPortcullis(_place, rivals) {
  return rivals.includes(portcullis) ? null : 'it measures Portcullis only';
}

/**
 * `shots` are named by what is asked. `settings` maps `on` and `off` to the `openapi` settings of each, `options` to
 * whatever else `start` takes; `violation` is a request that the one refuses, with `status`, and the other passes on.
 */
export async function beside(place, scenario, shots, { description, settings, options = {}, violation }) {
  const gateways = {};
  for (const side of ['off', 'on']) {
    gateways[side] = await portcullis.start(place, {
      called: `portcullis-${side}`,
      description,
      openapi: settings[side],
      ...options[side],
      facts: [...portcullis.RULES_AND_PATHS, fact(side, violation)],
    });
  }
  const samples = await interleave(place, Object.values(gateways), shots);
  for (const gateway of Object.values(gateways)) await gateway.program.stop();
  return Object.keys(shots).flatMap(shot => {
    const [off, on] = ['off', 'on'].map(side => samples.get(gateways[side].name).get(shot));
    const more = on.map((each, turn) => round(each.cpu_us - off[turn].cpu_us, 2));
    const added = { ...ratio('cpu_to_off', on, off), cpu_us_more: median(more), cpu_us_more_range: range(more) };
    return [
      named(shot, row(scenario, gateways.off.name, place.load.name, off)),
      { ...named(shot, row(scenario, gateways.on.name, place.load.name, on)), ...added },
    ];
  });
}

function fact(side, { status, ...ask }) {
  return side === 'on'
    ? { what: 'refuses a violation', ask, holds: at => at.status === status }
    : { what: 'does not look, and passes a violation on', ask, holds: at => at.status >= 200 && at.status < 300 };
}

function named(asked, { scenario, gateway, ...rest }) {
  return { scenario, gateway, asked, ...rest };
}
