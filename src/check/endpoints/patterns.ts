// Patterns that the engine cannot take, told with their place in the description. The engine has the last word.

const LINEAR = 'matching has to take time in proportion to the text';

/** What keeps a pattern from being matched in linear time, or at all; null when nothing was found. */
export function patternFault(pattern: string): { message: string; hint?: string } | null {
  try {
    new RegExp(pattern, 'u');
  } catch {
    try {
      // What OpenAPI 3.0 descriptions hold is often only valid without the `u` flag: `\-` and the like.
      new RegExp(pattern);
    } catch {
      return { message: 'this pattern is not a regular expression' };
    }
  }
  // Escapes and classes are taken out first: what looks like a group inside them is none.
  const bare = pattern.replace(/\\[^1-9k]/g, '').replace(/\[[^\]]*\]/g, '');
  if (/\(\?<?[=!]/.test(bare)) return { message: 'look-around in patterns is not supported', hint: LINEAR };
  if (/\\([1-9]|k<)/.test(bare)) return { message: 'back-references in patterns are not supported', hint: LINEAR };
  return null;
}
