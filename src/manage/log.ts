// The program's own log: pino, on standard error. JSON for machines; one plain line each when a person looks.

import { type Logger, pino } from 'pino';
import { wantsColour } from '../config/problem.js';

export type Log = Logger;

export function makeLog(part: string): Log {
  const options = {
    level: 'info',
    base: { part, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!process.stderr.isTTY) return pino(options, pino.destination({ fd: 2, sync: true }));
  const colour = wantsColour(process.stderr);
  return pino(options, { write: (line: string) => void process.stderr.write(oneLine(line, colour)) });
}

const TINTS: Readonly<Record<string, number>> = { debug: 2, info: 36, warn: 33, error: 31, fatal: 31 };

function oneLine(json: string, colour: boolean): string {
  const { level, time, msg, pid: _pid, part, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const fields = Object.entries(rest).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
  const word = String(level).padEnd(5);
  const shown = colour ? `\u001b[${TINTS[String(level)] ?? 0}m${word}\u001b[0m` : word;
  return `${String(time).slice(11, 23)} ${shown} ${part}: ${msg}${fields.join('')}\n`;
}
