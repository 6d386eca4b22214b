// Wallarm's API Firewall, the peer of the schema check: plain HTTP (no TLS, no certificate), requests validated against
// the same description, answers not, one thread of Go.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openapi, POST_BODY, unfit } from '../orders.mjs';
import { prove } from '../probe.mjs';
import { freePort, installed, start as startProgram } from '../processes.mjs';

export const name = 'wallarm';

// Exact, so that runs compare.
const VERSION = 'v0.9.6';
const MODULE = 'github.com/wallarm/api-firewall';
const PROGRAM = `${MODULE}/cmd/api-firewall`;

const FOLDER = new URL('../../.cache/bench/wallarm/', import.meta.url).pathname;

/** A program that is there already (`BENCH_WALLARM`), or the one that is built here, once. */
const OWN = process.env.BENCH_WALLARM;
const BUILT = join(FOLDER, `api-firewall-${VERSION}`);

export function version() {
  return OWN === undefined ? VERSION : 'of BENCH_WALLARM';
}

/** Builds it when it is not there: minutes on two cores, once. */
export function absent(say) {
  if (OWN !== undefined) return existsSync(OWN) ? null : 'BENCH_WALLARM names no file';
  return existsSync(BUILT) ? null : build(say);
}

function build(say) {
  if (!installed('go', 'version')) return `go is needed to build it, or an api-firewall program in BENCH_WALLARM`;
  say(`building ${MODULE} ${VERSION}, once`);
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'go.mod'), `module bench\n\ngo 1.25.0\n\nrequire ${MODULE} ${VERSION}\n`);
  // -mod=mod lets go complete go.mod and go.sum.
  const args = ['build', '-mod=mod', '-trimpath', '-o', BUILT, PROGRAM];
  const { status, stderr } = spawnSync('go', args, { cwd: FOLDER, encoding: 'utf8' });
  const [last = ''] = stderr.trim().split('\n').slice(-1);
  return status === 0
    ? null
    : `${MODULE} ${VERSION} can't be built (${last.trim()}): name an api-firewall program in BENCH_WALLARM`;
}

export async function start(place) {
  const folder = join(place.folder, name);
  mkdirSync(folder, { recursive: true });
  const [port, healthPort] = [await freePort(), await freePort()];
  // It reads OpenAPI 3.0.
  writeFileSync(join(folder, 'openapi.json'), JSON.stringify(openapi({ version: '3.0.3' }), null, 1));
  const env = {
    GOMAXPROCS: '1',
    APIFW_MODE: 'PROXY',
    APIFW_URL: `http://127.0.0.1:${port}/`,
    APIFW_HEALTH_HOST: `127.0.0.1:${healthPort}`,
    APIFW_API_SPECS: join(folder, 'openapi.json'),
    APIFW_SERVER_URL: `http://127.0.0.1:${place.origin.port}`,
    APIFW_REQUEST_VALIDATION: 'BLOCK',
    APIFW_RESPONSE_VALIDATION: 'DISABLE',
    APIFW_LOG_LEVEL: 'ERROR',
  };
  const program = startProgram('gateway', OWN ?? BUILT, [], { env });
  return prove(place, { name, port, program, plain: true }, FACTS);
}

const FACTS = [
  {
    what: 'refuses a body that violates its schema',
    ask: { method: 'POST', path: '/orders', body: unfit(POST_BODY) },
    holds: at => at.status === 403,
  },
];
