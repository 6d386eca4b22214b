/* Generated from native/door by the build. */

/** Without identity: the exchange of this slot is over, or its client is gone. */
export declare function abandoned(slot: number): void

/** Other bounds, for connections from now on. */
export declare function acceptorBound(bounds: string): void

/** Closes the listening socket of an address. Who is in its backlog is accepted before. */
export declare function acceptorClose(address: string, port: number): void

/**
 * Listens for the whole process on a socket that is bound already, and may listen; answers the port. The descriptor
 * stays the caller's, who may close it. `bounds` is JSON: `max`, `per_address`, `handshakes`, `hello_timeout_ms`.
 * Connections are accepted from the first `serve_accepted` on.
 *
 * # Errors
 * The system's code, such as EADDRINUSE.
 */
export declare function acceptorListenFd(fd: number, bounds: string): number

/** Connections that were accepted and are nobody's yet: their ClientHello is not there, or no edge thread is. */
export declare function acceptorPending(): number

/** Closes all listening sockets. */
export declare function acceptorStop(): void

/** The next connection that uWebSockets.js opens is this one. False: it is not there (any more). */
export declare function adopt(fd: number): boolean

/** The gateway's own answer was written, with so many bytes of body: the exchange is over. */
export declare function answered(slot: number, status: number, bytes: number): void

/** All calls of a batch have answered or their time is up: what one of its exchanges does next. */
export declare function asked(slot: number): number

/**
 * Makes this thread an edge thread. `on_turn(count)` is called after the loop's poll phase with the entries filled,
 * `on_wanted(count)` with so many rows of `wanted`.
 */
export declare function attach(memory: EdgeMemory, onTurn: (arg: number) => void, onWanted: (arg: number) => void): void

/** What the fleet's counters are asked at once, for all requests of a turn. */
export interface Batch {
  /** For `batch_answered` and `batch_over`. */
  number: number
  calls: Array<Call>
  /** Of the exchanges that wait: `asked(slot)` for each, when all calls have answered or their time is up. */
  slots: Array<number>
}

/** What the function answered to a call (by its place) of a batch; null: nobody answered. */
export declare function batchAnswered(number: number, call: number, reply?: Buffer | undefined | null): void

/** A batch is over, and its exchanges were asked: its number may be used again. */
export declare function batchOver(number: number): void

/** A piece of the request's body. Answers what to do next. */
export declare function body(slot: number, piece: unknown, last: boolean): number

/**
 * Bounds the receive buffers of connections that this process accepts on a port from now on. Answers how many
 * listening sockets it found.
 */
export declare function boundReceiveBuffers(port: number): number

/** One call of the function `portcullis_take` or `portcullis_settle`. */
export interface Call {
  /** Keys of one hash slot: the partition's birth first, then one for each record of `records`. */
  keys: Array<string>
  records: Buffer
}

/** Parses a client certificate; the number stands for it until `forget`. 2^32 - 1 when too many are held. */
export declare function certificate(pem: string): number

/**
 * Changes which keys count, on all edge threads, for every request from now on. JSON of native/engine/src/keys/mod.rs:
 * `{ "reset"?, "keys": [{ "id", "secrets": [{ "digest", "not_after" }], "partner", "scopes", "expires_at", "certificates",
 * "networks", "hosts" }], "removed": ["id"], "ready"? }`, times in Unix milliseconds.
 *
 * # Errors
 * What cannot be read: nothing is changed. Or more than the engine holds.
 */
export declare function changeKeys(change: string): void

/**
 * Takes standard output for records alone: answers a duplicate of descriptor 1, and points 1 at standard error,
 * where native code that prints does no harm. -1 when the system refuses.
 */
export declare function claimStdout(): number

/** A connection was closed. Answers the slot of its exchange under way, or 2^32 - 1. */
export declare function closed(response: unknown): number

/**
 * Compiles a policy (JSON of native/engine/src/policy.rs). Answers JSON `{ generation, problems }`; without problems
 * and with `activate` it is in force for the whole process.
 */
export declare function compile(policy: string, activate: boolean): string

/** Whether the fleet's counters can be asked from this thread; while not, limits fall back at once. */
export declare function countersUp(up: boolean): void

/** The pool's queue has no room for a body. Answers what to do next. */
export declare function crowded(slot: number): number

/** Decides a request, and sends it to its origin when it passed and has no body to wait for. `head` is `METHOD /path?query
` and `name:value
` for every field. Answers what to do next. */
export declare function decide(slot: number, response: unknown, head: unknown): number

