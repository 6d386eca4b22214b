import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { onlyPortcullis } from '../beside.mjs';
import { onlyOrders, order, unfit } from '../orders.mjs';
import { finish, start } from '../processes.mjs';
import { median, range, round } from '../report.mjs';
import { compiled } from '../rivals/portcullis.mjs';
import * as engine from '../verdict/engine.mjs';

export const name = 'ajv';
export const about =
  'bytes to verdict: the engine, which refuses duplicate names, and ajv on JSON.parse; the same schema and bytes (to reach: 0.7)';

// About 100 bytes a line.
const BODIES = { '0.2 KiB': order(230, 1), '2 KiB': order(2 * 1024, 19), '20 KiB': order(20 * 1024, 190) };

const CHILD = new URL('../verdict/ajv-child.mjs', import.meta.url).pathname;
const require = createRequire(import.meta.url);

export function absent(place, rivals) {
  return onlyPortcullis(place, rivals) ?? engine.absent();
}

export const programs = () => [{ name: 'ajv', version: () => require('ajv/package.json').version }];

export async function run(place) {
  const folder = await prepare(place);
  const program = engine.build();
  const samples = { engine: [], ajv: [] };
  for (let turn = 1; turn <= place.rounds; turn++) {
    samples.engine.push(await engine.run(place, program, folder, Object.keys(BODIES)));
    samples.ajv.push(JSON.parse(await finish(start('gateway', process.execPath, [CHILD, folder]), 'ajv')));
    for (const body of Object.keys(BODIES)) {
      const [ours, theirs] = [samples.engine, samples.ajv].map(each => round(each[turn - 1][body], 2));
      place.say(`  round ${turn} ${body}: engine ${ours} us, ajv ${theirs} us`);
    }
  }
  return Object.keys(BODIES).flatMap(body => {
    const ajv = samples.ajv.map(each => each[body]);
    return [
      row(
        'engine',
        body,
        samples.engine.map(each => each[body]),
        ajv,
      ),
      row('ajv', body, ajv, ajv),
    ];
  });
}

/** What both read: the schema as the gateway compiles it, bodies that fit, and two that have to be refused. */
async function prepare(place) {
  const folder = join(place.folder, 'verdict');
  mkdirSync(folder, { recursive: true });
  const openapi = await compiled(place, { description: onlyOrders() });
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(openapi));
  for (const [called, body] of Object.entries(BODIES)) writeFileSync(join(folder, `${called}.body`), body);
  const small = BODIES['0.2 KiB'];
  writeFileSync(join(folder, 'unfit.refused'), unfit(small));
  writeFileSync(join(folder, 'duplicate.refused'), small.replace('{', '{"currency":"EUR",'));
  return folder;
}

function row(gateway, body, samples, ajv) {
  const ratios = samples.map((each, turn) => round(each / ajv[turn], 3));
  const rounded = samples.map(each => round(each, 3));
  return {
    scenario: name,
    gateway,
    body,
    // Every row of the bench has these four.
    rps: null,
    p50_ms: null,
    p99_ms: null,
    cpu_us: null,
    bytes: BODIES[body].length,
    verdict_us: median(rounded),
    verdict_us_range: range(rounded),
    to_ajv: median(ratios),
    to_ajv_range: range(ratios),
    // Both have shown their verdicts before they were timed.
    valid: true,
    samples: rounded,
  };
}
