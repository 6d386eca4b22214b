/**
 * Requests that the gateway itself answers (docs/mtls.md, own paths): the edge thread reads them whole, asks the main
 * thread, and writes what that answers. They are rare, so nothing here is about speed; all of it is about bounds.
 */

import type { HttpResponse } from 'uWebSockets.js';
import { STATUS_CODES } from 'node:http';
import type { Exchange } from './exchange.js';
import { answered, own, ownAnswer, ownBody, ownRefuse, reasonNumbers } from './native.js';

export interface OwnRequest {
  method: string;
  /** Normalised. */
  path: string;
  host: string;
  contentType: string | null;
  authorization: string | null;
  /** The client's certificate is good for this host. */
  verified: boolean;
  /** The client's certificate, PEM, whatever it is worth. */
  certificate: string | null;
  address: string;
}

export interface OwnAnswer {
  status: number;
  headers: [name: string, value: string][];
  body: Uint8Array | string;
}

/** What native/door/src/edge/owning.rs tells besides. */
interface Told extends OwnRequest {
  id: string;
  last: boolean;
  asksToClose: boolean;
}

interface Open {
  slot: number;
  /** Null for HTTP/2: native code reads the body and writes the answer. */
  client: { exchange: Exchange; res: HttpResponse } | null;
  /** Of HTTP/2: which request of its slot it is. */
  generation: number;
  told: Told;
  pieces: Buffer[];
  bytes: number;
  /** The main thread was asked. */
  asked: boolean;
  timer: NodeJS.Timeout;
}

/** A certificate request with a hundred names and an RSA key stays below 16 KiB; base64 and EST's wrapping fit too. */
const BODY_BYTES = 64 * 1024;
/** Requests whose bodies are being read, in one edge thread: 16 MiB of them at most. */
const MAX_OPEN = 256;
/** Requests the main thread has not answered, in one edge thread: it issues about a thousand certificates a second. */
const MAX_WAITING = 64;
/** From the request's head to its answer. */
const ANSWER_WITHIN_MS = 10_000;

const { bodyTooLarge, overload, ownTimeout } = reasonNumbers();

export interface OwnHandlers {
  ask(id: number, request: OwnRequest, body: Uint8Array): void;
  /** Denies the exchange for a reason. */
  refuse(slot: number, reason: number): void;
  /** Writes `bytes`: status line and fields up to `head`, then the body. */
  write(
    exchange: Exchange,
    res: HttpResponse,
    bytes: Uint8Array,
    head: number,
    bodiless: boolean,
    close: boolean,
  ): void;
  failed(error: unknown): void;
}

export class OwnPaths {
  readonly #open = new Map<number, Open>();
  readonly #handlers: OwnHandlers;
  #waiting = 0;
  #next = 0;

  constructor(handlers: OwnHandlers) {
    this.#handlers = handlers;
  }

  /** Takes a request up whose head was decided. */
  take(exchange: Exchange, res: HttpResponse): void {
    const told = own(exchange.slot);
    if (told === null || this.#open.size >= MAX_OPEN) {
      this.#handlers.refuse(exchange.slot, overload);
      return;
    }
    const id = this.#add({ slot: exchange.slot, client: { exchange, res }, generation: 0, told: JSON.parse(told) });
    exchange.own = id;
    // Called with nothing and `last` when the request has no body.
    res.onData((piece, last) => this.#contained(() => this.#read(id, piece, last)));
  }

  /** The same for HTTP/2, when all of the body is here. */
  takeStream(slot: number): void {
    const told = own(slot);
    const read = ownBody(slot);
    if (told === null || read === null) return;
    if (this.#open.size >= MAX_OPEN) {
      this.#handlers.refuse(slot, overload);
      return;
    }
    const id = this.#add({ slot, client: null, generation: read.generation, told: JSON.parse(told) });
    this.#ask(id, read.body);
  }

  #add(request: Pick<Open, 'slot' | 'client' | 'generation' | 'told'>): number {
    const id = this.#next++;
    const timer = setTimeout(() => this.#contained(() => this.#refuse(id, ownTimeout)), ANSWER_WITHIN_MS);
    this.#open.set(id, { ...request, pieces: [], bytes: 0, asked: false, timer });
    return id;
  }

  /** The exchange is over, answered or not. */
  forget(id: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    clearTimeout(open.timer);
    if (open.asked) this.#waiting--;
    this.#open.delete(id);
  }

  /** What the main thread answered; too late when the client is gone or was told so. */
  answer(id: number, { status, headers, body }: OwnAnswer): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    const { slot, client, generation, told } = open;
    const fields = [['X-Request-Id', told.id], ...headers, ...(told.asksToClose ? [['Connection', 'close']] : [])];
    const line = `${status} ${STATUS_CODES[status] ?? 'Unknown'}`;
    const head = Buffer.from([line, ...fields.map(([name, value]) => `${name}: ${value}`)].join('\r\n'), 'latin1');
    const content = typeof body === 'string' ? Buffer.from(body) : body;
    if (client === null) {
      this.forget(id);
      ownAnswer(slot, generation, status, head.toString('latin1'), content);
      return;
    }
    const bytes = Buffer.concat([head, content]);
    const bodiless = told.method === 'HEAD';
    answered(slot, status, bodiless ? 0 : bytes.length - head.length);
    this.#handlers.write(client.exchange, client.res, bytes, head.length, bodiless, told.last);
  }

  #read(id: number, piece: ArrayBuffer, last: boolean): void {
    const open = this.#open.get(id);
    if (open === undefined || open.asked) return;
    open.bytes += piece.byteLength;
    if (open.bytes > BODY_BYTES) {
      this.#refuse(id, bodyTooLarge);
      return;
    }
    // The memory is uWebSockets.js's own and gone after this call.
    if (piece.byteLength > 0) open.pieces.push(Buffer.from(piece.slice(0)));
    if (last) this.#ask(id, Buffer.concat(open.pieces));
  }

  #ask(id: number, body: Uint8Array): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    if (this.#waiting >= MAX_WAITING) {
      this.#refuse(id, overload);
      return;
    }
    open.asked = true;
    this.#waiting++;
    const { id: _id, last: _last, asksToClose: _asksToClose, ...request } = open.told;
    this.#handlers.ask(id, request, body);
    open.pieces = [];
  }

  #refuse(id: number, reason: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    if (open.client !== null) {
      this.#handlers.refuse(open.slot, reason);
      return;
    }
    // Nobody else tells of the end of a stream's; its slot may serve another by now.
    this.forget(id);
    ownRefuse(open.slot, open.generation, reason);
  }

  #contained(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#handlers.failed(error);
    }
  }
}