/** The exchange has waited for its turn: answers what to do next. */
export declare function delayed(slot: number): number

/** Milliseconds that an exchange has to wait for its turn. */
export declare function delayOf(slot: number): number

/** What descriptors, or `.proto` files, describe: JSON of native/engine/src/grpc/outline.rs, both ways. */
export declare function describeCalls(asked: string): string

/**
 * Drops this thread's tasks, closes the handles of the reactor and of the upstream client, and ends the edge; `done`
 * is called when the loop holds none of them any more. A worker thread that ends before aborts the process.
 */
export declare function detach(done: (arg: number) => void): void

/** Moves whole event lines into `buffer`; answers their bytes, 0 when none waits. */
export declare function drain(buffer: unknown): number

/** Tells the clients of HTTP/2 connections to go; those connections end with their last stream. */
export declare function drainStreams(): void

/** JavaScript's memory and callback, for the life of an edge thread. */
export interface EdgeMemory {
  /** Uint8Array, 2.75 MiB: what origins answered in a turn, and what is made of it. */
  arena: unknown
  /** Uint32Array, sixteen words a row: the turn's entries. */
  entries: unknown
  /** Uint8Array, 128 KiB: the last answer of the gateway's own, or a piece of a response that was held back. */
  answer: unknown
  /**
   * Uint32Array of six words: head bytes, body bytes, flags (1 close, 2 no body, 4 whole, 8 more follows, 16 length
   * known), length (low and high word); and, at all times, whether `next_batch` has something that nobody waits for.
   */
  answerMeta: unknown
  /** Uint32Array, two words a row: what native code wants done. */
  wanted: unknown
  /** Bodies up to this many bytes are inspected on the edge thread. */
  inlineBytes: number
  /** Most streams of HTTP/2 at once; 503 above. */
  streams: number
}

/**
 * A message for a method (`/package.Service/Method`), written as JSON, as the bytes that a client would send. The
 * descriptors are a policy's: base64 of a FileDescriptorSet.
 */
export declare function encodeMessage(descriptors: string, path: string, json: string): Buffer

/**
 * Puts these exemptions in place of all before: JSON `[{ "rule", "key", "until" }]`, times in Unix milliseconds; null:
 * until it is taken away.
 *
 * # Errors
 * What cannot be read: those before stay.
 */
export declare function exemptLimited(exemptions: string): void

/**
 * What a policy makes of one request and, where given, its response: JSON of native/engine/src/explain.rs. The head is
 * `METHOD /target`, then `name:value` lines with names in lower case; a response's head is JSON `{ status, fields }`.
 */
export declare function explain(policy: string, head: string, body: Uint8Array, responseHead?: string | undefined | null, responseBody?: Uint8Array | undefined | null): string

export declare function forget(certificate: number): void

/** A configuration's set is too old to count. */
export declare function forgetKeySet(configuration: string): void

/** Whether connections have an identity here; without, every request is asked for its peer. */
export declare function hasIdentity(): boolean

/** Inspects a waiting body, on whatever thread this is called. */
export declare function inspect(ticket: number): void

/** The pool is done with a body, or gave it up. Answers what to do next. */
export declare function inspected(slot: number, ticket: number): number

/**
 * Would this gateway accept a token, and if not why: what a request gets under the policy in force, step by step. Who
 * presents it is not asked. Answers JSON `{ "steps": [{ "step", "ok", "detail" }], "reason": null | "jwt.expired",
 * "header", "claims" }`, the last two as the token has them.
 *
 * # Errors
 * A token configuration that the policy in force lacks.
 */
export declare function inspectToken(configuration: string, token: string): string

/**
 * Would this gateway accept a certificate, and if not why: what a request gets under the policy in force, step by step.
 * `host_or_authorities`: JSON `{ "host", "path"? }` or `{ "authorities": [..] }`. Answers JSON `{ "steps": [{ "step",
 * "ok", "detail" }], "reason": null | "mtls.expired" }`.
 *
 * # Errors
 * A host or an authority that the policy in force lacks.
 */
export declare function judge(certificatePem: string, hostOrAuthorities: string): string

/** This thread is handed nothing more. What it was handed goes to others; where there are none, it serves that still. */
export declare function leaveAccepted(): void

/** The limits in force, with what this process has counted: JSON of native/engine/src/limits/shown.rs. */
export declare function limits(): string

/**
 * Takes a MaxMind database, `country` or `asn`; null: none.
 *
 * # Errors
 * What cannot be read: the one before stays.
 */
