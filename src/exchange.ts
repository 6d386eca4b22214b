import type { HttpResponse, us_socket_context_t } from 'uWebSockets.js';

/** What a WebSocket is opened with, once its request has passed. */
export interface Handshake {
  key: string;
  protocols: string;
  context: us_socket_context_t;
}

/**
 * One request and its response, as the edge thread's event loop sees it. What was decided and what is on its way lives
 * in the native slot of the same number. All fields are set here, so that every exchange has one shape.
 */
export class Exchange {
  readonly slot: number;
  /** Null when nothing may be written any more: answered, or the client went away. */
  res: HttpResponse | null = null;
  /** The connection ends with this exchange: its request came in chunks, and what follows cannot be told for certain. */
  last = false;
  /** Content-Length of a response that streams; -1 when it is chunked or there is none. */
  length = -1;
  /** Bytes of a streamed response that the client's socket did not take yet. */
  pending: Uint8Array[] = [];
  /** Bytes taken of a response that native code holds whole; -1 when there is none. */
  taken = -1;
  /** The origin's side of the response is complete. */
  complete = false;
  /** The origin is told to wait for the client. */
  paused = false;
  /** Number of the body that waits for the inspection pool, or -1. */
  ticket = -1;
  /** Number of the request that the main thread is asked to answer, or -1. */
  own = -1;
  /** The client's body is being read. */
  reading = false;
  /** Its socket was paused, for no one can take more of it. */
  stopped = false;
  /** Ends its wait for its turn. */
  timer: NodeJS.Timeout | null = null;
  /** Null when it is no WebSocket's. */
  handshake: Handshake | null = null;

  constructor(slot: number) {
    this.slot = slot;
  }

  reset(): void {
    this.res = null;
    this.last = false;
    this.length = -1;
    if (this.pending.length > 0) this.pending = [];
    this.taken = -1;
    this.complete = false;
    this.paused = false;
    this.ticket = -1;
    this.own = -1;
    this.reading = false;
    this.stopped = false;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.handshake = null;
  }
}
