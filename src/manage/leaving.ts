// How an HTTP server of the control plane ends: at once, or so that nobody notices.
//
// A connection that is kept alive and closed while its client sends the next request looks to the client like a failure.
// Where another process answers already, each connection is told to end by its next answer instead, or ends by itself
// when nothing was asked for a while.

import type { Server } from 'node:http';
import { Server as SocketServer } from 'node:net';

export class Leaving {
  readonly #server: Server;
  #ended: Promise<void> | null = null;
  #atOnce = false;

  constructor(server: Server) {
    this.#server = server;
    server.prependListener('request', (_, answer) => {
      if (this.#ended !== null) answer.setHeader('Connection', 'close');
      // It was under way when the others were closed.
      answer.once('close', () => setImmediate(() => this.#atOnce && server.closeIdleConnections()));
    });
  }

  /** No new connections from now on; those that are open are told to end. */
  gently(): Promise<void> {
    // That of HTTP servers closes connections that are idle now.
    return this.#end(ended => SocketServer.prototype.close.call(this.#server, ended));
  }

  /** No new connections from now on; resolves when requests under way have their answers. */
  atOnce(): Promise<void> {
    this.#atOnce ||= this.#ended === null;
    return this.#end(ended => this.#server.close(ended));
  }

  #end(stop: (ended: () => void) => void): Promise<void> {
    this.#ended ??= new Promise(resolve => stop(() => resolve()));
    return this.#ended;
  }
}
