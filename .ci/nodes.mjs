// Runs the quickstart's test on the other Node versions that are supported: node .ci/nodes.mjs [major ...]
//
// A Node binary comes as an npm package of some 100 MB: it is fetched into .cache/ when it is first wanted, not with
// npm install. The addon and dist/ are those of the Node that built them; N-API is the same for all.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './step.mjs';

const MAJORS = process.argv.length > 2 ? process.argv.slice(2) : ['22', '24'];

for (const major of MAJORS) {
  const node = installed(major);
  console.log(`\nNode ${run(node, ['--version'], { encoding: 'utf8', stdio: 'pipe' }).stdout.trim()}`);
  run(node, ['node_modules/vitest/vitest.mjs', 'run', 'test/e2e/quickstart.test.ts']);
}

/** Path of the newest Node of that major. */
function installed(major) {
  const package_ = `node-${process.platform}-${process.arch}`;
  const folder = join(root, '.cache/nodes', major);
  const node = join(folder, 'node_modules', package_, 'bin/node');
  if (!existsSync(node)) {
    mkdirSync(folder, { recursive: true });
    const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
    run('npm', ['install', '--prefix', folder, ...quiet, `${package_}@${major}`]);
  }
  return node;
}

function run(command, args, options = {}) {
  const ended = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (ended.status !== 0) {
    console.error(
      `${command} ${args.join(' ')}: ${ended.error?.message ?? `ended with ${ended.signal ?? ended.status}`}`,
    );
    process.exit(1);
  }
  return ended;
}
