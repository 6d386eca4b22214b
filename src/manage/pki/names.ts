// Names in certificates: patterns that say which may be asked for, and templates that say which are given.
//
// Whether a text is a DNS name, a mail address or a URI at all is native/pki's to say.

import { z } from 'zod';

export interface AlternativeNames {
  dns: string[];
  email: string[];
  uri: string[];
  ip: string[];
}

export type NameKind = keyof AlternativeNames;
export const KINDS: readonly NameKind[] = ['dns', 'email', 'uri', 'ip'];
export const NO_NAMES: AlternativeNames = { dns: [], email: [], uri: [], ip: [] };

/** RFC 5280, appendix A.1: ub-common-name. */
const MAX_COMMON_NAME = 64;
/** As native/pki: what public authorities allow. */
const MAX_NAMES = 100;
/** The longest SPIFFE id; no other kind is longer. */
const MAX_NAME_CHARACTERS = 2_048;
const MAX_PATTERNS = 50;

/** Stands for the certificate's name in patterns and templates. */
const PLACEHOLDER = '{name}';
/** What a `*` does not go over, and what separates the parts of a name. */
const SEPARATORS: Record<NameKind, string> = { dns: '.', email: '@', uri: '/', ip: '/' };
/** What may stand for {name} inside a longer name, so that a device's name never adds a label, a host or a segment. */
const FILLINGS: Record<NameKind, RegExp> = {
  dns: /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$/,
  email: /^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*$/,
  // RFC 3986, 2.3: unreserved; `.` and `..` would be segments of their own meaning.
  uri: /^(?!\.{1,2}$)[A-Za-z0-9._~-]+$/,
  ip: /^(?!)/,
};

/** What a part may be where the pattern leaves it open: nothing that is read as another path, host or wildcard. */
const OPEN_PARTS: Record<NameKind, RegExp> = {
  dns: /^[a-z0-9_-]+$/,
  email: /^[^*@]+$/,
  uri: /^(?!\.{1,2}$)[A-Za-z0-9._~:!$&'()+,;=-]+$/,
  ip: /^[^*]+$/,
};

/** Control, format and unassigned characters hide or turn text around; separators break lines. */
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]/u;

/** One line that a person reads as it is: no invisible character, at most so many visible ones. */
export function visible(most: number) {
  return z
    .string()
    .min(1)
    .refine(text => [...text].length <= most, { error: `has more than ${most} characters` })
    .refine(text => !INVISIBLE.test(text), { error: 'holds NUL, a line break or another invisible character' })
    .refine(text => text.trim() === text, { error: 'begins or ends with a space' });
}

/** What an operator calls a certificate: its common name. */
export const commonName = visible(MAX_COMMON_NAME);

/** Of a subject, beside the common name. */
export const besideName = {
  organization: commonName.optional(),
  organizational_unit: commonName.optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, { error: 'is two capital letters' })
    .optional(),
};

/** Without the members that are undefined. */
export function defined<T extends object>(some: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(some).filter(([, value]) => value !== undefined)) as never;
}

/** Of one kind. */
export const listedNames = z.array(z.string().min(1).max(MAX_NAME_CHARACTERS)).max(MAX_NAMES);

export const alternativeNames = z.strictObject({
  dns: listedNames.default([]),
  email: listedNames.default([]),
  uri: listedNames.default([]),
  ip: listedNames.default([]),
});

const pattern = z.string().min(1).max(MAX_NAME_CHARACTERS);

/** Of a profile. `*` is any run of characters within one part, alone any name at all. */
export const namePatterns = z.strictObject({
  dns: z.array(pattern).max(MAX_PATTERNS).default([]),
  email: z.array(pattern).max(MAX_PATTERNS).default([]),
  uri: z.array(pattern).max(MAX_PATTERNS).default([]),
  ip: z.array(pattern).max(MAX_PATTERNS).default([]),
});

export type NamePatterns = z.output<typeof namePatterns>;

/** Whether a pattern speaks of this name. Takes time in proportion to both lengths, whatever they hold. */
export function matches(kind: NameKind, pattern: string, value: string, name: string): boolean {
  if (pattern === '*') return true;
  // DNS names and the host of a mail address do not tell cases apart; the rest does.
  const same = kind === 'dns' ? (text: string) => text.toLowerCase() : (text: string) => text;
  if (pattern === PLACEHOLDER) return same(value) === same(name);
  const separator = SEPARATORS[kind];
  const parts = same(value).split(separator);
  const wanted = pattern.split(separator);
  // A star that the name brings along would be no star of the operator's.
  if (parts.length !== wanted.length || (pattern.includes(PLACEHOLDER) && name.includes('*'))) return false;
  return wanted.every((part, index) => {
    const text = parts[index] ?? '';
    if (part.includes('*') && !OPEN_PARTS[kind].test(text)) return false;
    return matchesPart(same(part.replaceAll(PLACEHOLDER, name)), text);
  });
}

/** `*` within one part: the last star is the only one that ever has to give way. */
function matchesPart(pattern: string, text: string): boolean {
  let [p, t, star, resume] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      resume = t;
    } else if (pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++resume;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** A template with the certificate's name in it; null when that name cannot stand there. */
export function fill(kind: NameKind, template: string, name: string): string | null {
  if (!template.includes(PLACEHOLDER)) return template;
  if (template !== PLACEHOLDER && !FILLINGS[kind].test(name)) return null;
  return template.replaceAll(PLACEHOLDER, name);
}

/** `dns:a.example`, for errors and for what was left out. */
export function told(names: AlternativeNames): string[] {
  return KINDS.flatMap(kind => names[kind].map(name => `${kind}:${name}`));
}

export function isSame(a: AlternativeNames, b: AlternativeNames): boolean {
  return JSON.stringify(told(a).sort()) === JSON.stringify(told(b).sort());
}
