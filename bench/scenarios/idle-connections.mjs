import { setTimeout as sleep } from 'node:timers/promises';
import { open, absent as openerAbsent } from '../load/idle.mjs';
import { memory } from '../meter.mjs';
import { openFilesLimit } from '../processes.mjs';
import { median, range, round } from '../report.mjs';
import { GET } from './get-mtls.mjs';

export const name = 'idle-connections';

const COUNT = 10_000;

export const about = `memory of ${COUNT} idle kept-alive TLS connections with client certificates, one request each`;

// What a gateway does right after the last answer (frees buffers, collects garbage) should be over; a gateway that
// closes idle connections after 10 s should not have begun.
const SETTLE_MS = 1_500;

export function absent(place) {
  const limit = openFilesLimit();
  // The gateway also has its listener, its origin connections and its files.
  if (limit < COUNT + 200) return `a process may open ${limit} files only: ulimit -Hn`;
  return openerAbsent(place);
}

export async function run(place, rivals) {
  const samples = new Map(rivals.map(each => [each.name, []]));
  for (let turn = 1; turn <= place.rounds; turn++) {
    for (const rival of rivals) {
      const sample = await measure(place, rival);
      samples.get(rival.name).push(sample);
      place.say(
        `  round ${turn} ${rival.name}: ${sample.rss_per_connection} bytes a connection, ${sample.alive} alive`,
      );
    }
  }
  return rivals.map(each => row(each.name, samples.get(each.name), samples.get('nginx')));
}

// A fresh gateway each time: memory that was used once seldom goes back to the system.
async function measure(place, rival) {
  const gateway = await rival.start(place);
  // The baseline is a gateway that has worked: a second of load brings in code, pools and the origin connections.
  await place.load.run({ ...place, seconds: 1 }, gateway.port, GET);
  await sleep(SETTLE_MS);
  const before = memory(gateway.program.pid);
  const held = await open(place, gateway.port, COUNT);
  await sleep(SETTLE_MS);
  const after = memory(gateway.program.pid);
  const alive = await held.alive();
  await held.close();
  await gateway.program.stop();
  return {
    alive,
    rss_baseline: before.rss,
    rss_per_connection: Math.round((after.rss - before.rss) / COUNT),
    pss_per_connection: Math.round((after.pss - before.pss) / COUNT),
  };
}

function row(gateway, samples, nginx) {
  const column = of => samples.map(each => each[of]);
  const ratios = nginx?.map((each, turn) => round(samples[turn].rss_per_connection / each.rss_per_connection, 2));
  return {
    scenario: name,
    gateway,
    // Every row of the bench has these four.
    rps: null,
    p50_ms: null,
    p99_ms: null,
    cpu_us: null,
    connections: COUNT,
    rss_per_connection: median(column('rss_per_connection')),
    rss_per_connection_range: range(column('rss_per_connection')),
    pss_per_connection: median(column('pss_per_connection')),
    pss_per_connection_range: range(column('pss_per_connection')),
    rss_baseline: median(column('rss_baseline')),
    ...(ratios && { memory_to_nginx: median(ratios), memory_to_nginx_range: range(ratios) }),
    // A connection that was refused or closed costs nothing: such a round says nothing about memory.
    valid: samples.every(each => each.alive === COUNT),
    samples,
  };
}
