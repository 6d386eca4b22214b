// What is allowed and may not be what was meant.

import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { LimitsConfig } from './config.js';
import type { DescribedHost } from './described.js';
import { type Written, withoutTexts } from './rule.js';

/** What every client sends as it likes. */
const CHOSEN = /^\s*(?:http\.request\.(?:headers|cookies)\b|http\.(?:cookie|user_agent|referer|x_forwarded_for)\b)/;
/** What many clients have in common: it only divides what another characteristic tells apart. */
const COMMON = /^\s*(?:http\.host|http\.request\.(?:uri\.path|method)|portcullis\.operation(?:\.\w+)?)\s*$/;
const ADDRESS = /^\s*ip\.src\s*$/;
const SESSION = /\bportcullis\.session\b/;
const DATABASE = { country: /\bip\.src\.country\b/, asn: /\bip\.src\.asnum\b/ } as const;
/** Where a password or a code is tried. */
const SECRETS_TRIED = /log-?in|sign-?in|sign-?up|auth|token|passw|session|otp|mfa|2fa|reset|verify|register/i;

interface Around {
  hosts: readonly DescribedHost[];
  databases: LimitsConfig['databases'];
}

export function warnOfLimit(one: Written, { hosts, databases }: Around, loading: Loading): void {
  const { at, limit, operation } = one;
  if (limit.action === 'off') return;
  warnOfCharacteristics(one, loading);
  const read = readBy(one);
  for (const { place, text } of read) {
    const served = operation === null ? hosts : hosts.slice(operation[0], operation[0] + 1);
    if (SESSION.test(text) && !served.some(({ session }) => session)) {
      loading.warning(place, 'no request has a session here: all count together', {
        hint: '`credentials.session` of the host says what a session is told by (docs/credentials.md)',
      });
    }
    warnOfDatabases(text, place, databases, loading);
  }
  if (limit.mode !== 'local' && limit.fallback === 'open' && isTried(one, hosts)) {
    loading.warning(child(at, 'fallback'), 'without the servers, whoever tries passwords is not held back', {
      hint: "`local` goes on with this node's share; `closed` lets nobody in",
    });
  }
  if (limit.action === 'delay' && (limit.mitigationTimeout ?? 0) > 0) {
    loading.warning(child(at, 'mitigationTimeout'), 'who would have to wait too long is shut out altogether', {
      key: true,
      hint: 'without it, only those that would have to wait longer than `delay` are refused',
    });
  }
}

/** `text`: an expression, of a limit or of a rule. */
export function warnOfDatabases(
  text: string,
  place: string,
  databases: LimitsConfig['databases'],
  loading: Loading,
): void {
  for (const kind of ['country', 'asn'] as const) {
    if (databases[kind] !== undefined || !DATABASE[kind].test(withoutTexts(text))) continue;
    loading.warning(place, `without \`limits.databases.${kind}\` it is missing from every request`, {
      hint: `name a MaxMind database there: \`${kind === 'asn' ? 'GeoLite2-ASN' : 'GeoLite2-Country'}.mmdb\``,
    });
  }
}

function warnOfCharacteristics({ at, limit, keys }: Written, loading: Loading): void {
  const place = child(at, 'characteristics');
  if (limit.characteristics.length === 0) {
    if (keys.has('characteristics')) return;
    loading.warning(place, 'without characteristics everybody counts together: one client can use up all of it', {
      key: true,
      hint: 'such as `[portcullis.session]` or `[cidr(ip.src, 32, 64)]`',
    });
    return;
  }
  const telling = limit.characteristics
    .map((text, index) => ({ text, at: child(place, index) }))
    .filter(({ text }) => !COMMON.test(text));
  const [first] = telling;
  if (first === undefined) return;
  if (telling.every(({ text }) => CHOSEN.test(text))) {
    loading.warning(first.at, 'clients choose what they send here, and with it their counter', {
      hint: 'a characteristic that clients cannot make up as well: an address, a verified key, token or certificate',
    });
  } else if (telling.every(({ text }) => ADDRESS.test(text))) {
    loading.warning(first.at, 'an IPv6 client has 2^64 addresses, and as many counters', {
      hint: '`cidr(ip.src, 32, 64)` counts IPv6 by the network of a client',
    });
  }
}

function readBy({ at, limit, expression }: Written): { place: string; text: string }[] {
  const { countingExpression, characteristics, score } = limit;
  const found: [place: string, text: string | undefined][] = [
    [child(at, 'expression'), expression?.expression],
    [child(at, 'countingExpression'), countingExpression],
    ...characteristics.map((text, index): [string, string] => [child(child(at, 'characteristics'), index), text]),
    [child(child(at, 'score'), 'expression'), score?.expression],
  ];
  return found.flatMap(([place, text]) => (text === undefined ? [] : [{ place, text: withoutTexts(text) }]));
}

function isTried({ expression, operation }: Written, hosts: readonly DescribedHost[]): boolean {
  const names = operation === null ? [] : (hosts[operation[0]]?.operations[operation[1]]?.names ?? []);
  return [expression?.expression ?? '', ...names].some(text => SECRETS_TRIED.test(text));
}
