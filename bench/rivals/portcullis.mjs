// Portcullis with what a team would have on: mTLS required, rules, an OpenAPI file of 50 operations whose bodies are
// checked, metrics, and an access line for every request. One edge thread.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROTO } from '../calls.mjs';
import { openapi, POST_BODY, unfit } from '../orders.mjs';
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

/**
 * `called` tells several of them in one scenario apart; `policy` replaces the 20 rules, `description` the 50
 * operations (`file` names one that exists), `openapi` adds to the settings of that name, `host` to those of the host, `config` to all others;
 * `listen` adds to the settings of that name; `headers` come with the requests of the proofs;
 * `facts` are those of `prove`, unless `proof` is another; `grpc` sends calls to the origin that speaks HTTP/2.
 */
export async function start(place, { called = name, facts = FACTS, readyMs, headers, proof = prove, ...options } = {}) {
  const { config, events, port, adminPort } = await configure(place, called, options);
  const program = startProgram('gateway', process.execPath, [MAIN, 'run', '--config', config]);
  const gateway = await proof(place, { name: called, port, program, headers }, facts, readyMs);
  gateway.program.stop = stopAfterProof(program, events);
  gateway.admin = adminPort;
  return gateway;
}

/** Writes a configuration; answers where it is, where its events go, and its port. */
export async function configure(place, called, { policy = rules(20), description = openapi(), ...options } = {}) {
  const folder = join(place.folder, called);
  mkdirSync(folder, { recursive: true });
  const [port, adminPort] = [await freePort(), await freePort()];
  // Not beside the configuration, whose folder is watched.
  const events = join(place.folder, `${called}-events`, 'events.ndjson');
  mkdirSync(dirname(events), { recursive: true });
  const file = options.file ?? join(folder, 'openapi.json');
  if (options.file === undefined) writeFileSync(file, JSON.stringify(description, null, 1));
  const config = join(folder, 'portcullis.yaml');
  // JSON is YAML.
  writeFileSync(
    config,
    JSON.stringify(
      {
        listen: {
          https: `127.0.0.1:${port}`,
          admin: `127.0.0.1:${adminPort}`,
          // All clients have one address here.
          connections: { perAddress: 65_536 },
          ...options.listen,
        },
        threads: options.threads ?? 1,
        ...(options.store && { store: options.store }),
        authorities: { bench: { certificates: place.pki.clientCa } },
        hosts: {
          localhost: {
            tls: { certificate: place.pki.server, key: place.pki.serverKey },
            mtls: { mode: 'require', trust: ['bench'] },
            ...(options.grpc ? grpcHost(place, folder) : plainHost(place, { file, ...options.openapi })),
            ...options.host,
          },
        },
        lists: { blocked_ips: ['192.0.2.0/24', '198.51.100.7'] },
        rules: policy,
        events: { destination: events, sampleRate: 1 },
        ...options.config,
      },
      null,
      1,
    ),
  );
  return { config, events, port, adminPort };
}

function plainHost(place, openapi) {
  return {
    origin: `http://127.0.0.1:${place.origin.port}`,
    openapi: { action: 'block', fallthrough: 'block', ...openapi },
  };
}

function grpcHost(place, folder) {
  writeFileSync(join(folder, 'orders.proto'), PROTO);
  return {
    origin: { url: `http://127.0.0.1:${place.origin.grpcPort}`, protocol: 'h2' },
    grpc: { protos: { files: ['orders.proto'] }, action: 'block', fallthrough: 'block' },
  };
}

/** What the gateway gives its engine for the description of such a configuration. */
export async function compiled(place, options) {
  const { config } = await configure(place, 'compiled', options);
  const { load } = await import(join(ROOT, 'dist', 'config', 'load.js'));
  const { parts, remarks } = await load(config);
  const problem = remarks.find(({ severity }) => severity === 'problem');
  if (problem !== undefined) throw new Error(`the configuration of the bench: ${problem.message}`);
  return parts.policy.hosts[0].openapi;
}

/** Holds of every Portcullis. */
export const RULES = [
  {
    what: 'blocks by a rule',
    ask: { path: '/orders/1', headers: { 'x-blocked': '1' } },
    holds: at => at.status === 403,
  },
];

/** Holds where `fallthrough` blocks. */
export const RULES_AND_PATHS = [
  ...RULES,
  { what: 'blocks what no operation describes', ask: { path: '/nowhere' }, holds: at => at.status >= 400 },
];

// What makes the comparison fair in the other direction: the checks that are paid for are really on.
const FACTS = [
  ...RULES_AND_PATHS,
  {
    what: 'refuses a body that violates its schema',
    ask: { method: 'POST', path: '/orders', body: unfit(POST_BODY) },
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
