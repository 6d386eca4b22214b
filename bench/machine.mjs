// What the figures were taken on and with. No host name, no path: results are published.

import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { CORES, firstLine } from './processes.mjs';

export function describeMachine() {
  const [first] = cpus();
  const model = first.model
    .replace(/\(R\)|\(TM\)|CPU|Processor/g, '')
    .replace(/\s+/g, ' ')
    .trim();
  return {
    name: `${model}-${cpus().length}-cores`.toLowerCase().replace(/[^a-z0-9.]+/g, '-'),
    processor: `${model}, ${cpus().length} cores${/\bhypervisor\b/.test(readFileSync('/proc/cpuinfo', 'utf8')) ? ', virtual' : ''}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${/^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]}, Linux ${release().split('-')[0]}`,
    pinned: CORES === null ? 'no' : 'gateway on one core, origin and load generator on another',
  };
}

export function describeVersions(programs) {
  return {
    ...Object.fromEntries(programs.map(each => [each.name, each.version()])),
    node: process.version,
    openssl: firstLine('openssl', 'version').split(' ').slice(0, 2).join(' '),
  };
}
