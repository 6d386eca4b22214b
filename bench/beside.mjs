// A check beside its absence: two Portcullis that differ in one setting, and what a request costs more with it.

import { median, range, round } from './report.mjs';
import * as portcullis from './rivals/portcullis.mjs';
import { interleave, ratio, row } from './rounds.mjs';

/** Why it cannot be run with these rivals, null when it can. */
export function onlyPortcullis(_place, rivals) {
  return rivals.includes(portcullis) ? null : 'it measures Portcullis only';
}

/**
 * `shots` are named by what is asked. `sides` are what the two are called, the dearer one last; `settings` maps them to
 * the `openapi` settings of each, `options` to whatever else `start` takes; `violation` is a request that the last
 * refuses, with `status`, and the other passes on. `proof(gateways, samples)` throws unless what is paid for was done.
 */
export async function beside(
  place,
  scenario,
  shots,
  { description, settings = {}, options = {}, sides = ['off', 'on'], violation, proof },
) {
  const gateways = {};
  for (const side of sides) {
    gateways[side] = await portcullis.start(place, {
      called: `portcullis-${side}`,
      description,
      openapi: settings[side],
      ...options[side],
      facts: [...portcullis.RULES_AND_PATHS, ...(violation ? [fact(side === sides[1], violation)] : [])],
    });
  }
  const samples = await interleave(place, Object.values(gateways), shots);
  await proof?.(gateways, samples);
  for (const gateway of Object.values(gateways)) await gateway.program.stop();
  return Object.keys(shots).flatMap(shot => {
    const [off, on] = sides.map(side => samples.get(gateways[side].name).get(shot));
    const more = on.map((each, turn) => round(each.cpu_us - off[turn].cpu_us, 2));
    const to = ratio(`cpu_to_${sides[0]}`, on, off);
    return sides.map((side, index) => ({
      ...named(shot, row(scenario, gateways[side].name, place.load.name, index === 0 ? off : on)),
      ...(index === 1 && { ...to, cpu_us_more: median(more), cpu_us_more_range: range(more) }),
    }));
  });
}

function fact(looks, { status, ...ask }) {
  return looks
    ? { what: 'refuses a violation', ask, holds: at => at.status === status }
    : { what: 'does not look, and passes a violation on', ask, holds: at => at.status >= 200 && at.status < 300 };
}

/** The sum over all samples of a metric of a gateway. */
export async function metric(gateway, name, labels = '') {
  const text = await (await fetch(`http://127.0.0.1:${gateway.admin}/metrics`)).text();
  let sum = 0;
  for (const [, found, written = '', value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    if (found === name && written.includes(labels)) sum += Number(value);
  }
  return sum;
}

function named(asked, { scenario, gateway, ...rest }) {
  return { scenario, gateway, asked, ...rest };
}
