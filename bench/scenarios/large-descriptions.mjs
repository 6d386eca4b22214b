import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { onlyPortcullis } from '../beside.mjs';
import { description, NAMES, version } from '../descriptions.mjs';
import { memory, peakMemory } from '../meter.mjs';
import { onlyOrders } from '../orders.mjs';
import { median, range } from '../report.mjs';
import * as portcullis from '../rivals/portcullis.mjs';

export const name = 'large-descriptions';
export const about =
  "start and memory of a gateway with two edge threads that has GitHub's or Stripe's description, over one with a small one (to reach: seconds, 300 MiB for GitHub's)";

const THREADS = 2;
// Far above the seconds that are wanted: so that a slow load is a figure and not an error.
const READY_MS = 180_000;
// Whatever ends after the first answer: garbage collection of what loading left.
const SETTLE_MS = 5_000;
const MIB = 2 ** 20;

const CASES = NAMES.flatMap(each => ['json', 'yaml'].map(format => ({ called: each, format })));

export const absent = onlyPortcullis;

export const programs = () => NAMES.map(each => ({ name: each, version: () => version(each) }));

export async function run(place) {
  const small = [];
  const samples = new Map(CASES.map(each => [each, []]));
  for (let turn = 1; turn <= place.rounds; turn++) {
    small.push(await measure(place, { description: onlyOrders() }));
    for (const each of CASES) {
      const file = description(each.called, each.format, place.say);
      const sample = await measure(place, { file }).catch(error => ({ refused: problem(error.message) }));
      samples.get(each).push({ bytes: statSync(file).size, ...sample });
      place.say(`  round ${turn} ${each.called} ${each.format}: ${said(sample)}`);
    }
  }
  return CASES.map(each => row(each, samples.get(each), small));
}

async function measure(place, options) {
  const started = performance.now();
  const gateway = await portcullis.start(place, {
    ...options,
    threads: THREADS,
    // The description is not the origin's: what it does not describe passes.
    openapi: { action: 'block', fallthrough: 'off' },
    facts: portcullis.RULES,
    readyMs: READY_MS,
  });
  const ready = performance.now() - started;
  await sleep(SETTLE_MS);
  const { pid } = gateway.program;
  const sample = { ready_ms: Math.round(ready), rss: memory(pid).rss, peak: peakMemory(pid) };
  await gateway.program.stop();
  return sample;
}

/** What was said of the first place in a file that is more than a warning; results name no folders. */
function problem(text) {
  return /^\S+:\d+:\d+: (?!warning: )(.*)$/m.exec(text)?.[1] ?? text.split('\n')[0];
}

function said(sample) {
  return sample.refused
    ? `REFUSED: ${sample.refused}`
    : `ready after ${sample.ready_ms} ms, ${Math.round(sample.rss / MIB)} MiB`;
}

function row({ called, format }, samples, small) {
  const refused = samples.find(each => each.refused !== undefined);
  const more = of =>
    samples.map((each, turn) => Math.round((each[of] - small[turn][of]) / (of === 'ready_ms' ? 1 : MIB)));
  const columns = Object.entries({ load_ms: 'ready_ms', rss_mib: 'rss', peak_mib: 'peak' });
  const figures = columns.flatMap(([column, of]) => [
    [column, median(more(of))],
    [`${column}_range`, range(more(of))],
  ]);
  return {
    scenario: name,
    gateway: portcullis.name,
    description: `${called} ${format}`,
    // Every row of the bench has these four.
    rps: null,
    p50_ms: null,
    p99_ms: null,
    cpu_us: null,
    bytes: samples[0].bytes,
    ...(refused === undefined ? Object.fromEntries(figures) : { refused: refused.refused }),
    valid: refused === undefined,
    samples,
  };
}
