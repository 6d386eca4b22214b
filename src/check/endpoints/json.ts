// JSON as values: the platform's own parser for those, one scan beside it for the places and what that parser forgives.

import { type Fault, MAX_NESTING, MAX_VALUES, Outline, type Read, TOO_DEEP, TOO_MANY } from './outline.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** null when the text is not JSON; it may be YAML then. */
export function readJson(text: string): Read | null {
  const scanned = scan(text);
  if (scanned.fault !== null) return { value: undefined, outline: scanned.outline, faults: [scanned.fault] };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const { outline, members } = scanned;
  // The last of two equal keys wins in JSON.parse: there are fewer members then than were written.
  const faults = countMembers(value) === members ? [] : [...outline.repeated()].map(repeated);
  return { value: faults.length > 0 ? undefined : value, outline, faults };
}

export function repeated([start, end]: readonly [number, number]): Fault {
  return { start, end, message: 'this key is written twice' };
}

/** Text that is not JSON comes out as some outline, and is thrown away. */
function scan(text: string): { outline: Outline; members: number; fault: Fault | null } {
  const outline = new Outline((_, [start, end]) => name(text, start, end));
  let members = 0;
  for (let at = 0; at < text.length; ) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = stringEnd(text, at);
        outline.scalar(at, end);
        at = end;
        break;
      }
      case 0x7b: // {
        outline.map(at++);
        break;
      case 0x5b: // [
        outline.list(at++);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        outline.close(++at);
        break;
      case 0x3a: // :
        members++;
        at++;
        break;
      case 0x20:
      case 0x0a:
      case 0x0d:
      case 0x09:
      case 0x2c: // ,
        at++;
        break;
      default: {
        const end = literalEnd(text, at);
        outline.scalar(at, end);
        at = end;
      }
    }
    if (outline.depth > MAX_NESTING) return { outline, members, fault: { start: at - 1, end: at, ...TOO_DEEP } };
    if (outline.count > MAX_VALUES) return { outline, members, fault: { start: at - 1, end: at, ...TOO_MANY } };
  }
  return { outline, members, fault: null };
}

function name(text: string, start: number, end: number): string | null {
  if (text.charCodeAt(start) !== QUOTE) return null;
  const inside = text.slice(start + 1, end - 1);
  return inside.includes('\\') ? (JSON.parse(text.slice(start, end)) as string) : inside;
}

function stringEnd(text: string, start: number): number {
  for (let at = start; ; ) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return text.length;
    let before = at;
    while (text.charCodeAt(before - 1) === BACKSLASH && before - 1 > start) before--;
    if ((at - before) % 2 === 0) return at + 1;
  }
}

function literalEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && !' \t\r\n,:]}"[{'.includes(text.charAt(at))) at++;
  return at;
}

function countMembers(root: unknown): number {
  let count = 0;
  const left: unknown[] = [root];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === 'object') left.push(item);
      continue;
    }
    for (const key in value) {
      count++;
      const member = (value as Record<string, unknown>)[key];
      if (typeof member === 'object') left.push(member);
    }
  }
  return count;
}
