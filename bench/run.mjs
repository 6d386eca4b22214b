// `npm run bench`: this gateway, nginx and HAProxy side by side, in interleaved rounds of one run.
//
// The figure to compare is CPU time per request of a gateway's own processes: it holds on a machine with noisy
// neighbours, where requests per second swing by two. The method is in bench/README.md.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import * as autocannon from './load/autocannon.mjs';
import * as wrk from './load/wrk.mjs';
import { describeMachine, describeVersions } from './machine.mjs';
import { makePki } from './pki.mjs';
import { CORES, stopAll } from './processes.mjs';
import { keep, table } from './report.mjs';
import * as haproxy from './rivals/haproxy.mjs';
import * as nginx from './rivals/nginx.mjs';
import * as origin from './rivals/origin.mjs';
import * as portcullis from './rivals/portcullis.mjs';
import * as accept from './scenarios/accept.mjs';
import * as ajv from './scenarios/ajv.mjs';
import * as connections from './scenarios/connections.mjs';
import * as getAutocannon from './scenarios/get-autocannon.mjs';
import * as getH2 from './scenarios/get-h2.mjs';
import * as getJwt from './scenarios/get-jwt.mjs';
import * as getLimits from './scenarios/get-limits.mjs';
import * as getMtls from './scenarios/get-mtls.mjs';
import * as getParameters from './scenarios/get-parameters.mjs';
import * as getResponse from './scenarios/get-response.mjs';
import * as getStrict from './scenarios/get-strict.mjs';
import * as grpcUnary from './scenarios/grpc-unary.mjs';
import * as idleConnections from './scenarios/idle-connections.mjs';
import * as largeDescriptions from './scenarios/large-descriptions.mjs';
import * as postSchema from './scenarios/post-schema.mjs';
import * as postValidated from './scenarios/post-validated.mjs';
import * as postWallarm from './scenarios/post-wallarm.mjs';
import * as revocation from './scenarios/revocation.mjs';
import * as rules10000 from './scenarios/rules-10000.mjs';

const RIVALS = [portcullis, nginx, haproxy];
const SCENARIOS = [
  getMtls,
  getAutocannon,
  getH2,
  grpcUnary,
  getJwt,
  getLimits,
  getStrict,
  postSchema,
  postValidated,
  getParameters,
  getResponse,
  postWallarm,
  ajv,
  largeDescriptions,
  idleConnections,
  revocation,
  rules10000,
  connections,
  accept,
];
const LOADS = [wrk, autocannon];

const USAGE = `npm run bench -- [options]
  --scenario NAME[,NAME]  ${SCENARIOS.map(each => each.name).join(', ')} (default: all)
  --only NAME[,NAME]      ${RIVALS.map(each => each.name).join(', ')} (default: those installed)
  --load NAME             wrk or autocannon (default: wrk where it can be used)
  --rounds N              default 3
  --seconds N             length of one measurement, default 8
  --json                  one object per scenario and gateway on standard output, nothing else there
  --no-keep               leave nothing in bench/results`;

const options = readOptions();
// With --json standard output carries the objects only.
const say = text => (options.json ? process.stderr : process.stdout).write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => leave(130));
await main().then(leave, error => {
  process.stderr.write(`bench: ${error.message}\n`);
  leave(1);
});

async function main() {
  const place = { folder, pki: makePki(folder), rounds: options.rounds, seconds: options.seconds, say };
  place.load = chooseLoad(place);
  const rivals = RIVALS.filter(each => options.only === null || options.only.includes(each.name)).filter(isPresent);
  if (rivals.length === 0) throw new Error('no gateway to measure');
  place.origin = await origin.start(place);
  if (CORES === null) say('taskset or a second core is missing: nothing is pinned, expect more noise');
  say(
    `${rivals.map(each => each.name).join(', ')}; load from ${place.load.name}; ${place.rounds} rounds of ${place.seconds} s`,
  );

  let valid = true;
  for (const scenario of SCENARIOS) {
    if (options.scenario !== null && !options.scenario.includes(scenario.name)) continue;
    const why = scenario.absent?.(place, rivals);
    if (why) {
      say(`\n${scenario.name}: skipped, ${why}`);
      continue;
    }
    say(`\n${scenario.name}: ${scenario.about}`);
    const rows = await scenario.run(place, rivals);
    say(table(rows));
    for (const row of rows) {
      valid &&= row.valid;
      if (options.json) process.stdout.write(`${JSON.stringify({ ...row, samples: undefined })}\n`);
    }
    if (options.keep)
      keep(
        scenario,
        rows,
        commandLine(),
        describeVersions([...rivals, ...LOADS.filter(each => !each.absent(place)), ...(scenario.programs?.() ?? [])]),
        describeMachine(),
      );
  }
  if (!valid) throw new Error('a measurement had errors: its rows say valid: false and must not be compared');
}

function isPresent(rival) {
  const why = rival.absent();
  if (why) say(`${rival.name}: skipped, ${why}`);
  return !why;
}

function chooseLoad(place) {
  const wanted = LOADS.filter(each => options.load === null || options.load === each.name);
  for (const load of wanted) {
    const why = load.absent(place);
    if (!why) return load;
    say(`${load.name}: skipped, ${why}`);
  }
  throw new Error('no load generator: install wrk with a C compiler and the OpenSSL headers, or run npm install');
}

function readOptions() {
  const names = text => text?.split(',') ?? null;
  try {
    const { values } = parseArgs({
      options: {
        scenario: { type: 'string' },
        only: { type: 'string' },
        load: { type: 'string' },
        rounds: { type: 'string', default: '3' },
        seconds: { type: 'string', default: '8' },
        json: { type: 'boolean', default: false },
        'no-keep': { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(`${USAGE}\n`);
      process.exit(0);
    }
    return {
      scenario: known('scenario', names(values.scenario), SCENARIOS),
      only: known('gateway', names(values.only), RIVALS),
      load: known('load', names(values.load), LOADS)?.[0] ?? null,
      rounds: positive('rounds', values.rounds),
      seconds: positive('seconds', values.seconds),
      json: values.json,
      keep: !values['no-keep'],
    };
  } catch (error) {
    process.stderr.write(`bench: ${error.message}\n\n${USAGE}\n`);
    process.exit(2);
  }
}

function known(kind, names, all) {
  for (const name of names ?? []) {
    if (!all.some(each => each.name === name)) throw new Error(`there is no ${kind} named "${name}"`);
  }
  return names;
}

function positive(name, text) {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} wants a whole number, at least 1`);
  return number;
}

function commandLine() {
  return `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim();
}

async function leave(code = 0) {
  await stopAll();
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}
