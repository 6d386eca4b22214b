// Why a server does not count: what libraries and servers say, as a few words of our own. What they say themselves is
// never shown: an old server answers AUTH with the password that it was given.

/** What to do is a person's, unless the sentence says that it is being done. */
export const FAULTS = {
  starting: 'there is no connection yet',
  unreachable: 'nobody listens at its address, or the name is not known',
  closed: 'the connection was closed',
  late: 'answers came too late',
  crowded: 'too many calls wait for their answers',
  tls: "TLS failed: look at the servers' certificate, its name, and the authorities that are trusted here",
  credentials: 'user and password are not accepted',
  permission: 'the ACL user lacks a right (docs/limits.md lists them)',
  readonly: 'it is a replica; the one that leads is looked for',
  unwritable: 'it takes no writes: its disk is full, or it lacks replicas',
  loading: 'it is still loading its data',
  memory: 'its memory is full (maxmemory)',
  busy: "somebody's script has kept it busy for seconds",
  functions: 'the functions are not there; they are being loaded',
  cluster: 'the cluster is not whole, or is being moved',
  version: 'it is older than version 7, and has no functions',
  answer: 'it answered what nobody can read',
  other: 'it refused',
} as const;

export type Fault = keyof typeof FAULTS;

/** By the first word of a server's answer. */
const REPLIES: Readonly<Record<string, Fault>> = {
  NOAUTH: 'credentials',
  WRONGPASS: 'credentials',
  NOPERM: 'permission',
  READONLY: 'readonly',
  MISCONF: 'unwritable',
  NOREPLICAS: 'unwritable',
  LOADING: 'loading',
  MASTERDOWN: 'loading',
  OOM: 'memory',
  BUSY: 'busy',
  CLUSTERDOWN: 'cluster',
  CROSSSLOT: 'cluster',
  TRYAGAIN: 'cluster',
  MOVED: 'cluster',
  ASK: 'cluster',
  UNBLOCKED: 'closed',
};

/** By what an answer, or the library, says further on. */
const SENTENCES: readonly [RegExp, Fault][] = [
  [/^ERR Function not found/i, 'functions'],
  [/^ERR unknown command.{0,4}(FCALL|FUNCTION)\b/i, 'version'],
  [/^ERR (AUTH|invalid password|unknown command.{0,4}AUTH|Client sent AUTH)/i, 'credentials'],
  [/^ERR invalid DB index|^ERR DB index|^ERR SELECT is not allowed/i, 'other'],
  [/^Too many Cluster redirections|^Failed to refresh slots cache|^None of startup nodes/, 'cluster'],
  // A function's own calls are refused inside of an answer.
  [/\bNOPERM\b|ACL failure|user executing the script can't/, 'permission'],
  [/\bREADONLY\b/, 'readonly'],
  [/\bOOM\b/, 'memory'],
  [/\bMISCONF\b|\bNOREPLICAS\b/, 'unwritable'],
  [
    /^Connection is closed|max retries per request|Command aborted|isn't writeable|isn't ready|Socket timeout/,
    'closed',
  ],
  [/^All sentinels are unreachable|ETIMEDOUT/, 'unreachable'],
];

const UNREACHABLE = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_\w+|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOENT|EPIPE)$/;
const TLS =
  /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CRL_|HOSTNAME_|INVALID_CA|EPROTO)|^ERR_CERT/;

export function faultOf(error: unknown): Fault {
  if (!(error instanceof Error)) return 'other';
  const { message } = error;
  const code = String((error as NodeJS.ErrnoException).code ?? '');
  if (TLS.test(code)) return 'tls';
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'closed';
  if (UNREACHABLE.test(code)) return 'unreachable';
  const reply = REPLIES[/^[A-Z]+/.exec(message)?.[0] ?? ''];
  return reply ?? SENTENCES.find(([pattern]) => pattern.test(message))?.[1] ?? 'other';
}
