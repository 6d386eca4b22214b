// What origins are told of the caller, and what identifies a session.

import { folded, isHeaderName, isReserved } from '../../config/headers.js';
import type { Loading } from '../../config/loading.js';
import { child } from '../../config/pointer.js';
import type { PolicyCredentials, PolicySession } from '../../config/policy.js';
import type { Credentials } from './config.js';
import { headersOf, onlyOne } from './places.js';
import type { Accepted } from './schemes.js';

type Told = Pick<PolicyCredentials, 'claims' | 'partner_header' | 'session'>;

export function compileTold(
  { claims, partnerHeader, session }: Credentials,
  accepted: Accepted,
  at: string,
  loading: Loading,
): Told {
  const read = headersOf(accepted.keys, accepted.configurations);
  /** Folded, with who tells it. */
  const told = new Map<string, string>();
  const refuse = (name: string, place: string, key: boolean): boolean => {
    const same = folded(name);
    const rival = told.get(same);
    const fault = (message: string, hint: string): true => {
      loading.problem(place, message, { key, hint });
      return true;
    };
    if (!isHeaderName(name)) return fault(`\`${name}\` is not the name of a header`, 'such as `X-User-Id`');
    if (isReserved(name)) {
      return fault(`\`${name}\` has a meaning of its own, or is written by the gateway`, 'such as `X-User-Id`');
    }
    if (read.has(same)) return fault(`\`${name}\` is where clients put a credential`, 'choose another name');
    if (rival !== undefined) {
      return fault(
        `\`${name}\` and \`${rival}\` are one header`,
        'origins read `_` and `-`, and any case, as the same',
      );
    }
    told.set(same, name);
    return false;
  };
  const good = Object.entries(claims).filter(([name]) => !refuse(name, child(child(at, 'claims'), name), true));
  if (good.length > 0 && accepted.configurations.length === 0) {
    loading.problem(child(at, 'claims'), 'no token counts on this host that could have claims', {
      key: true,
      hint: 'describe the issuer under `jwt`',
    });
  }
  const partner = partnerHeader !== undefined && !refuse(partnerHeader, child(at, 'partnerHeader'), false);
  return {
    claims: good.map(([name, claim]) => ({ header: name.toLowerCase(), claim })),
    partner_header: partner ? partnerHeader.toLowerCase() : '',
    session: session.flatMap((one, index) => {
      const place = child(child(at, 'session'), index);
      const named = onlyOne(['jwt', 'keys', 'certificate', 'header', 'cookie'], place, loading);
      return (named !== null && source(one, place, accepted, told, loading)) || [];
    }),
  };
}

function source(
  { jwt, keys, certificate, header, cookie }: Credentials['session'][number],
  at: string,
  { configurations, keys: places, trusted }: Accepted,
  told: ReadonlyMap<string, string>,
  loading: Loading,
): PolicySession | null {
  const never = (member: string, message: string) =>
    loading.problem(child(at, member), message, { hint: 'leave it out: it would never be there' });
  if (jwt !== undefined) {
    if (configurations.length === 0) never('jwt', 'no token counts on this host');
    return { by: 'jwt', claim: jwt };
  }
  if (keys) {
    if (places.length === 0) never('keys', 'keys are looked for nowhere on this host');
    return { by: 'key' };
  }
  if (certificate) {
    if (trusted === null) never('certificate', 'this host looks at no client certificate');
    return { by: 'certificate' };
  }
  if (cookie !== undefined) return { by: 'cookie', name: cookie };
  if (header === undefined) return null;
  if (told.has(folded(header))) never('header', `\`${header}\` is told to the origin: clients cannot send it`);
  else if (isReserved(header)) {
    const hint = 'a header of its own, such as `X-Session`';
    loading.problem(child(at, 'header'), `\`${header}\` has a meaning of its own`, { hint });
  }
  return { by: 'header', name: header.toLowerCase() };
}
