// What is wrong with a configuration, where, and what would do; and how that is shown.

/** A stretch of one line of a file. Lines and columns count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
  width: number;
  /** The whole line, to be shown above the caret. */
  text: string;
}

export interface Problem {
  severity: 'problem' | 'warning';
  place: Place;
  message: string;
  hint?: string;
}

/** The beginning of a file: where a problem belongs that has no better place. */
export function beginning(file: string, text = ''): Place {
  return { file, line: 1, column: 1, width: 1, text: text.split(/\r?\n/, 1)[0] ?? '' };
}

/** Sorted by place, the same thing said once. */
export function inOrder(problems: readonly Problem[]): Problem[] {
  const seen = new Set<string>();
  return [...problems]
    .sort(
      (a, b) => compare(a.place.file, b.place.file) || a.place.line - b.place.line || a.place.column - b.place.column,
    )
    .filter(({ place, message }) => {
      const key = `${place.file}:${place.line}:${place.column}:${message}`;
      return !seen.has(key) && seen.add(key);
    });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** For machines. */
export function flat({ severity, place, message, hint }: Problem) {
  return {
    severity,
    file: place.file,
    line: place.line,
    column: place.column,
    message: masked(message),
    ...(hint && { hint }),
  };
}

/** `file:line:col: message`, the line with carets under the place, and the hint. */
export function render(problem: Problem, colour = false): string {
  const paint = (code: number, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const { place, message, hint, severity } = problem;
  const tint = severity === 'problem' ? 31 : 33;
  const label = severity === 'warning' ? 'warning: ' : '';
  const number = String(place.line).padStart(4);
  const gutter = ' '.repeat(number.length);
  const text = masked(place.text);
  const lead = printable(text.slice(0, place.column - 1));
  const marked = printable(text.slice(place.column - 1, place.column - 1 + place.width));
  const lines = [
    `${paint(1, `${place.file}:${place.line}:${place.column}:`)} ${paint(tint, label)}${paint(1, printable(masked(message)))}`,
    paint(2, `${number} | `) + printable(text),
    `${paint(2, `${gutter} | `)}${' '.repeat(lead.length)}${paint(tint, '^'.repeat(Math.max(1, marked.length)))}`,
  ];
  if (hint) lines.push(`${paint(2, `${gutter} = `)}${printable(hint)}`);
  return lines.join('\n');
}

/** A password inside a URL is not shown; as wide as it was, for the carets. */
function masked(text: string): string {
  return text.replace(/(:\/\/[^\s:/@]*:)(?!\$\{)([^\s@]+)(?=@)/g, (_, before: string, secret: string) => {
    return before + '*'.repeat(secret.length);
  });
}

/**
 * Tabs as one space, so that carets line up; no control characters on somebody's terminal, nor what turns the text
 * around or hides in it (Unicode TR 9, TR 36): a name is read as it is compared.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what has to go
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, ' ');
}

/** Colours only where a person looks, and has not declined them (https://no-color.org). */
export function wantsColour(stream: { isTTY?: boolean }): boolean {
  return Boolean(stream.isTTY) && !process.env.NO_COLOR;
}
