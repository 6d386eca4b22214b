// Which operations deserve a strict limit, by what they look like: words of the operation's id and path, its method, and
// how much of what was asked was refused. The first that fits counts.

const LOGIN = [
  'login',
  'logon',
  'signin',
  'authenticate',
  'authentication',
  'password',
  'otp',
  'mfa',
  'totp',
  'verify',
];
const LOGIN_PAIRS = ['log in', 'log on', 'sign in'];
const TOKEN = ['token', 'tokens', 'oauth', 'oauth2', 'refresh', 'apikey', 'apikeys', 'credential', 'credentials'];
const SIGNUP = ['signup', 'register', 'registration', 'invite', 'invites', 'enrol', 'enroll'];
const SIGNUP_PAIRS = ['sign up'];
const SEARCH = ['search', 'query', 'lookup', 'suggest', 'autocomplete', 'export', 'graphql'];
const WRITES = ['POST', 'PUT', 'PATCH', 'DELETE'];

/** Answers that say no to a caller, and their share from which somebody may be guessing. */
const REFUSED = ['401', '403'];
const REFUSED_SHARE = 0.2;
/** Fewer say nothing. */
const REFUSED_LEAST = 20;

export const CLASSES = ['login', 'token', 'refused', 'search', 'write', 'other'] as const;
export type Class = (typeof CLASSES)[number];

export interface Looks {
  /** `operationId`, or method and template. */
  operation: string;
  method: string | null;
  path: string | null;
  statuses: Readonly<Record<string, number>>;
}

export interface Sensitivity {
  class: Class;
  /** For whoever reads the recommendation. */
  reason: string;
}

export function sensitivityOf({ operation, method, path, statuses }: Looks): Sensitivity {
  const words = [operation, path ?? ''].flatMap(wordsOf);
  const found = (some: readonly string[], pairs: readonly string[] = []) =>
    words.find(word => some.includes(word)) ?? pairs.find(pair => ` ${words.join(' ')} `.includes(` ${pair} `));
  const says = (word: string) => `its name or path says \`${word}\``;
  const login = found(LOGIN, LOGIN_PAIRS) ?? found(SIGNUP, SIGNUP_PAIRS);
  if (login) return { class: 'login', reason: `${says(login)}: where credentials are tried out` };
  const token = found(TOKEN);
  if (token) return { class: 'token', reason: `${says(token)}: where credentials are given out` };
  const refused = refusedShare(statuses);
  if (refused >= REFUSED_SHARE) {
    return {
      class: 'refused',
      reason: `${Math.round(refused * 100)} % of the answers are 401 or 403: somebody may be guessing`,
    };
  }
  const search = found(SEARCH);
  if (search) return { class: 'search', reason: `${says(search)}: an answer costs much, and lists what there is` };
  if (method !== null && WRITES.includes(method)) return { class: 'write', reason: `${method} changes something` };
  return { class: 'other', reason: 'nothing about it looks sensitive' };
}

function refusedShare(statuses: Looks['statuses']): number {
  const all = Object.values(statuses).reduce((sum, one) => sum + one, 0);
  const refused = REFUSED.reduce((sum, status) => sum + (statuses[status] ?? 0), 0);
  return refused < REFUSED_LEAST ? 0 : refused / all;
}

/** `getAPIKeys` and `/api-keys/{key_id}`, in lower case: get api keys, api keys. What stands in braces is a value's name. */
function wordsOf(text: string): string[] {
  return text
    .replaceAll(/\{[^}]*\}/g, ' ')
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean);
}
