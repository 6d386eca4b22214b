// An HTTP/2 client that sends any frames, also those that no library would: for what a front door must refuse.

import type { TLSSocket } from 'node:tls';
import { HeaderReader } from './hpack.js';
import { type Caller, handshake } from './https.js';

/** RFC 9113, 6. */
export const Frame = {
  Data: 0,
  Headers: 1,
  Priority: 2,
  RstStream: 3,
  Settings: 4,
  PushPromise: 5,
  Ping: 6,
  GoAway: 7,
  WindowUpdate: 8,
  Continuation: 9,
} as const;

/** Of frames; the first means ACK in SETTINGS and PING. */
export const Flag = { EndStream: 1, Ack: 1, EndHeaders: 4, Padded: 8, Priority: 0x20 } as const;

/** RFC 9113, 7. */
export const ErrorCode = {
  NoError: 0,
  ProtocolError: 1,
  InternalError: 2,
  FlowControl: 3,
  FrameSize: 6,
  RefusedStream: 7,
  Cancel: 8,
  Compression: 9,
  Connect: 10,
  EnhanceYourCalm: 11,
} as const;

/** RFC 9113, 6.5.2. */
export const Setting = { TableSize: 1, EnablePush: 2, Streams: 3, InitialWindow: 4, FrameSize: 5 } as const;

export interface Received {
  type: number;
  flags: number;
  stream: number;
  payload: Buffer;
  /** Of HEADERS, those of its CONTINUATION frames included. */
  fields?: Pair[];
}

/** One field, name and value as bytes go out: nothing is lower-cased or checked. */
export type Pair = readonly [name: string, value: string];

/** What may be sent unless SETTINGS say otherwise. */
const MAX_FRAME_BYTES = 16_384;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** Longer than any bound of the gateway that a test waits for. */
const TIMEOUT_MS = 20_000;

/** Connects by ALPN `h2`; the handshake is done when it resolves, and nothing of HTTP/2 was sent. */
export async function connectFrames(caller: Caller): Promise<FrameClient> {
  const tls = { ALPNProtocols: ['h2'], ...caller.tls };
  const client = await handshake({ ...caller, tls }, socket => new FrameClient(socket, caller.host));
  const { alpnProtocol } = client.socket;
  if (alpnProtocol !== 'h2') throw new Error(`the gateway chose ${alpnProtocol || 'no protocol'}`);
  return client;
}

export class FrameClient {
  /** All frames that came, in order. */
  readonly frames: Received[] = [];
  isClosed = false;
  /** Acknowledges SETTINGS and PING, and opens its windows again, as a proper client does. */
  polite = true;
  #buffered = Buffer.alloc(0);
  #wake = new Set<() => void>();
  /** Bytes of DATA, by their streams, and all under 0. */
  readonly #sent = new Map<number, number>();
  readonly #reader = new HeaderReader();
  /** HEADERS without END_HEADERS, and what came of its block. */
  #begun: Received | null = null;

