// CSV as RFC 4180 has it, strictly: a table with a first line of names. What it does not allow is told, never guessed.

export interface CsvLine {
  /** Of the file, from 1: where a person finds it. */
  line: number;
  cells: string[];
}

/** Told with its line. */
export class CsvProblem extends Error {
  constructor(
    readonly line: number,
    message: string,
  ) {
    super(message);
  }
}

/** A cell of more than this is a mistake of quotes: the rest of the file was taken for one cell. */
const MAX_CELL = 10_000;

/** Lines with their cells, empty lines left out. Throws CsvProblem. One pass, in proportion to the text. */
export function parseCsv(text: string): CsvLine[] {
  const lines: CsvLine[] = [];
  let at = text.startsWith('\ufeff') ? 1 : 0;
  let number = 1;
  while (at < text.length) {
    const begun = number;
    const cells: string[] = [];
    for (;;) {
      const read = text[at] === '"' ? quoted(text, at, begun) : plain(text, at, begun);
      cells.push(read.cell);
      number += read.breaks;
      at = read.end;
      if (text[at] !== ',') break;
      at += 1;
    }
    if (text[at] === '\r') at += 1;
    if (at < text.length && text[at] !== '\n') throw new CsvProblem(begun, 'a carriage return stands alone');
    at += 1;
    number += 1;
    if (cells.length > 1 || cells[0] !== '') lines.push({ line: begun, cells });
  }
  return lines;
}

interface Read {
  cell: string;
  /** Of what follows the cell. */
  end: number;
  /** Line breaks within it. */
  breaks: number;
}

const PLAIN = /[^",\r\n]*/y;

function plain(text: string, at: number, line: number): Read {
  PLAIN.lastIndex = at;
  const cell = PLAIN.exec(text)?.[0] ?? '';
  if (text[at + cell.length] === '"')
    throw new CsvProblem(line, 'a quote stands within a cell that does not begin with one');
  return { cell: bounded(cell, line), end: at + cell.length, breaks: 0 };
}

function quoted(text: string, at: number, line: number): Read {
  let close = text.indexOf('"', at + 1);
  while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2);
  if (close < 0) throw new CsvProblem(line, 'a quote is not closed');
  const end = close + 1;
  if (end < text.length && !',\r\n'.includes(text[end] ?? '')) {
    throw new CsvProblem(line, 'something stands behind a closing quote');
  }
  const cell = bounded(text.slice(at + 1, close).replaceAll('""', '"'), line);
  return { cell, end, breaks: cell.split('\n').length - 1 };
}

function bounded(cell: string, line: number): string {
  if (cell.length > MAX_CELL) throw new CsvProblem(line, `a cell has more than ${MAX_CELL} characters`);
  return cell;
}

/** What spreadsheets run as a formula when a cell begins with it (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;

/** A line of ours, which spreadsheets show and do not run. */
export function writeCsvLine(cells: readonly string[]): string {
  const written = cells.map(cell => {
    const harmless = FORMULA.test(cell) ? `'${cell}` : cell;
    return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
  });
  return `${written.join(',')}\r\n`;
}
