/**
 * One edge thread: joins accept, check, forward and journal for the exchanges of its event loop.
 *
 * An exception never leaves a handler here: a worker thread that ends while its app or native handles are open takes
 * the process down. It is contained, told to the main thread, and this thread is drained and replaced.
 */

import type { HttpRequest, HttpResponse, us_socket_context_t } from 'uWebSockets.js';
import { parentPort, workerData } from 'node:worker_threads';
import { readHead } from './accept/head.js';
import { Listener, WEBSOCKET_BYTES } from './accept/listener.js';
import { PeerReader } from './accept/peer.js';
import type { TlsContexts } from './accept/tls/contexts.js';
import { tlsFiles } from './accept/tls/files.js';
import { loadUws } from './accept/uws.js';
import { Asking, type Told } from './check/limits/asking.js';
import type { SharedPlan } from './check/limits/shared.js';
import { InspectPool } from './check/schema/pool.js';
import { Exchange, type Handshake } from './exchange.js';
import { Responses } from './forward/responses.js';
import { connect, type WebSocketBridge } from './forward/websocket.js';
import * as native from './native.js';
import { AnswerFlag, ASKS, Next, NONE, Wanted, Word } from './native.js';
import { type OwnAnswer, OwnPaths, type OwnRequest } from './own-paths.js';

export interface EdgeOptions {
  thread: number;
  /** Where connections come in: here with `h2: false`; else the acceptor has them, and hands them on. */
  listen: { address: string; port: number; h2: boolean };
  tls: TlsContexts;
  inspect: { inlineBytes: number; threads: number };
  /** Most exchanges at once; 503 above. */
  exchanges: number;
  /** Where a fleet's counters live; null: nowhere. */
  counters: SharedPlan | null;
}

export type ToEdge =
  /** Each answer from now on is the last of its connection; new connections are still taken. */
  { type: 'last' } | { type: 'drain'; graceMs: number } | ({ type: 'own'; id: number } & OwnAnswer);
export type FromEdge =
  | { type: 'listening'; port: number }
  | { type: 'failed'; what: string; message: string }
  /** The gateway itself has to answer this request. */
  | { type: 'own'; id: number; request: OwnRequest; body: Uint8Array }
  /** How it fares with the fleet's counters. */
  | { type: 'counters'; told: Told }
  /** It takes no new connections any more. */
  | { type: 'stopped' }
  /** Nothing is open any more; so many exchanges and WebSockets did not end by themselves. */
  | { type: 'drained'; cut: number };

/**
 * A turn's responses: 1 MiB of them, at 64 KiB for the largest whole one more than a turn ever brings at once, and what
 * may become of them for gRPC-Web, which is half as much again and more.
 */
const ARENA_BYTES = 2816 * 1024;
const ARENA_ROWS = 1024;
/** The largest head of a response, and as much of a body. */
const ANSWER_BYTES = 128 * 1024;
/** Rows of what native code wants done: most at a time, not in all. */
const WANTED_ROWS = 1024;
const TICK_MS = 250;
/** How long the start waits for the fleet's counters: until they answer, limits fall back. */
const COUNTERS_MS = 1_000;
/** Numbers of reasons, by native/engine/src/reason.rs: told by the door so that they cannot differ. */
const { malformed, originConnect, overload } = native.reasonNumbers();

const options = workerData as EdgeOptions;
const port = parentPort;
if (port === null) throw new Error('edge.js is a worker thread');

const uws = loadUws();
const identity = native.hasIdentity();
const peers = new PeerReader();
/** By the number of their slot, which is even, halved: odd slots are HTTP/2's, whose exchanges native code keeps. */
const exchanges: Exchange[] = [];
const free: Exchange[] = [];
/** Slots by the tickets that they wait with. */
const waiting = new Map<number, number>();
const bridges = new Set<WebSocketBridge>();
/** WebSockets that a certificate let in, by their number. */
const admitted = new Map<number, WebSocketBridge>();
let open = 0;
let connections = 0;

const arena = new Uint8Array(ARENA_BYTES);
const entries = new Uint32Array(ARENA_ROWS * Word.perRow);
const answer = new Uint8Array(ANSWER_BYTES);
const answerMeta = new Uint32Array(6);
const wanted = new Uint32Array(2 * WANTED_ROWS);
const responses = new Responses(arena, entries, answer, exchanges, {
  release,
  responded: exchange => act(exchange, native.responded(exchange.slot)),
  failed: (exchange, reason) => act(exchange, native.refuse(exchange.slot, reason)),
});

const ownPaths = new OwnPaths({
  ask: (id, request, body) => port.postMessage({ type: 'own', id, request, body } satisfies FromEdge),
  refuse: (slot, reason) => actOn(slot, native.refuse(slot, reason)),
  write,
  failed: error => fail('own', error),
});

