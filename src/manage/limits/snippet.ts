// Recommendations as an operator would write them: `limits.rules`, in log mode.

import type { Counted, Recommendation } from './recommend.js';
import { PERIOD_S } from './recommend.js';

/** Of a limit (src/check/limits/config.ts). */
const MAX_NAME = 64;

/** Text in YAML that the configuration takes as it is; nothing of nothing. */
export function snippet(all: readonly Recommendation[]): string {
  if (all.length === 0) return '';
  const taken = new Set<string>();
  return ['limits:', '  rules:', ...all.flatMap(one => rule(one, nameOf(one, taken)))]
    .map(line => `${line}\n`)
    .join('');
}

function rule(one: Recommendation, name: string): string[] {
  const { host, operation, sensitivity, limit, p50, p90, p99, confidence } = one;
  return [
    // Printable, or what stands in a description could end the line.
    `    # ${clean(`${operation} of ${host}: ${sensitivity.reason}`)}`,
    `    # requests of a session in ten minutes: p50 ${p50}, p90 ${p90}, p99 ${p99}; confidence ${confidence}`,
    `    - name: ${quoted(name)}`,
    `      expression: ${quoted(expressionOf(one))}`,
    `      characteristics: [${CHARACTERISTICS[one.counted].map(quoted).join(', ')}]`,
    `      requestsPerPeriod: ${limit}`,
    `      period: ${PERIOD_S / 60}m`,
    '      action: log',
  ];
}

const CHARACTERISTICS: Record<Counted, readonly string[]> = {
  session: ['portcullis.session'],
  caller: ['portcullis.key.id', 'cf.tls_client_auth.cert_fingerprint_sha256'],
  // A client has a network of IPv6 addresses.
  address: ['cidr(ip.src, 32, 64)'],
};

/** What is missing is a counter of its own: whoever has nothing to be told apart by would share one with all others. */
const WITH: Record<Counted, readonly string[]> = {
  session: ['portcullis.session ne ""'],
  caller: ['(portcullis.key.id ne "" or cf.tls_client_auth.cert_verified)'],
  address: [],
};

function expressionOf({ host, operation, counted }: Recommendation): string {
  const named = operation === UNDESCRIBED ? '' : operation;
  return [
    host.startsWith('*.') ? `ends_with(http.host, ${text(host.slice(1))})` : `http.host eq ${text(host)}`,
    `portcullis.operation eq ${text(named)}`,
    ...WITH[counted],
  ].join(' and ');
}

/** What no operation of the description fits. */
export const UNDESCRIBED = '-';

/** Of the rules language (docs/rules.md), on one line. */
function text(value: string): string {
  const escaped = value
    .replaceAll(/["\\]/g, '\\$&')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they would end the line
    .replaceAll(/[\x00-\x1f\x7f]/g, character => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return `"${escaped}"`;
}

/** YAML 1.2, 7.3.2. */
function quoted(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function clean(value: string): string {
  return value.replaceAll(/[^\x20-\x7e]/g, '?');
}

function nameOf({ host, operation }: Recommendation, taken: Set<string>): string {
  const plain = (operation === UNDESCRIBED ? `${host}-other` : operation)
    .replaceAll(/[^A-Za-z0-9_.-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .replace(/-+$/, '');
  for (let number = 1; ; number++) {
    const behind = number === 1 ? '' : `-${number}`;
    const name = `${(plain || 'limit').slice(0, MAX_NAME - behind.length)}${behind}`;
    if (taken.has(name)) continue;
    taken.add(name);
    return name;
  }
}
