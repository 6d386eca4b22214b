/**
 * The only importer of the native door. Loading comes first: with RTLD_GLOBAL, so that the uWebSockets.js binary
 * finds the names that an older glibc lacks (native/door/src/glibc.rs).
 */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import type * as Door from '../native/door/index.js';

const file = fileURLToPath(new URL('../native/door/portcullis.node', import.meta.url));

function load(): typeof Door {
  if (!existsSync(file)) throw new Error(`${file} is missing: build it with \`npm run build\``);
  const module = { exports: {} };
  process.dlopen(module, file, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL);
  return module.exports as typeof Door;
}

const door = load();

/** What to do next with an exchange; the numbers of `Next` in native/door/src/edge.rs. */
export const Next = {
  Sent: 0,
  Body: 1,
  Answer: 2,
  Peer: 3,
  Close: 4,
  Pause: 5,
  Upgrade: 6,
  Inspect: 7,
  LastBody: 8,
  Held: 9,
  Own: 10,
  Ask: 11,
  Delay: 12,
} as const;

/** `Kind` of native/forward/src/arena.rs. */
export const Kind = { Whole: 1, Head: 2, Chunk: 3, End: 4, Failed: 5, Drained: 6, Responded: 7 } as const;

/** Words of a row of the turn's table; `Entry` of native/forward/src/arena.rs. */
export const Word = {
  slot: 0,
  kind: 2,
  status: 3,
  flags: 4,
  blockStart: 5,
  blockLength: 6,
  bodyStart: 7,
  bodyLength: 8,
  lengthLow: 9,
  lengthHigh: 10,
  fault: 12,
  perRow: 16,
} as const;

export const EntryFlag = { NoBody: 1, Length: 2, HeadSent: 4, Last: 32 } as const;
/** The first two of answers of our own, the others of responses that were held back. */
export const AnswerFlag = { Close: 1, NoBody: 2, Whole: 4, More: 8, Length: 16 } as const;

/** What native code wants done; `Wanted` of native/door/src/wanted.rs. */
export const Wanted = { Adopt: 1, Inspect: 2, Own: 3, Ask: 4 } as const;

/** Word of the answer's meta: not 0 when `nextBatch` has what nobody waits for. */
export const ASKS = 5;

/** No slot, no certificate. */
export const NONE = 0xffff_ffff;

export const {
  abandoned,
  acceptorBound,
  acceptorClose,
  acceptorListenFd,
  acceptorPending,
  acceptorStop,
  adopt,
  answered,
  asked,
  attach,
  batchAnswered,
  batchOver,
  body,
  boundReceiveBuffers,
  certificate,
  changeKeys,
  claimStdout,
  closed,
  compile,
  countersUp,
  crowded,
  decide,
  delayed,
  delayOf,
  describeCalls,
  detach,
  drain,
  drainStreams,
  encodeMessage,
  exemptLimited,
  explain,
  forget,
  forgetKeySet,
  hasIdentity,
  inspect,
  inspected,
  inspectToken,
  judge,
  leaveAccepted,
  limits,
  loadDatabase,
  loadKeySet,
  loadRevocationList,
  meanwhile,
  metrics,
  nextBatch,
  ocspAnswer,
  opened,
  openStreams,
  own,
  ownAnswer,
  ownBody,
  ownRefuse,
  pause,
  peer,
  piece,
  pki,
  reasonNumbers,
  reasons,
  refuse,
  refused,
  replacePartners,
  resetLimited,
  responded,
  resume,
  revoke,
  revokeTokens,
  sample,
  seen,
  serveAccepted,
  spendingSettled,
  spent,
  streamConnections,
  tick,
  ticket,
  tlsContexts,
  topLimited,
  unknownKeyIds,
  upgrade,
  upgraded,
  usedKeys,
  volumes,
  webSocketClosed,
  withdrawn,
  written,
} = door;
