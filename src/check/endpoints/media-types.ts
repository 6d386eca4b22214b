// Media types as descriptions write them, and what the engine reads of each.

import type { PolicyContent } from '../../config/policy.js';

const TOKEN = "[a-z0-9!#$%&'+.^_`|~-]+";
/** A media type, `type/*`, or a range of suffixes (`application/*+json`). */
const MEDIA_TYPE = new RegExp(`^(\\*/\\*|${TOKEN}/(\\*(\\+[a-z0-9.-]+)?|${TOKEN}))$`);

/** One JSON value a line. `json-seq` is none of them: it puts a control character in front of each (RFC 7464). */
const LINES = new Set(
  'application/x-ndjson application/ndjson application/jsonl application/x-jsonl application/jsonlines application/x-jsonlines'.split(
    ' ',
  ),
);

/** Lower-case, without parameters; null when it is no media type or range. */
export function mediaType(written: string): string | null {
  const essence = (written.split(';', 1)[0] as string).trim().toLowerCase();
  return MEDIA_TYPE.test(essence) ? essence : null;
}

export function isRange(type: string): boolean {
  return type.endsWith('/*');
}

export function isJson(type: string): boolean {
  return type === 'application/json' || type === 'text/json' || type.endsWith('+json');
}

export function isXml(type: string): boolean {
  return type === 'application/xml' || type === 'text/xml' || type.endsWith('+xml');
}

/** Whether bytes of this type are text for sure. */
export function isText(type: string): boolean {
  return type.startsWith('text/') || isJson(type) || isXml(type) || type === 'application/x-www-form-urlencoded';
}

/** Of one media type, no range. */
export function formatOf(type: string): PolicyContent['format'] {
  if (isJson(type)) return 'json';
  if (isXml(type)) return 'refused';
  if (LINES.has(type)) return 'ndjson';
  if (type === 'application/x-www-form-urlencoded') return 'form';
  if (type.startsWith('multipart/')) return 'multipart';
  // Events have no end: nobody collects them.
  return type.startsWith('text/') && type !== 'text/event-stream' ? 'text' : 'unchecked';
}

// XML that a range would let through beside what is meant; a suffix of any type (`*/*+xml`) is the engine's word alone.
export function xmlWithin(range: string): string[] {
  const exact = ['application/xml', 'text/xml'].filter(type => range === '*/*' || type.startsWith(range.slice(0, -1)));
  return [...exact, `${range}+xml`];
}
