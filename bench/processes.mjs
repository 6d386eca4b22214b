// Starting, pinning and ending the programs of a run. Nothing outlives the bench.

import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** The gateway under test has a core of its own; origin and load generator share the other. Null: not possible here. */
export const CORES = installed('taskset', '--version') && cpus().length > 1 ? { gateway: 0, load: 1 } : null;

// 10,000 connections, each with an origin connection in the worst case, and room. Raised as far as the hard limit
// (root may go beyond).
const OPEN_FILES = 65_536;

// How long a program may take to end by itself before it is killed.
const STOP_MS = 3_000;

const running = new Set();

/** True when `command` can be run here. */
export function installed(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).error === undefined;
}

/** First line of what a program prints about itself, '' when it is absent. */
export function firstLine(command, ...args) {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n')[0];
}

const RAISE_FILES = `ulimit -n ${OPEN_FILES} 2>/dev/null || ulimit -n "$(ulimit -Hn)"`;

/** How many files a program started here may open. */
export function openFilesLimit() {
  return Number(spawnSync('sh', ['-c', `${RAISE_FILES}; ulimit -n`], { encoding: 'utf8' }).stdout);
}

/** Starts a program on the core of `side` ('gateway' or 'load'). Its output is kept for the error message. */
export function start(side, command, args, extra = {}) {
  const pinned = CORES === null ? [command, ...args] : ['taskset', '-c', String(CORES[side]), command, ...args];
  const child = spawn('sh', ['-c', `${RAISE_FILES}; exec "$@"`, 'sh', ...pinned], {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...extra,
    env: { ...process.env, ...extra.env },
  });
  const program = { child, pid: child.pid, out: '', err: '', stop: () => stop(program) };
  running.add(program);
  program.ended = new Promise(resolve => {
    child.once('error', error => {
      program.err += error.message;
      running.delete(program);
      resolve(-1);
    });
    child.once('close', code => {
      running.delete(program);
      resolve(code ?? -1);
    });
  });
  child.stdin.on('error', () => {}); // it ended before it read: `ended` tells
  child.stdout.setEncoding('utf8').on('data', text => {
    program.out = tail(program.out + text);
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    program.err = tail(program.err + text);
  });
  return program;
}

/** Runs a program to its end and returns its standard output; throws with its words when it fails. */
export async function finish(program, name) {
  const code = await program.ended;
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${program.err.slice(-2_000)}`);
  return program.out;
}

/** The process and all that descend from it. */
export function family(pid) {
  const parents = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = statFields(entry)?.[1];
    if (parent !== undefined) parents.set(Number(entry), Number(parent));
  }
  const found = [pid];
  // `found` grows while it is walked: children of children are met later in the same loop.
  for (const each of found) for (const [child, parent] of parents) if (parent === each) found.push(child);
  return found;
}

/** Fields of /proc/PID/stat from the third (state) on, so that [n] is field n + 3 of proc(5); null when it is gone. */
export function statFields(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

/** A port that nobody listens on at this moment. */
export async function freePort() {
  const server = createServer();
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise(resolve => server.close(resolve));
  return port;
}

export async function stopAll() {
  await Promise.all([...running].map(stop));
}

async function stop(program) {
  if (!running.has(program)) return;
  const pids = family(program.pid);
  signal(program.pid, 'SIGTERM');
  const ended = await Promise.race([program.ended.then(() => true), sleep(STOP_MS, false, { ref: false })]);
  if (ended) return;
  for (const pid of pids) signal(pid, 'SIGKILL');
  await program.ended;
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // already gone
  }
}

function tail(text) {
  return text.slice(-65_536);
}
