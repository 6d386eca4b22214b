// What a gateway's processes took: CPU time and memory, read from /proc.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CORES, family, statFields } from './processes.mjs';

const TICK_US = 1e6 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Bytes of memory: `rss` counts shared pages once a process, `pss` shares them out. */
export function memory(pid) {
  const sum = { rss: 0, pss: 0 };
  for (const each of family(pid)) {
    let text;
    try {
      text = readFileSync(`/proc/${each}/smaps_rollup`, 'utf8');
    } catch {
      continue; // gone, or not ours to read
    }
    sum.rss += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024;
    sum.pss += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024;
  }
  return sum;
}

/** Most bytes of memory so far, each process at its own worst moment. */
export function peakMemory(pid) {
  let sum = 0;
  for (const each of family(pid)) {
    try {
      sum += Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${each}/status`, 'utf8'))?.[1] ?? 0) * 1024;
    } catch {
      // gone, or not ours to read
    }
  }
  return sum;
}

/** Starts a measurement of a gateway; calling what it returns ends it. */
export function meter(pid) {
  const before = reading(pid);
  return () => {
    const after = reading(pid);
    let cpu = 0;
    for (const [each, ticks] of after.ticks) cpu += (ticks - (before.ticks.get(each) ?? 0)) * TICK_US;
    const elapsed = after.at - before.at;
    return {
      /** User and system time of all the processes and their threads, in microseconds. */
      cpu,
      /** False when a process ended meanwhile: its time is lost, and a gateway should not do that. */
      steady: [...before.ticks.keys()].every(each => after.ticks.has(each)),
      // Share of the gateway's core that other programs took, and that the host withheld: what makes a round noisy.
      foreign: Math.max(0, after.core - before.core - cpu) / elapsed,
      steal: (after.steal - before.steal) / elapsed,
    };
  };
}

function reading(pid) {
  const line = readFileSync('/proc/stat', 'utf8').match(new RegExp(`^cpu${CORES?.gateway ?? 0} .*`, 'm'))[0];
  const [, user, nice, system, , , , , steal] = line.split(' ').map(Number);
  return {
    at: performance.now() * 1000,
    ticks: new Map(family(pid).flatMap(each => ticksOf(each))),
    core: (user + nice + system) * TICK_US,
    steal: steal * TICK_US,
  };
}

function ticksOf(pid) {
  const fields = statFields(pid);
  return fields === null ? [] : [[pid, Number(fields[11]) + Number(fields[12])]]; // utime, stime: fields 14 and 15
}
