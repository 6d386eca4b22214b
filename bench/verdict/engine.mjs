// The engine's half: its criterion bench, built once, run as often as there are rounds.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { finish, installed, start } from '../processes.mjs';

const ROOT = new URL('../../', import.meta.url).pathname;
const BUILD = ['bench', '--profile', 'release', '-p', 'portcullis-engine', '--bench', 'verdict', '--no-run'];

export function absent() {
  return installed('cargo', '--version') ? null : 'cargo is needed to build the bench of the engine';
}

/** Answers the program; the first time takes minutes. */
export function build() {
  const { status, stdout, stderr } = spawnSync('cargo', [...BUILD, '--message-format=json'], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  if (status !== 0) throw new Error(`cargo ${BUILD.join(' ')}: ${stderr.slice(-2_000)}`);
  const built = stdout.split('\n').filter(line => line.startsWith('{'));
  return built.map(line => JSON.parse(line)).find(each => each.executable && each.target?.name === 'verdict')
    .executable;
}

/** Microseconds by body; criterion's median of twenty samples. */
export async function run(place, program, folder, names) {
  const home = join(place.folder, 'criterion');
  const env = { BENCH_VERDICT: folder, CRITERION_HOME: home };
  await finish(start('gateway', program, ['--bench'], { env }), 'the bench of the engine');
  const estimates = name => JSON.parse(readFileSync(join(home, 'verdict', name, 'new', 'estimates.json'), 'utf8'));
  return Object.fromEntries(names.map(name => [name, estimates(name).median.point_estimate / 1000]));
}
