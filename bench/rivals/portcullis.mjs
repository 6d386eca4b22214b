// Portcullis with what a team would have on: mTLS required, rules, an OpenAPI file of 50 operations whose bodies are
// checked, metrics, and an access line for every request. One edge thread.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openapi, UNSCHEMED_POST } from '../orders.mjs';
import { prove } from '../probe.mjs';
import { firstLine, freePort, start as startProgram } from '../processes.mjs';
import { rules } from './portcullis-policy.mjs';

export const name = 'portcullis';

const ROOT = new URL('../../', import.meta.url).pathname;
const MAIN = join(ROOT, 'dist', 'main.js');

export function absent() {
  return existsSync(MAIN) ? null : 'dist/main.js is not there: npm run build';
}

export function version() {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const commit = firstLine('git', '-C', ROOT, 'describe', '--always', '--dirty');
  return /^[0-9a-f]{7,}(-dirty)?$/.test(commit) ? `${version} (${commit})` : version;
}

/** `called` tells several of them in one scenario apart; `policy` replaces the 20 rules. */
export async function start(place, { called = name, policy = rules(20) } = {}) {
  const folder = join(place.folder, called);
  mkdirSync(folder, { recursive: true });
  const [port, adminPort] = [await freePort(), await freePort()];
  // Not beside the configuration, whose folder is watched.
  const events = join(place.folder, `${called}-events`, 'events.ndjson');
  mkdirSync(dirname(events), { recursive: true });
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(openapi(), null, 1));
  // JSON is YAML.
  writeFileSync(
    join(folder, 'portcullis.yaml'),
    JSON.stringify(
      {
        listen: { https: `127.0.0.1:${port}`, admin: `127.0.0.1:${adminPort}` },
        threads: 1,
        authorities: { bench: { certificates: place.pki.clientCa } },
        hosts: {
          localhost: {
            tls: { certificate: place.pki.server, key: place.pki.serverKey },
            mtls: { mode: 'require', trust: ['bench'] },
            origin: `http://127.0.0.1:${place.origin.port}`,
            openapi: { file: join(folder, 'openapi.json'), action: 'block', fallthrough: 'block' },
          },
        },
        lists: { blocked_ips: ['192.0.2.0/24', '198.51.100.7'] },
        rules: policy,
        events: { destination: events, sampleRate: 1 },
      },
      null,
      1,
    ),
  );
  const program = startProgram('gateway', process.execPath, [MAIN, 'run', '--config', join(folder, 'portcullis.yaml')]);
  const gateway = await prove(place, { name: called, port, program }, FACTS);
  gateway.program.stop = stopAfterProof(program, events);
  return gateway;
}

// What makes the comparison fair in the other direction: the checks that are paid for are really on.
const FACTS = [
  {
    what: 'blocks by a rule',
    ask: { path: '/orders/1', headers: { 'x-blocked': '1' } },
    holds: at => at.status === 403,
  },
  { what: 'blocks what no operation describes', ask: { path: '/nowhere' }, holds: at => at.status >= 400 },
  {
    what: 'refuses a body that violates its schema',
    ask: { method: 'POST', path: '/orders', body: UNSCHEMED_POST },
    holds: at => at.status === 400,
  },
];

function stopAfterProof(program, events) {
  const { stop } = program;
  return async () => {
    await stop();
    if (!existsSync(events) || statSync(events).size === 0)
      throw new Error(`${name} wrote no access line: not comparable`);
  };
}