export declare function loadDatabase(kind: string, bytes?: Buffer | undefined | null): void

/**
 * Takes a JWK Set for a token configuration with this URL, on all edge threads, for every request from now on. Answers
 * JSON `{ keys: [{ kid, algorithms, thumbprint }], skipped: [{ kid, why }], changed }`, or `{ problem }`, and the set kept
 * before stays.
 */
export declare function loadKeySet(configuration: string, url: string, document: string): string

/**
 * Reads a revocation list, PEM or DER, off the event loop: signed by a certificate that the authority has in the
 * policy in force. Answers JSON `{ issuer, key_id, number, this_update, next_update, serials, replaced }`, or `{
 * problem: { message, hint } }`, and whatever was kept stays. A list that is not newer than the one kept is left out:
 * `replaced` is false.
 */
export declare function loadRevocationList(authority: string, list: Buffer): Promise<string>

/** What has to be read of the body of an exchange that waits: Body or LastBody, or Sent for nothing. */
export declare function meanwhile(slot: number): number

/** Metric families as JSON, all threads added up. */
export declare function metrics(): string

/** What the exchanges of this thread wait for; null: nothing. */
export declare function nextBatch(): Batch | null

/**
 * Takes an OCSP answer whose signature and dates have been checked. JSON `{ authority, key_id, serial, status:
 * "good"|"revoked"|"unknown", this_update, next_update }`, times in Unix milliseconds, `next_update` may be null.
 *
 * # Errors
 * What cannot be read; an authority that the policy in force lacks, or that does not hold the key.
 */
export declare function ocspAnswer(answer: string): void

/** A connection was opened. */
export declare function opened(response: unknown): void

/** HTTP/2 streams that have not all of their answers yet, WebSockets included. */
export declare function openStreams(): number

/** What the main thread has to know of a request that the gateway itself answers: JSON of edge/owning.rs. */
export declare function own(slot: number): string | null

/** The gateway's own answer to such a request: `block` is its status line and fields. */
export declare function ownAnswer(slot: number, generation: number, status: number, block: string, body: Uint8Array): void

/** Takes the body of a request that `wanted` told of as Own; none when that is over. */
export declare function ownBody(slot: number): OwnBody | null

/** The body of a request that the gateway itself answers, over HTTP/2. */
export interface OwnBody {
  /** Which request of its slot it is. */
  generation: number
  body: Buffer
}

/** Denies such a request for a reason found by JavaScript. */
export declare function ownRefuse(slot: number, generation: number, reason: number): void

/** Stops reading a response: the client is slower than the origin. */
export declare function pause(slot: number): void

/** Tells who is at the other end, when `decide` asked. Answers what to do next. */
export declare function peer(slot: number, address: string, certificate: number): number

/** Copies what a held response's body holds from `offset` on into the answer's memory; answers how many bytes. */
export declare function piece(slot: number, offset: number): number

/**
 * Runs one command of the PKI on a thread of the pool: JSON in, JSON out (src/manage/pki/commands.ts). Never rejects:
 * what went wrong is `{ "error": { "message", "hint" } }`.
 */
export declare function pki(request: string): Promise<string>

export declare function reasonNumbers(): ReasonNumbers

/** The reasons that JavaScript gives, as the numbers that `refuse` takes. */
export interface ReasonNumbers {
  malformed: number
  originConnect: number
  overload: number
  bodyTooLarge: number
  ownTimeout: number
}

/** docs/reasons.md. */
export declare function reasons(): string

/** Denies an exchange for a reason found by JavaScript or told by a failed entry: the reason's number. */
export declare function refuse(slot: number, reason: number): number

/** Counts a denial of a request that never got a slot. */
export declare function refused(reason: number): void

/**
 * Puts these partners in place of all before, on all edge threads, for every request from now on. JSON of
 * native/engine/src/partners/mod.rs: `[{ "name", "suspended", "expires_at", "certificates": [{ "authority"?, "subject"?,
 * "san"?, "fingerprint"? }], "tokens": [{ "configuration"?, "claim"?, "value"? }], "operations": [..] }]`.
 *
 * # Errors
 * What cannot be read, or more than the engine holds: those before stay.
 */
export declare function replacePartners(partners: string): void

/**
 * Forgets what a key has spent in this process, penalty included: JSON `{ "rule", "key" }`. Whether there was something.
 *
 * # Errors
 * What cannot be read.
 */
export declare function resetLimited(asked: string): boolean

