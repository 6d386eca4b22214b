// Interleaved rounds: every gateway is measured once a round, so that a slow minute of the machine meets all alike.

import { meter } from './meter.mjs';
import { median, range, round } from './report.mjs';

/**
 * Measures `shots` (name -> what is asked) on every gateway, round by round.
 * Returns gateway name -> shot name -> samples.
 */
export async function interleave(place, gateways, shots, load = place.load) {
  const samples = new Map(gateways.map(each => [each.name, new Map(Object.keys(shots).map(name => [name, []]))]));
  for (let turn = 1; turn <= place.rounds; turn++) {
    for (const gateway of gateways) {
      for (const [name, shot] of Object.entries(shots)) {
        const sample = await measure(place, gateway, shot, load);
        samples.get(gateway.name).get(name).push(sample);
        place.say(
          `  round ${turn} ${gateway.name} ${name}: ${sample.cpu_us} us, ${sample.rps} requests/s${noise(sample)}`,
        );
      }
    }
  }
  return samples;
}

/** One row of the report: medians, ranges, and the ratio to nginx of the same round. */
export function row(scenario, gateway, load, samples, nginx) {
  const column = name => samples.map(each => each[name]);
  return {
    scenario,
    gateway,
    load,
    rps: median(column('rps')),
    p50_ms: median(column('p50_ms')),
    p99_ms: median(column('p99_ms')),
    cpu_us: median(column('cpu_us')),
    cpu_us_range: range(column('cpu_us')),
    rps_range: range(column('rps')),
    ...(nginx && ratio('cpu_to_nginx', samples, nginx)),
    non_2xx: column('non_2xx').reduce((sum, each) => sum + each, 0),
    errors: column('errors').reduce((sum, each) => sum + each, 0),
    foreign_core_share: median(column('foreign_core_share')),
    valid: samples.every(each => each.non_2xx === 0 && each.errors === 0 && each.requests > 0),
    samples,
  };
}

/** CPU of `samples` over that of `others`, each round with its own: `{ name: median, name_range: [low, high] }`. */
export function ratio(name, samples, others) {
  const ratios = samples.map((each, turn) => round(each.cpu_us / others[turn].cpu_us, 3));
  return { [name]: median(ratios), [`${name}_range`]: range(ratios) };
}

async function measure(place, gateway, shot, load) {
  const answeredBefore = await place.origin.answered();
  const end = meter(gateway.program.pid);
  const seen = await load.run(place, gateway.port, { ...shot, plain: gateway.plain });
  const { cpu, foreign, steal, steady } = end();
  if (!steady) throw new Error(`a process of ${gateway.name} ended during the measurement`);
  const forwarded = (await place.origin.answered()) - answeredBefore;
  if (forwarded < seen.requests) throw new Error(`${gateway.name} forwarded ${forwarded} of ${seen.requests} requests`);
  return {
    requests: seen.requests,
    rps: Math.round(seen.rps),
    p50_ms: round(seen.p50_ms, 3),
    p99_ms: round(seen.p99_ms, 3),
    cpu_us: round(cpu / seen.requests, 2),
    non_2xx: seen.non_2xx,
    errors: seen.errors,
    foreign_core_share: round(foreign, 3),
    steal_share: round(steal, 3),
  };
}

function noise(sample) {
  const words = [];
  if (sample.non_2xx + sample.errors > 0) words.push(`INVALID: ${sample.non_2xx} not 2xx, ${sample.errors} errors`);
  // A tenth of the core gone to others also means caches and clock shared with them.
  if (sample.foreign_core_share > 0.1)
    words.push(`noisy: others took ${Math.round(sample.foreign_core_share * 100)}% of the core`);
  return words.length > 0 ? ` (${words.join('; ')})` : '';
}
