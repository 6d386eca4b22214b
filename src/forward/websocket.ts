import type { WebSocket as ClientSocket } from 'uWebSockets.js';
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity, createSecureContext, type SecureContext } from 'node:tls';
import { LRUCache } from 'lru-cache';
import { WebSocket as OriginSocket, type RawData } from 'ws';

/** Bounds of a handshake with the origin: as its first-byte timeout would be, but nothing is waiting behind it. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** The handshake's own fields are made anew by each side (RFC 6455, 4.1). */
const HANDSHAKE_FIELD = /^(?:sec-websocket-(?:key|version|extensions|protocol)|connection|upgrade|content-length)$/i;

/** Joins one client's WebSocket with one to the origin, message by message. */
export class WebSocketBridge {
  private client: ClientSocket<WebSocketBridge> | null = null;

  constructor(
    private readonly origin: OriginSocket,
    private readonly limit: number,
  ) {
    origin.on('message', (data, isBinary) => this.toClient(data, isBinary));
    origin.on('close', (code, reason) => this.originClosed(code, reason));
    // 'close' follows every error.
    origin.on('error', () => undefined);
    // What the origin says first waits for the client's side.
    origin.pause();
  }

  /** The client's side is open. */
  attach(client: ClientSocket<WebSocketBridge>): void {
    this.client = client;
    if (this.origin.readyState === OriginSocket.OPEN) this.origin.resume();
    else client.close();
  }

  /** The protocol that the origin chose; '' when none. */
  get protocol(): string {
    return this.origin.protocol;
  }

  private toClient(data: RawData, isBinary: boolean): void {
    const { client } = this;
    if (client === null) return;
    const bytes = Array.isArray(data) ? Buffer.concat(data) : (data as Buffer);
    client.send(bytes, isBinary);
    if (client.getBufferedAmount() > this.limit / 2) this.origin.pause();
  }

  toOrigin(message: ArrayBuffer, isBinary: boolean): void {
    // uWebSockets.js cannot stop reading one WebSocket: an origin that is slower than its client is given up.
    if (this.origin.bufferedAmount > this.limit) {
      this.client?.end(1013, 'origin too slow');
      return;
    }
    // The message is lent for the length of the handler only.
    this.origin.send(Buffer.from(message.slice(0)), { binary: isBinary });
  }

  drained(): void {
    if (this.origin.isPaused) this.origin.resume();
  }

  clientClosed(code: number, reason: string): void {
    this.client = null;
    if (sendable(code)) this.origin.close(code, reason);
    else if (code === NO_STATUS) this.origin.close();
    else this.origin.terminate();
  }

  private originClosed(code: number, reason: Buffer): void {
    const { client } = this;
    this.client = null;
    if (client === null) return;
    if (sendable(code)) client.end(code, reason.toString());
    else if (code === NO_STATUS) client.end();
    else client.close();
  }

  /** The client may not be here any more (RFC 6455, 7.4.1: 1008, policy). */
  withdraw(): void {
    this.client?.end(1008, 'what let this connection in is not accepted any more');
  }

  terminate(): void {
    this.origin.terminate();
  }
}

/** Stands for a close frame without a code (RFC 6455, 7.1.5). */
const NO_STATUS = 1005;

/** Codes 1005, 1006 and 1015 stand for what was never sent (RFC 6455, 7.4.1). */
function sendable(code: number): boolean {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/** How an origin over TLS is known, and what it is shown; all PEM. */
export interface OriginTls {
  serverName: string;
  roots: string;
  certificate?: string;
  key?: string;
  allowUnverified: boolean;
}

/** Contexts by what they are made of: reading a hundred authorities takes milliseconds. */
const contexts = new LRUCache<string, SecureContext>({ max: 64 });

function known({ serverName, roots, certificate, key, allowUnverified }: OriginTls): ConnectionOptions {
  const made = createHash('sha256')
    .update(JSON.stringify([roots, certificate, key]))
    .digest('base64');
  let secureContext = contexts.get(made);
  if (secureContext === undefined) {
    secureContext = createSecureContext({ ca: roots, cert: certificate, key, minVersion: 'TLSv1.2' });
    contexts.set(made, secureContext);
  }
  return {
    secureContext,
    // An address is no name to ask for (RFC 6066, 3); the certificate has to cover it all the same.
    servername: isIP(serverName) ? '' : serverName,
    checkServerIdentity: (_, shown) => checkServerIdentity(serverName, shown),
    rejectUnauthorized: !allowUnverified,
  };
}

/** How the origin took the handshake. */
export type Handshake = { bridge: WebSocketBridge } | { status: number };

/** Opens the origin's side. `head` is the request head as the origin gets it. */
export function connect(
  { address, tls }: { address: string; tls?: OriginTls | undefined },
  head: string,
  protocols: string,
  limit: number,
): Promise<Handshake> {
  const lines = head.split('\r\n');
  const target = (lines[0] as string).split(' ')[1] as string;
  const headers: Record<string, string | string[]> = {};
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const name = line.slice(0, colon);
    if (HANDSHAKE_FIELD.test(name)) continue;
    const value = line.slice(colon + 1).trim();
    const known = headers[name];
    headers[name] = known === undefined ? value : [known, value].flat();
  }
  return new Promise(resolve => {
    const offered = protocols === '' ? [] : protocols.split(',').map(protocol => protocol.trim());
    let origin: OriginSocket;
    try {
      origin = new OriginSocket(`${tls ? 'wss' : 'ws'}://${address}${target}`, offered, {
        ...(tls && known(tls)),
        headers,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        perMessageDeflate: false,
        maxPayload: limit,
        followRedirects: false,
      });
    } catch {
      // A protocol list that is not one (RFC 6455, 4.1).
      resolve({ status: 400 });
      return;
    }
    origin.once('open', () => resolve({ bridge: new WebSocketBridge(origin, limit) }));
    origin.once('unexpected-response', (request, response) => {
      request.destroy();
      resolve({ status: response.statusCode ?? 502 });
    });
    origin.once('error', () => resolve({ status: 502 }));
  });
}
