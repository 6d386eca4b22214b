// What a person reads: tables whose columns line up, cut to the terminal's width, and never a control character of
// somebody's certificate.

import { printable, wantsColour } from '../../config/problem.js';
import type { Terminal } from './terminal.js';

/** Of the narrowest column that is still cut: enough to tell one serial from another. */
const LEAST = 8;
const GAP = '  ';

/** `width`: of the terminal; null cuts nothing. Headings without colour unless asked for. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  width: number | null = null,
  colour = false,
): string {
  const cells = [headings, ...rows].map(row => headings.map((_, column) => printable(row[column] ?? '')));
  const widths = fitted(
    headings.map((_, column) => Math.max(...cells.map(row => columns(row[column] as string)))),
    width,
  );
  const lines = cells.map(row => row.map((cell, i) => padded(cut(cell, widths[i] as number), widths[i] as number)));
  return lines
    .map(line => line.join(GAP).trimEnd())
    .map((line, i) => (i === 0 && colour ? `\u001b[1m${line}\u001b[0m` : line))
    .map(line => `${line}\n`)
    .join('');
}

/** As wide as the terminal, in its colours; whole where it goes to a file or a program. */
export function shownTable(
  { output }: Terminal,
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  return table(headings, rows, output.isTTY ? (output.columns ?? null) : null, wantsColour(output));
}

/** Label and value a line. */
export function pairs(rows: readonly (readonly [label: string, value: string])[]): string {
  const widest = Math.max(...rows.map(([label]) => columns(printable(label))));
  return rows.map(([label, value]) => `${padded(printable(label), widest)}${GAP}${printable(value)}\n`).join('');
}

/** The widest columns give first. */
function fitted(widths: readonly number[], width: number | null): number[] {
  const left = [...widths];
  if (width === null) return left;
  let over = left.reduce((sum, one) => sum + one, 0) + GAP.length * (left.length - 1) - width;
  while (over > 0) {
    const widest = Math.max(...left);
    if (widest <= LEAST) break;
    const at = left.indexOf(widest);
    const second = Math.max(LEAST, ...left.filter((one, i) => i !== at && one < widest));
    const give = Math.min(over, Math.max(1, widest - second));
    left[at] = widest - give;
    over -= give;
  }
  return left;
}

function cut(text: string, width: number): string {
  if (columns(text) <= width) return text;
  let kept = '';
  let used = 1;
  for (const character of text) {
    used += columns(character);
    if (used > width) break;
    kept += character;
  }
  return `${kept}…`;
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columns(text)));
}

const COMBINING = /^\p{Mn}|\p{Me}$/u;
/** Of two columns on a terminal: CJK, Hangul, full-width forms, emoji (Unicode TR 11, its wide blocks). */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]$/u;

function columns(text: string): number {
  let count = 0;
  for (const character of text) count += COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return count;
}