/** A row of the turn said Responded: answers what to do next. */
export declare function responded(slot: number): number

export declare function resume(slot: number): void

/**
 * Changes what is refused, on all edge threads, for every request from now on. JSON `{ "reset"?: true, "revoked":
 * [{"key_id","serial"}], "restored": [..], "revoked_fingerprints": ["hex"], "restored_fingerprints": [..] }`; `reset`
 * empties it first, in the same step. `key_id`: SHA-256 of the issuer's SubjectPublicKeyInfo, hex.
 *
 * # Errors
 * An entry that cannot be read: nothing is changed. Or more than the engine holds: it denies everybody then.
 */
export declare function revoke(change: string): void

/**
 * Changes which tokens are taken back, on all edge threads, for every request from now on. JSON of native/engine/src/jwt/
 * revoked.rs: `{ "reset"?, "revoked": [{ "configuration", "kind": "jti"|"subject", "value", "at", "until" }], "restored":
 * [..] }`, times in Unix milliseconds.
 *
 * # Errors
 * What cannot be read: nothing is changed. Or more than the engine holds: it denies everybody then.
 */
export declare function revokeTokens(change: string): void

/** Share (0 to 1) of plain access lines that are written; security events always are. */
export declare function sample(rate: number): void

/**
 * Certificates with requests since they were last told, taken out of the table: JSON of
 * native/engine/src/mtls/seen.rs, at most 1,000 a call.
 */
export declare function seen(): string

/** From now on this thread is handed connections. */
export declare function serveAccepted(): void

/** What `portcullis_settle` answered to the last `spent`; null: nobody did. */
export declare function spendingSettled(reply: Buffer | undefined | null, nodes: number): void

/** What this process has spent of its leases since this was last asked, and which keys want more; null: nothing. */
export declare function spent(): Call | null

/** HTTP/2 connections that are open. */
export declare function streamConnections(): number

/** Now and then (about four times a second): publishes counters and event lines that no later exchange has flushed. */
export declare function tick(): void

/** The number under which a pool thread finds a body that waits for inspection. */
export declare function ticket(slot: number): number

/** What this thread's HTTP/2 connections are served with. */
export declare function tlsContexts(fallback: TlsFiles, hosts: Array<TlsFiles>): void

/** One host's, as src/accept/tls/contexts.ts has it: texts of files. */
export interface TlsFiles {
  host: string
  certificate: string
  key: string
  /** Whose certificates are asked for; without, none is. */
  authorities?: string
}

/**
 * Keys that were refused, those most often first: JSON `{ "rule"?, "most" }` in, JSON `[{ "rule", "key", "identity",
 * "used", "refused", "penalty_ends" }]` out.
 *
 * # Errors
 * What cannot be read.
 */
export declare function topLimited(asked: string): string

/** JSON: names of configurations that met a `kid` their set lacks since this was last asked. */
export declare function unknownKeyIds(): string

/** What the handshake towards the origin is made of. From here on the exchange ends with `upgraded`. */
export declare function upgrade(slot: number): Upgrade | null

/** A WebSocket handshake that passed. */
export interface Upgrade {
  /** `address:port` of the origin, one or more. */
  addresses: Array<string>
  /** The request head as the origin gets it. */
  head: string
  /** None: in the clear. */
  tls?: UpgradeTls
}

/**
 * A WebSocket's handshake is over: 101 when it was opened, else the status the client was given. Answers the number by
 * which `withdrawn` tells of an opened one, or 2^32 - 1 when nothing let it in that can be taken back, and nothing counts
 * it as under way.
 */
export declare function upgraded(slot: number, status: number): number

/** How the origin of a WebSocket is known, and what it is shown; all PEM. */
export interface UpgradeTls {
  serverName: string
  roots: string
  certificate?: string
  key?: string
  allowUnverified: boolean
}

/** JSON `[{ "id", "at" }]`: keys that were used since this was last asked. */
export declare function usedKeys(): string

/**
 * What was asked of each operation, by session, in buckets that have ended by this time (Unix milliseconds): JSON of
 * native/engine/src/limits/volume.rs. Each bucket is told once.
 */
export declare function volumes(until: number): string

/** A WebSocket with a number is over. */
export declare function webSocketClosed(number: number): void

/**
 * WebSockets whose certificate was revoked, has expired or is not trusted any more; each is told once. To be asked with
 * every `tick`.
 */
export declare function withdrawn(): Array<number>

/** All pieces of a held response were taken. */
export declare function written(slot: number): void
