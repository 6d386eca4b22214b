// What has to be on the machine before anything can be installed or built.
// Runs on whatever Node there is, so it uses nothing newer than its first modules.

import { spawnSync } from 'node:child_process';

const OLDEST_NODE = 20;

/** One sentence for each thing that is missing; empty when all is there. */
export function missingPrerequisites() {
  const missing = [];
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    missing.push(`Node ${OLDEST_NODE} or newer is needed, this is ${process.versions.node}.`);
  }
  if (process.platform === 'win32') missing.push('Portcullis runs on Linux and macOS; on Windows, use WSL.');
  if (!runs('npm')) missing.push('npm is missing: it comes with Node.');
  if (!runs('cargo')) missing.push('cargo is missing: install Rust (https://rustup.rs) and start again.');
  if (!['cc', 'gcc', 'clang'].some(runs)) {
    missing.push('A C compiler is missing: install gcc or clang (Debian: apt-get install gcc libc6-dev).');
  }
  return missing;
}

function runs(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}
