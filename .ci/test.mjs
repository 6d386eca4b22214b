// npm test: installs and builds what is missing, runs cargo test and vitest, and adds up what they counted.
//
// The last line is `N passed, N failed`, with `, N skipped` behind it when any were. The exit code is 0 only when both
// runners ran tests, none failed, and neither ended badly in another way. Arguments are passed on to vitest, and then
// vitest runs alone: `npm test -- test/e2e/quickstart.test.ts`.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { buildOrExplain } from './build.mjs';
import { root } from './step.mjs';

const VITEST_REPORT = join(root, '.cache/vitest.json');

console.log('Building what changed');
if (!(await buildOrExplain())) {
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const vitestArguments = process.argv.slice(2);
const counts = vitestArguments.length > 0 ? [] : [await cargoTest()];
counts.push(await vitest(vitestArguments));

const total = what => counts.reduce((sum, count) => sum + count[what], 0);
for (const { runner, complaint } of counts) if (complaint) console.log(`\n${runner}: ${complaint}`);
const skipped = total('skipped');
console.log(`\n${total('passed')} passed, ${total('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = total('failed') > 0 ? 1 : 0;

async function cargoTest() {
  const { output, ended } = await shown('cargo', [
    'test',
    ...['--release', '--config', '.ci/tests.toml', '--locked'],
    // The door has no test program, and nobody wants it as this would build it.
    ...['--workspace', '--exclude', 'portcullis-door'],
    ...['--tests', '--no-fail-fast'],
  ]);
  const count = { runner: 'cargo test', passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    count.passed += Number(passed);
    count.failed += Number(failed);
    count.skipped += Number(ignored);
  }
  return judged(count, ended);
}

async function vitest(args) {
  rmSync(VITEST_REPORT, { force: true });
  const { ended } = await shown(process.execPath, [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${VITEST_REPORT}`,
    ...args,
  ]);
  const count = { runner: 'vitest', passed: 0, failed: 0, skipped: 0 };
  if (existsSync(VITEST_REPORT)) {
    const report = JSON.parse(readFileSync(VITEST_REPORT, 'utf8'));
    count.passed = report.numPassedTests;
    count.failed = report.numFailedTests;
    count.skipped = report.numPendingTests + report.numTodoTests;
  }
  return judged(count, ended);
}

/** A runner that broke off, did not compile or ran nothing has failed too: that counts as one failure. */
function judged(count, ended) {
  if (count.failed > 0) return count;
  if (ended !== 'exit code 0') return { ...count, failed: 1, complaint: `ended with ${ended} although no test failed` };
  if (count.passed === 0) return { ...count, failed: 1, complaint: 'ran no test' };
  return count;
}

/** Runs a program whose output is shown as it comes and also kept. */
function shown(command, args) {
  console.log(`\n$ ${command} ${args.join(' ')}`);
  return new Promise(resolve => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', piece => {
      output += piece;
      process.stdout.write(piece);
    });
    child.on('error', error => resolve({ output, ended: error.message }));
    child.on('close', (code, signal) => resolve({ output, ended: signal ?? `exit code ${code}` }));
  });
}
