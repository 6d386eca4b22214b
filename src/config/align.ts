// Which character of a YAML file is the n-th character of a scalar's value?
//
// Quoting, escapes, folding and indentation stand between the two. The value is walked along its source:
// white space matches loosely, everything else must match. Where it does not, the answer is null and the
// error points at the start of the scalar instead.

const ESCAPE_LENGTH: Readonly<Record<string, number>> = { x: 4, u: 6, U: 10 };
const SPACE = /[ \t\r\n]/;

/** `source` is the whole file; the scalar, header of a block included, is its part from `start` to `end`. */
export function offsetInSource(
  value: string,
  index: number,
  source: string,
  start: number,
  end: number,
): number | null {
  const opening = source[start];
  const block = opening === '|' || opening === '>';
  const quote = opening === '"' || opening === "'" ? opening : null;
  let at = block ? source.indexOf('\n', start) + 1 : quote ? start + 1 : start;
  for (let i = 0; i <= index; i++) {
    const char = value[i];
    if (char === undefined) break; // just behind the last character
    if (!SPACE.test(char)) while (at < end && SPACE.test(source[at] as string)) at++;
    if (i === index) return at;
    if (SPACE.test(char)) {
      if (SPACE.test(source[at] as string)) at++;
      else if (quote === '"' && source[at] === '\\') at += 2;
    } else if (quote === '"' && source[at] === '\\') {
      at += ESCAPE_LENGTH[source[at + 1] as string] ?? 2;
      if (char >= '\ud800' && char <= '\udbff') i++; // one escape, two UTF-16 units
    } else if (source[at] === char) {
      at += quote === "'" && char === "'" ? 2 : 1;
    } else {
      return null;
    }
  }
  return at <= end ? at : null;
}

/** Turns an offset in UTF-8 bytes, as the engine counts, into one in characters, as JavaScript does. */
export function characterOf(value: string, byte: number): number {
  return Buffer.from(value, 'utf8').subarray(0, byte).toString('utf8').length;
}
