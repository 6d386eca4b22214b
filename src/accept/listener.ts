import type {
  AppOptions,
  HttpRequest,
  HttpResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocketBehavior,
} from 'uWebSockets.js';
import type { TlsContext, TlsContexts } from './tls/contexts.js';
import type { UwsModule } from './uws.js';

export interface Handlers<Bridge> {
  /** A connection was opened (count > 0) or closed (count < 0). */
  connection(res: HttpResponse, count: number): void;
  request(res: HttpResponse, req: HttpRequest, method: string): void;
  upgrade(res: HttpResponse, req: HttpRequest, context: us_socket_context_t): void;
  webSocket: Pick<WebSocketBehavior<Bridge>, 'open' | 'message' | 'drain' | 'close'>;
}

/** Seconds without a frame after which a passed-through WebSocket is closed; pings keep it open. */
const WEBSOCKET_IDLE_S = 120;
/** Largest WebSocket message. The origin is paused once half of it waits for a slow client. */
export const WEBSOCKET_BYTES = 1024 * 1024;
/** Above what can wait: half a message, a whole one behind it, and what came in the same read (64 KiB). */
const WEBSOCKET_WAITING_BYTES = 2 * WEBSOCKET_BYTES;

/**
 * One thread's listening app: TLS contexts by SNI name, and the same routes on each.
 *
 * They are made once. `removeServerName` frees the routes of a host while connections that were made to it still point
 * at them: the next request there reads freed memory (seen: the process died). Other contexts are for another thread.
 */
export class Listener<Bridge> {
  private readonly app: TemplatedApp;
  private socket: us_listen_socket | null = null;

  constructor(
    private readonly uws: UwsModule,
    tls: TlsContexts,
    private readonly handlers: Handlers<Bridge>,
  ) {
    this.app = uws.SSLApp(options(tls.fallback));
    this.app.filter((res, count) => handlers.connection(res, Number(count)));
    this.route();
    for (const context of tls.hosts) {
      this.app.addServerName(context.host, options(context));
      // Routes of the default app do not serve a host that was added: it wants its own.
      this.app.domain(context.host);
      this.route();
    }
  }

  /** Binds with SO_REUSEPORT: several threads share the port and the kernel spreads connections over them. */
  listen(address: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.app.listen(address, port, socket => {
        if (socket === false) {
          reject(new Error(`cannot listen on ${address}:${port}`));
          return;
        }
        this.socket = socket;
        resolve(this.uws.us_socket_local_port(socket as never));
      });
    });
  }

  /** Serves a connection that somebody else accepted. `connection` is told of it before this returns. */
  adopt(fd: number): void {
    (this.app as unknown as { adoptSocket(fd: number): void }).adoptSocket(fd);
  }

  private route(): void {
    const { handlers } = this;
    // Where the route says the method, it need not be asked for.
    this.app.get('/*', (res, req) => handlers.request(res, req, 'GET'));
    this.app.post('/*', (res, req) => handlers.request(res, req, 'POST'));
    this.app.any('/*', (res, req) => handlers.request(res, req, req.getCaseSensitiveMethod()));
    this.app.ws<Bridge>('/*', {
      ...handlers.webSocket,
      upgrade: (res, req, context) => handlers.upgrade(res, req, context),
      idleTimeout: WEBSOCKET_IDLE_S,
      maxPayloadLength: WEBSOCKET_BYTES,
      maxBackpressure: WEBSOCKET_WAITING_BYTES,
      closeOnBackpressureLimit: true,
      compression: 0,
    });
  }

  /** Takes no new connections; those that are open go on. */
  stop(): void {
    if (this.socket !== null) this.uws.us_listen_socket_close(this.socket);
    this.socket = null;
  }

  /** Closes everything. */
  close(): void {
    this.socket = null;
    this.app.close();
  }
}

function options(context: TlsContext): AppOptions {
  return {
    cert_file_name: context.certificate,
    key_file_name: context.key,
    ...(context.clientAuthorities === null ? {} : { ca_file_name: context.clientAuthorities }),
  };
}