// First of all, since it is what may fail: an exception ends a thread well only while it has no native handles.
const listener = new Listener<{ bridge: WebSocketBridge; number: number }>(uws, options.tls, {
  connection: contained('connection', connection),
  request: contained('request', request),
  upgrade: contained('upgrade', upgrade),
  webSocket: {
    open: contained('webSocket.open', socket => {
      socket.getUserData().bridge.attach(socket as never);
    }),
    message: contained('webSocket.message', (socket, message, isBinary) =>
      socket.getUserData().bridge.toOrigin(message, isBinary),
    ),
    drain: contained('webSocket.drain', socket => socket.getUserData().bridge.drained()),
    close: contained('webSocket.close', (socket, code, message) => {
      const { bridge, number } = socket.getUserData();
      bridges.delete(bridge);
      if (admitted.delete(number)) native.webSocketClosed(number);
      bridge.clientClosed(code, Buffer.from(message).toString());
    }),
  },
});

native.attach(
  {
    arena,
    entries,
    answer,
    answerMeta,
    wanted,
    inlineBytes: options.inspect.inlineBytes,
    streams: options.exchanges,
  },
  contained('turn', (count: number) => {
    responses.turn(count);
    askOn();
  }),
  (count: number) => {
    // Each by itself: what one throws is no reason to lose the others.
    for (let row = 0; row < count; row++) serve(wanted[2 * row] as number, wanted[2 * row + 1] as number);
  },
);
const pool = new InspectPool({
  threads: options.inspect.threads,
  done: contained('inspected', (tickets: Iterable<number>) => {
    for (const ticket of tickets) inspected(ticket);
  }),
});

const asking =
  options.counters &&
  new Asking({
    plan: options.counters,
    door: native,
    asked: contained('asked', (slot: number) => actOn(slot, native.asked(slot))),
    tell: told => port.postMessage({ type: 'counters', told } satisfies FromEdge),
  });
if (asking === null) native.countersUp(false);

/** Does what native code wants done. */
const serve = contained('wanted', (kind: number, number: number) => {
  if (kind === Wanted.Inspect) queue(number);
  else if (kind === Wanted.Own) ownPaths.takeStream(number);
  else if (kind === Wanted.Ask) asking?.wanted();
  else if (kind === Wanted.Adopt && native.adopt(number)) listener.adopt(number);
});

// --- a request's life ---------------------------------------------------------------------------------------------

function connection(res: HttpResponse, count: number): void {
  if (count > 0) {
    connections++;
    native.opened(res);
    return;
  }
  connections--;
  // Before anything else can answer: writing to a closed connection throws.
  const slot = native.closed(res);
  if (slot !== NONE) gone(exchanges[slot >> 1]);
}

function gone(exchange: Exchange | undefined): void {
  if (exchange === undefined || exchange.res === null) return;
  exchange.res = null;
  release(exchange);
}

function request(res: HttpResponse, req: HttpRequest, method: string): void {
  const exchange = take(res);
  if (exchange === null) return;
  // With identity the closing connection finds its exchange; without, each exchange needs a closure of its own.
  res.onAborted(identity ? ignore : () => abandoned(exchange, res));
  act(exchange, native.decide(exchange.slot, res, readHead(req, method)));
}

function ignore(): void {}

function abandoned(exchange: Exchange, res: HttpResponse): void {
  if (exchange.res !== res) return;
  native.abandoned(exchange.slot);
  gone(exchange);
}

/** An exchange for a new request; null when too many are under way, which is answered here. */
function take(res: HttpResponse): Exchange | null {
  let exchange = free.pop();
  if (exchange === undefined) {
    if (exchanges.length >= options.exchanges) {
      native.refused(overload);
      res.writeStatus('503 Service Unavailable').writeHeader('Retry-After', '1').end('', true);
      return null;
    }
    exchange = new Exchange(exchanges.length << 1);
    exchanges.push(exchange);
  }
  exchange.res = res;
  open++;
  return exchange;
}

function release(exchange: Exchange): void {
  if (exchange.ticket >= 0) waiting.delete(exchange.ticket);
  if (exchange.own >= 0) ownPaths.forget(exchange.own);
  exchange.reset();
  if (!identity) native.abandoned(exchange.slot);
  open--;
  free.push(exchange);
}

/** The same where only the slot is known. An odd one's was acted upon by native code. */
function actOn(slot: number, next: number): void {
  const exchange = (slot & 1) === 0 ? exchanges[slot >> 1] : undefined;
  if (exchange !== undefined) act(exchange, next);
}