  constructor(
    readonly socket: TLSSocket,
    readonly host: string,
  ) {
    socket.on('data', (piece: Buffer) => this.#take(piece));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
      this.#woken();
    });
  }

  /** The preface and SETTINGS, `[identifier, value]` each. */
  begin(settings: readonly (readonly [number, number])[] = []): this {
    this.raw(PREFACE);
    return this.settings(settings);
  }

  settings(settings: readonly (readonly [number, number])[]): this {
    const payload = Buffer.alloc(6 * settings.length);
    settings.forEach(([identifier, value], at) => {
      payload.writeUInt16BE(identifier, 6 * at);
      payload.writeUInt32BE(value, 6 * at + 2);
    });
    return this.frame(Frame.Settings, 0, 0, payload);
  }

  frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): this {
    return this.raw(encodeFrame(type, flags, stream, payload));
  }

  raw(bytes: string | Uint8Array): this {
    if (!this.isClosed) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
    return this;
  }

  /** A request without a body, or the beginning of one that has (`open`). */
  request(stream: number, path = '/', more: readonly Pair[] = [], { method = 'GET', open = false } = {}): this {
    const pairs: Pair[] = [
      [':method', method],
      [':scheme', 'https'],
      [':authority', this.host],
      [':path', path],
      ...more,
    ];
    return this.headers(stream, pairs, open ? Flag.EndHeaders : Flag.EndHeaders | Flag.EndStream);
  }

  headers(stream: number, pairs: readonly Pair[], flags: number = Flag.EndHeaders | Flag.EndStream): this {
    const block = encodeFields(pairs);
    if (block.length <= MAX_FRAME_BYTES) return this.frame(Frame.Headers, flags, stream, block);
    this.frame(Frame.Headers, flags & ~Flag.EndHeaders, stream, block.subarray(0, MAX_FRAME_BYTES));
    for (let at = MAX_FRAME_BYTES; at < block.length; at += MAX_FRAME_BYTES) {
      const piece = block.subarray(at, at + MAX_FRAME_BYTES);
      const isLast = at + piece.length === block.length;
      this.frame(Frame.Continuation, isLast ? flags & Flag.EndHeaders : 0, stream, piece);
    }
    return this;
  }

  data(stream: number, bytes: string | Uint8Array, end = true): this {
    const payload = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    return this.frame(Frame.Data, end ? Flag.EndStream : 0, stream, payload);
  }

  /** A body of any length, as the gateway's windows open; what it answers before may end it. */
  async upload(stream: number, bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length || at === 0; ) {
      const room = Math.min(this.#room(0), this.#room(stream), MAX_FRAME_BYTES, bytes.length - at);
      if (room > 0 || bytes.length === 0) {
        this.data(stream, bytes.subarray(at, at + room), at + room === bytes.length);
        this.#sent.set(0, (this.#sent.get(0) ?? 0) + room);
        this.#sent.set(stream, (this.#sent.get(stream) ?? 0) + room);
        at += room;
        if (bytes.length === 0) return;
      } else {
        const before = this.frames.length;
        await this.next(() => this.frames.length > before);
        if (this.isClosed || this.frames.some(frame => endsStream(frame, stream))) return;
      }
    }
  }

  /** What the gateway's window has left. */
  #room(stream: number): number {
    const opened = this.frames
      .filter(frame => frame.type === Frame.WindowUpdate && frame.stream === stream)
      .reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0);
    return (stream === 0 ? 65_535 : this.#initialWindow) + opened - (this.#sent.get(stream) ?? 0);
  }

  /** Of its SETTINGS. */
  get #initialWindow(): number {
    for (const { type, payload } of this.frames) {
      if (type !== Frame.Settings) continue;
      for (let at = 0; at + 6 <= payload.length; at += 6) {
        if (payload.readUInt16BE(at) === Setting.InitialWindow) return payload.readUInt32BE(at + 2);
      }
    }
    return 65_535;
  }

  reset(stream: number, code: number = ErrorCode.Cancel): this {
    return this.frame(Frame.RstStream, 0, stream, word(code));
  }

  window(stream: number, more: number): this {
    return this.frame(Frame.WindowUpdate, 0, stream, word(more));
  }

  /** Bytes that the socket has not taken yet. */
  get waiting(): number {
    return this.socket.writableLength;
  }

  /** The first frame that `is` what is waited for; null when the connection ends without it. */
  async next(is: (frame: Received) => boolean): Promise<Received | null> {
    const end = Date.now() + TIMEOUT_MS;
    for (;;) {
      const found = this.frames.find(is);
      if (found || this.isClosed) return found ?? null;
      if (Date.now() > end) throw new Error(`no such frame within ${TIMEOUT_MS} ms: ${this.#summary()}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 250);
        this.#wake.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** How a stream ended: its DATA as text, or the code it was reset with, or the connection's last word. */
  async outcome(stream: number): Promise<Outcome> {
    await this.next(frame => endsStream(frame, stream) || frame.type === Frame.GoAway);
    // What stands in the same flight counts: a stream's own end comes first.
    const own = this.frames.filter(frame => frame.stream === stream);
    const ended = own.find(frame => endsStream(frame, stream));
    const data = own.filter(frame => frame.type === Frame.Data).map(frame => frame.payload);
    if (ended?.type === Frame.RstStream) return { reset: ended.payload.readUInt32BE(0) };
    if (ended) {
      const heads = own.flatMap(({ fields }) => (fields ? [fields] : []));
      const [head = [], trailers = []] = heads.filter(
        fields => !fields.some(([name, value]) => isInterim(name, value)),
      );
      const status = Number(head.find(([name]) => name === ':status')?.[1]);
      return { status, fields: head, body: Buffer.concat(data).toString('latin1'), trailers };
    }
    const goAway = this.frames.find(frame => frame.type === Frame.GoAway);
    return goAway ? { goAway: goAway.payload.readUInt32BE(4) } : { closed: true };
  }

  /** The code of GOAWAY; null when the connection just ended. */
  async goneAway(): Promise<number | null> {
    const frame = await this.next(({ type }) => type === Frame.GoAway);
    return frame ? frame.payload.readUInt32BE(4) : null;
  }

  async closed(): Promise<void> {
    await this.next(() => false);
  }

  close(): void {
    this.socket.destroy();
  }

  #take(piece: Buffer): void {
    this.#buffered = Buffer.concat([this.#buffered, piece]);
    while (this.#buffered.length >= 9) {
      const length = this.#buffered.readUIntBE(0, 3);
      if (this.#buffered.length < 9 + length) break;
      const [type, flags] = [this.#buffered.readUInt8(3), this.#buffered.readUInt8(4)];
      const stream = this.#buffered.readUInt32BE(5) & 0x7fff_ffff;
      const payload = Buffer.from(this.#buffered.subarray(9, 9 + length));
      this.#buffered = this.#buffered.subarray(9 + length);
      const frame: Received = { type, flags, stream, payload };
      if (type === Frame.Headers || type === Frame.Continuation) this.#block(frame);
      this.frames.push(frame);
      if (this.polite && (type === Frame.Settings || type === Frame.Ping) && (flags & Flag.Ack) === 0) {
        this.frame(type, Flag.Ack, 0, type === Frame.Ping ? payload : undefined);
      }
      if (this.polite && type === Frame.Data && length > 0) {
        this.window(0, length);
        if ((flags & Flag.EndStream) === 0) this.window(stream, length);
      }
    }
    this.#woken();
  }

  #block(frame: Received): void {
    const begun = this.#begun ?? frame;
    if (begun !== frame) begun.payload = Buffer.concat([begun.payload, frame.payload]);
    this.#begun = (frame.flags & Flag.EndHeaders) === 0 ? begun : null;
    if (this.#begun === null) begun.fields = this.#reader.read(begun.payload);
  }

  #woken(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  #summary(): string {
    return this.frames.map(({ type, flags, stream }) => `${type}/${flags}@${stream}`).join(' ');
  }
}

/** What became of a stream; the body in Latin-1: a character is a byte. */
export type Outcome =
  | { status: number; fields: Pair[]; body: string; trailers: Pair[] }
  | { reset: number }
  | { goAway: number }
  | { closed: true };

export function encodeFrame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Fields as literals that enter no table, names and values without Huffman coding (RFC 7541, 6.2.2). */
export function encodeFields(pairs: readonly Pair[]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** A field that enters the dynamic table (RFC 7541, 6.2.1): from then on it is one byte, [`indexed`]. */
export function encodeIndexing(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
}

/** The newest entry of the dynamic table. */
export const indexed = Buffer.from([0x80 | 62]);

function text(written: string): Buffer {
  const bytes = Buffer.from(written, 'latin1');
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** RFC 7541, 5.1, with a prefix of so many bits. */
function integer(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.from([value]);
  const bytes = [most];
  for (let left = value - most; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left % 128) | 128);
  }
}

function isInterim(name: string, value: string): boolean {
  return name === ':status' && value.startsWith('1');
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function endsStream({ type, flags, stream }: Received, wanted: number): boolean {
  if (stream !== wanted) return false;
  if (type === Frame.RstStream) return true;
  return (type === Frame.Data || type === Frame.Headers) && (flags & Flag.EndStream) !== 0;
}
