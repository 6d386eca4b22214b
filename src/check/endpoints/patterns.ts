// Patterns that the engine cannot take, told with their place in the description. The engine has the last word.

const LINEAR = 'matching has to take time in proportion to the text';

export interface PatternFault {
  message: string;
  hint?: string;
  /** It is a regular expression: only matching it would not be linear. */
  valid: boolean;
}

/** What keeps a pattern from being matched in linear time, or at all; null when nothing was found. */
export function patternFault(pattern: string): PatternFault | null {
  try {
    new RegExp(pattern, 'u');
  } catch {
    try {
      // What OpenAPI 3.0 descriptions hold is often only valid without the `u` flag: `\-` and the like.
      new RegExp(pattern);
    } catch {
      return { message: 'this pattern is not a regular expression', valid: false };
    }
  }
  // Escapes and classes are taken out first: what looks like a group inside them is none.
  const bare = pattern.replace(/\\[^1-9k]/g, '').replace(/\[[^\]]*\]/g, '');
  const found = /\(\?<?[=!]/.test(bare) ? 'look-around' : /\\([1-9]|k<)/.test(bare) ? 'back-references' : null;
  return (
    found && {
      message: `${found} in patterns ${found === 'look-around' ? 'is' : 'are'} not supported`,
      hint: LINEAR,
      valid: true,
    }
  );
}
