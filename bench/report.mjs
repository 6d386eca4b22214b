// Medians, the table, and the folder of kept results.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const RESULTS = new URL('results/', import.meta.url).pathname;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : round((sorted[middle - 1] + sorted[middle]) / 2, 3);
}

export function range(values) {
  return [Math.min(...values), Math.max(...values)];
}

export function round(value, digits) {
  return Number(value.toFixed(digits));
}

/** A Markdown table of the rows; columns are the fields that any row has, ranges beside their medians. */
export function table(rows) {
  const hidden = name => ['scenario', 'samples'].includes(name) || name.endsWith('_range');
  const said = name => rows.some(row => row[name] != null);
  const names = [...new Set(rows.flatMap(Object.keys))].filter(name => !hidden(name) && said(name));
  const cell = (row, name) => {
    const low = row[`${name}_range`];
    return low ? `${row[name]} (${low[0]} - ${low[1]})` : `${row[name] ?? ''}`;
  };
  const lines = [names, names.map(() => '---'), ...rows.map(row => names.map(name => cell(row, name)))];
  return lines.map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

/** Writes `<scenario>.json` with every sample, and the folder's README.md from all that is in it. */
export function keep(scenario, rows, command, versions, machine) {
  const folder = join(RESULTS, `${new Date().toISOString().slice(0, 10)}-${machine.name}`);
  mkdirSync(folder, { recursive: true });
  const record = { scenario: scenario.name, about: scenario.about, command, versions, machine, rows };
  writeFileSync(join(folder, `${scenario.name}.json`), `${JSON.stringify(record, null, 1)}\n`);
  const records = readdirSync(folder)
    .filter(name => name.endsWith('.json'))
    .sort()
    .map(name => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  const lines = list => Object.entries(list).map(([name, value]) => `- ${name}: ${value}`);
  const pages = records.map(each =>
    [`## ${each.scenario}`, each.about, `\`${each.command}\``, table(each.rows), lines(each.versions).join('\n')].join(
      '\n\n',
    ),
  );
  writeFileSync(join(folder, 'README.md'), `${['# Results', lines(machine).join('\n'), ...pages].join('\n\n')}\n`);
}
