// What ties credentials to a partner, as it is typed.

import type { z } from 'zod';
import type { partner } from '../partners/shapes.js';
import { usage } from './fault.js';
import { fingerprintOf } from './keys.js';

type Partner = z.output<typeof partner>;
type CertificatePattern = Partner['certificates'][number];
type TokenPattern = Partner['tokens'][number];

const MEMBERS = ['authority', 'subject', 'san', 'fingerprint'] as const;
const PATTERN = /^(authority|subject|san|fingerprint)=/;

/** `authority=partners;subject=CN=*,O=Acme`; a fingerprint, or a file with the certificate. For commander: repeatable. */
export function certificatePattern(
  written: string,
  before: readonly CertificatePattern[] = [],
): readonly CertificatePattern[] {
  return [...before, PATTERN.test(written) ? spelled(written) : { fingerprint: fingerprintOf(written) }];
}

function spelled(written: string): CertificatePattern {
  const pattern: CertificatePattern = {};
  // A `;` of a subject itself is escaped (RFC 4514, 2.4).
  for (const part of written.split(/(?<!\\);/)) {
    const [name, value] = splitAt(part.trim(), '=');
    const member = MEMBERS.find(one => one === name);
    if (member === undefined || value === '') {
      throw usage(
        `\`${part}\` says nothing of a certificate`,
        'such as `authority=partners;subject=CN=*,O=Acme`, `san=*.acme.example`, or a file with the certificate',
      );
    }
    if (pattern[member] !== undefined) throw usage(`\`${written}\` names ${member} twice`);
    pattern[member] = value;
  }
  return pattern;
}

/** `customers`, `customers:azp=acme`, `:azp=acme`: a token configuration, a claim and its value. */
export function tokenPattern(written: string, before: readonly TokenPattern[] = []): readonly TokenPattern[] {
  const [configuration, rest] = splitAt(written, ':');
  const [claim, value] = splitAt(rest, '=');
  const whole = written.includes(':') ? claim !== '' && value !== '' : configuration !== '';
  if (!whole) {
    throw usage(`\`${written}\` says nothing of a token`, 'such as `customers`, or `customers:azp=acme`');
  }
  return [...before, { ...(configuration && { configuration }), ...(claim && { claim, value }) }];
}

/** `1000/1h` */
export function quotaOf(written: string): { requests: number; period: string } {
  const [, requests, period] = /^(\d{1,13})\/(\d{1,6}[smhd])$/.exec(written) ?? [];
  if (requests !== undefined && period !== undefined) return { requests: Number(requests), period };
  throw usage(`\`${written}\` is no quota`, 'requests in a time, such as `1000/1h`');
}

export function certificateText(pattern: CertificatePattern): string {
  return MEMBERS.flatMap(member => (pattern[member] === undefined ? [] : `${member}=${pattern[member]}`)).join(';');
}

export function tokenText({ configuration = '', claim, value }: TokenPattern): string {
  return claim === undefined ? configuration : `${configuration}:${claim}=${value}`;
}

function splitAt(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