/** Does what native code says comes next. */
function act(exchange: Exchange, next: number): void {
  const { res } = exchange;
  if (res === null) return;
  switch (next) {
    case Next.Sent:
      return;
    case Next.Peer:
      act(exchange, native.peer(exchange.slot, peers.address(res), peers.certificate(res)));
      return;
    case Next.LastBody:
      exchange.last = true;
      read(exchange, res);
      return;
    case Next.Body:
      read(exchange, res);
      return;
    case Next.Answer:
      refuse(exchange, res);
      return;
    case Next.Held:
      responses.held(exchange, answerMeta);
      return;
    case Next.Inspect:
      exchange.ticket = queue(exchange.slot);
      return;
    case Next.Own:
      ownPaths.take(exchange, res);
      return;
    case Next.Pause:
      exchange.stopped = true;
      res.pause();
      return;
    case Next.Ask:
      meanwhile(exchange);
      asking?.wanted();
      return;
    case Next.Delay:
      meanwhile(exchange);
      exchange.timer = setTimeout(delayed, native.delayOf(exchange.slot), exchange, res);
      return;
    case Next.Upgrade:
      if (exchange.handshake !== null) shakeHands(exchange, res, exchange.handshake);
      // One that uWebSockets.js did not take for a handshake: its key is not one (RFC 6455, 4.2.1).
      else act(exchange, native.refuse(exchange.slot, malformed));
      return;
    default:
      exchange.res = null;
      release(exchange);
      res.close();
  }
}

/**
 * Gives the body to native code, or goes on doing so. `Expect: 100-continue` was answered by uWebSockets.js already.
 */
function read(exchange: Exchange, res: HttpResponse): void {
  if (exchange.reading) {
    resume(exchange, res);
    return;
  }
  exchange.reading = true;
  res.onData((piece, last) => {
    try {
      if (exchange.res === res) act(exchange, native.body(exchange.slot, piece, last));
    } catch (error) {
      fail('body', error);
    }
  });
}

function resume(exchange: Exchange, res: HttpResponse): void {
  if (!exchange.stopped) return;
  exchange.stopped = false;
  res.resume();
}

/** A body is lost unless it is read from the first turn on, even while its exchange waits. */
function meanwhile(exchange: Exchange): void {
  if (!exchange.reading) act(exchange, native.meanwhile(exchange.slot));
}

/** Writes the answer that native code rendered. */
function refuse(exchange: Exchange, res: HttpResponse): void {
  const [head, length, flags] = answerMeta as unknown as [number, number, number];
  const bytes = answer.subarray(0, head + length);
  const bodiless = (flags & AnswerFlag.NoBody) !== 0;
  const close = (flags & AnswerFlag.Close) !== 0 || responses.draining;
  askOn();
  if (!close || identity) {
    write(exchange, res, bytes, head, bodiless, close);
    return;
  }
  // Only a connection's identity tells what is left in uWebSockets.js's buffer behind this request. Without, it is
  // answered when the buffer has been read: what follows then meets an unanswered request and is closed.
  const kept = bytes.slice();
  setImmediate(() => {
    if (exchange.res === res) write(exchange, res, kept, head, bodiless, close);
  });
}

function write(
  exchange: Exchange,
  res: HttpResponse,
  bytes: Uint8Array,
  head: number,
  bodiless: boolean,
  close: boolean,
): void {
  res.cork(() => {
    // Status line and all fields at once: docs/decisions/0001.
    res.writeStatus(bytes.subarray(0, head));
    exchange.res = null;
    // What is still to come of this request is read and dropped.
    resume(exchange, res);
    if (bodiless) res.endWithoutBody(bytes.length - head, close);
    else res.end(bytes.subarray(head), close);
  });
  release(exchange);
}

// --- bodies that wait for the inspection pool ---------------------------------------------------------------------

/** Answers the number of the ticket that the slot waits with, or -1 when it does not. */
function queue(slot: number): number {
  const ticket = native.ticket(slot);
  if (pool.submit(ticket)) {
    waiting.set(ticket, slot);
    return ticket;
  }
  actOn(slot, native.crowded(slot));
  return -1;
}

function inspected(ticket: number): void {
  const slot = waiting.get(ticket);
  if (slot === undefined) return;
  waiting.delete(ticket);
  const exchange = (slot & 1) === 0 ? exchanges[slot >> 1] : undefined;
  if (exchange !== undefined) exchange.ticket = -1;
  actOn(slot, native.inspected(slot, ticket));
}

// --- exchanges that wait ------------------------------------------------------------------------------------------

/** What answers have cost is told to the fleet's counters, though nobody waits for what they say. */
function askOn(): void {
  if (answerMeta[ASKS] !== 0) asking?.wanted();
}

const delayed = contained('delayed', (exchange: Exchange, res: HttpResponse) => {
  exchange.timer = null;
  if (exchange.res === res) act(exchange, native.delayed(exchange.slot));
});

// --- WebSocket ----------------------------------------------------------------------------------------------------

function upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void {
  const exchange = take(res);
  if (exchange === null) return;
  res.onAborted(identity ? ignore : () => abandoned(exchange, res));
  const key = req.getHeader('sec-websocket-key');
  const protocols = req.getHeader('sec-websocket-protocol');
  exchange.handshake = { key, protocols, context };
  act(exchange, native.decide(exchange.slot, res, readHead(req, 'GET')));
}

function shakeHands(exchange: Exchange, res: HttpResponse, { key, protocols, context }: Handshake): void {
  const handshake = native.upgrade(exchange.slot);
  const address = handshake?.addresses[0];
  if (!handshake || address === undefined) {
    act(exchange, native.refuse(exchange.slot, originConnect));
    return;
  }
  connect({ address, tls: handshake.tls }, handshake.head, protocols, WEBSOCKET_BYTES).then(
    contained('webSocket.connect', result => {
      if (exchange.res !== res) {
        if ('bridge' in result) result.bridge.terminate();
        return;
      }
      if ('status' in result) {
        act(exchange, native.refuse(exchange.slot, originConnect));
        return;
      }
      const number = native.upgraded(exchange.slot, 101);
      // The socket moves into another context: its HTTP connection ends here, and nobody else tells of it.
      connections--;
      native.closed(res);
      exchange.res = null;
      release(exchange);
      const { bridge } = result;
      bridges.add(bridge);
      if (number !== NONE) admitted.set(number, bridge);
      res.cork(() => res.upgrade({ bridge, number }, key, bridge.protocol, '', context));
    }),
  );
}

/** A WebSocket sends no request that would be refused: it ends when what let it in does not count. */
function tick(): void {
  native.tick();
  for (const number of native.withdrawn()) {
    admitted.get(number)?.withdraw();
    admitted.delete(number);
  }
}

// --- the thread's life --------------------------------------------------------------------------------------------

/** Wraps a handler so that nothing it throws leaves it. */
function contained<Args extends unknown[]>(what: string, act: (...args: Args) => void): (...args: Args) => void {
  return (...args) => {
    try {
      act(...args);
    } catch (error) {
      fail(what, error);
    }
  };
}

let failures = 0;

/** The exchange in question is lost, the others end in peace: the main thread starts a replacement and drains this. */
function fail(what: string, error: unknown): void {
  if (failures++ > 0) return;
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  port?.postMessage({ type: 'failed', what, message } satisfies FromEdge);
}

process.on('uncaughtException', error => fail('uncaught', error));
process.on('unhandledRejection', error => fail('unhandled', error));

const ticking = setInterval(contained('tick', tick), TICK_MS);

/** Each connection is told that it is its last: by its next answer, or by a GOAWAY. */
function announce(): void {
  responses.draining = true;
  native.drainStreams();
}

let draining = false;

/** Takes no new connections, lets exchanges end, then closes what is left and ends the thread. */
function drain(graceMs: number): void {
  if (draining) return;
  draining = true;
  responses.draining = true;
  // Connections that the kernel keeps for a listener are reset when it closes: after the loop's next look for events,
  // they have all just been accepted.
  setImmediate(
    contained('stop', () => {
      listener.stop();
      if (options.listen.h2) native.leaveAccepted();
      native.drainStreams();
      port?.postMessage({ type: 'stopped' } satisfies FromEdge);
    }),
  );
  const deadline = Date.now() + graceMs;
  const polling = setInterval(() => {
    // Kept-alive connections end by themselves: each answer says `Connection: close`, idle ones time out.
    const served = open + connections + bridges.size + native.streamConnections();
    if (served > 0 && Date.now() < deadline) return;
    clearInterval(polling);
    clearInterval(ticking);
    const cut = open + bridges.size + native.openStreams();
    for (const bridge of bridges) bridge.terminate();
    asking?.close();
    listener.close();
    peers.clear();
    pool.close().finally(() => {
      native.detach(() => {
        port?.postMessage({ type: 'drained', cut } satisfies FromEdge);
        port?.close();
      });
    });
  }, 20);
}

port.on('message', (message: ToEdge) => {
  try {
    if (message.type === 'own') ownPaths.answer(message.id, message);
    else if (message.type === 'last') announce();
    else drain(message.graceMs);
  } catch (error) {
    fail('message', error);
  }
});

/** Answers the port. */
async function accept(): Promise<number> {
  const { address, port: given, h2 } = options.listen;
  if (h2) {
    const { fallback, hosts } = tlsFiles(options.tls);
    native.tlsContexts(fallback, hosts);
    native.serveAccepted();
    return given;
  }
  const bound = await listener.listen(address, given);
  native.boundReceiveBuffers(bound);
  return bound;
}

Promise.resolve(asking?.ready(COUNTERS_MS))
  .then(accept)
  .then(
    bound => {
      port.postMessage({ type: 'listening', port: bound } satisfies FromEdge);
    },
    error => fail('listen', error),
  );
