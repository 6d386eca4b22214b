import type { HttpResponse } from 'uWebSockets.js';
import type { Exchange } from '../exchange.js';
import { AnswerFlag, EntryFlag, Kind, pause, piece, resume, Word, written } from '../native.js';

/** What the edge thread does when a response needs more than writing. */
export interface ResponseHandlers {
  /** The exchange is over: its slot may serve another. */
  release(exchange: Exchange): void;
  /** The origin failed before anything was sent: `reason` is the number of the reason. */
  failed(exchange: Exchange, reason: number): void;
  /** Native code took the response out of the turn to check it: it has to be asked what to do. */
  responded(exchange: Exchange): void;
}

/** Hands what a turn of the loop brought from the origins to the clients. */
export class Responses {
  /** Answers say `Connection: close`: this thread is about to end. */
  draining = false;
  private exchange: Exchange | null = null;
  private row = 0;

  constructor(
    private readonly arena: Uint8Array,
    private readonly entries: Uint32Array,
    /** Where native code puts what it held back. */
    private readonly memory: Uint8Array,
    /** By the number of their slot, halved. */
    private readonly exchanges: Exchange[],
    private readonly handlers: ResponseHandlers,
  ) {}

  turn(count: number): void {
    for (let index = 0; index < count; index++) {
      const row = index * Word.perRow;
      const kind = this.word(row, Word.kind);
      // 0: an HTTP/2 stream's, or the slot serves another exchange by now.
      if (kind === 0) continue;
      const exchange = this.exchanges[this.word(row, Word.slot) >> 1];
      if (exchange === undefined || exchange.res === null) continue;
      this.exchange = exchange;
      this.row = row;
      if (kind === Kind.Whole) exchange.res.cork(this.whole);
      else if (kind === Kind.Head) exchange.res.cork(this.head);
      else if (kind === Kind.Chunk) exchange.res.cork(this.chunk);
      else if (kind === Kind.End) exchange.res.cork(this.end);
      else if (kind === Kind.Drained) this.drained(exchange, exchange.res);
      else if (kind === Kind.Responded) this.handlers.responded(exchange);
      else this.fault(exchange);
    }
    this.exchange = null;
  }

  /** The origin takes more of the request's body. */
  private drained(exchange: Exchange, res: HttpResponse): void {
    exchange.stopped = false;
    res.resume();
  }

  private word(row: number, word: number): number {
    return this.entries[row + word] as number;
  }

  private block(): Uint8Array {
    const start = this.word(this.row, Word.blockStart);
    return this.arena.subarray(start, start + this.word(this.row, Word.blockLength));
  }

  private bytes(): Uint8Array {
    const start = this.word(this.row, Word.bodyStart);
    return this.arena.subarray(start, start + this.word(this.row, Word.bodyLength));
  }

  /** Content-Length as the origin gave it, or -1. */
  private length(): number {
    if ((this.word(this.row, Word.flags) & EntryFlag.Length) === 0) return -1;
    return this.word(this.row, Word.lengthLow) + this.word(this.row, Word.lengthHigh) * 2 ** 32;
  }

  private readonly whole = (): void => {
    const exchange = this.exchange as Exchange;
    const { res } = exchange;
    if (res === null) return;
    const close = this.draining || exchange.last;
    // Status line and all fields at once: docs/decisions/0001.
    res.writeStatus(this.block());
    exchange.res = null;
    if ((this.word(this.row, Word.flags) & EntryFlag.NoBody) !== 0) {
      const length = this.length();
      // An `undefined` for the length would be written as 2^63; one that closes has to be told some length.
      if (length < 0 && !close) res.endWithoutBody();
      else res.endWithoutBody(Math.max(0, length), close);
    } else {
      res.end(this.bytes(), close);
    }
    this.handlers.release(exchange);
  };

  private readonly head = (): void => {
    const exchange = this.exchange as Exchange;
    const { res } = exchange;
    if (res === null) return;
    res.writeStatus(this.block());
    exchange.length = this.length();
    if (this.draining || exchange.last) res.writeHeader('Connection', 'close');
    res.onAborted(() => {
      if (exchange.res === res) this.over(exchange);
    });
    res.onWritable(offset => this.writable(exchange, offset));
  };

  private readonly chunk = (): void => {
    const exchange = this.exchange as Exchange;
    this.write(exchange, this.bytes());
    if ((this.word(this.row, Word.flags) & EntryFlag.Last) !== 0) this.end();
  };

  private write(exchange: Exchange, bytes: Uint8Array): void {
    const { res } = exchange;
    if (res === null) return;
    if (exchange.pending.length > 0) {
      exchange.pending.push(bytes.slice());
      return;
    }
    if (exchange.length < 0) {
      // Chunked: uWebSockets.js takes all of it and buffers; the origin waits until it is written.
      if (!res.write(bytes)) this.wait(exchange);
      return;
    }
    const before = res.getWriteOffset();
    const [ok, done] = res.tryEnd(bytes, exchange.length);
    if (done) {
      this.over(exchange);
    } else if (!ok) {
      const written = res.getWriteOffset() - before;
      if (written < bytes.length) exchange.pending.push(bytes.slice(written));
      this.wait(exchange);
    }
  }

  private wait(exchange: Exchange): void {
    if (exchange.paused || exchange.complete) return;
    exchange.paused = true;
    pause(exchange.slot);
  }

  /** The client's socket takes bytes again. Answers whether all that waited was taken. */
  private writable(exchange: Exchange, _offset: number): boolean {
    let taken = true;
    exchange.res?.cork(() => {
      if (exchange.taken >= 0) {
        taken = this.take(exchange);
        return;
      }
      const waiting = exchange.pending;
      exchange.pending = [];
      for (const bytes of waiting) this.write(exchange, bytes);
      taken = exchange.pending.length === 0;
      if (!taken || exchange.res === null) return;
      if (exchange.complete) {
        this.finish(exchange);
      } else if (exchange.paused) {
        exchange.paused = false;
        resume(exchange.slot);
      }
    });
    return taken;
  }

  /** Writes a response that native code held back, or what came of it until it was let go. */
  held(exchange: Exchange, [head, length, flags, low, high]: Uint32Array): void {
    exchange.res?.cork(() => {
      const { res } = exchange;
      if (res === null) return;
      const is = (flag: number) => ((flags as number) & flag) !== 0;
      const close = this.draining || exchange.last;
      res.writeStatus(this.memory.subarray(0, head));
      if (is(AnswerFlag.Whole)) {
        exchange.res = null;
        res.end(this.memory.subarray(head, (head as number) + (length as number)), close);
        this.handlers.release(exchange);
        return;
      }
      if (close) res.writeHeader('Connection', 'close');
      res.onAborted(() => {
        if (exchange.res === res) this.over(exchange);
      });
      res.onWritable(offset => this.writable(exchange, offset));
      if (!is(AnswerFlag.More)) {
        exchange.length = length as number;
        exchange.taken = 0;
        this.take(exchange);
        return;
      }
      exchange.length = is(AnswerFlag.Length) ? (low as number) + (high as number) * 2 ** 32 : -1;
      for (let taken = 0; taken < (length as number); ) {
        const bytes = this.memory.subarray(0, piece(exchange.slot, taken));
        if (bytes.length === 0) break;
        taken += bytes.length;
        this.write(exchange, bytes);
      }
      written(exchange.slot);
    });
  }

  /** Writes as much of a held response as the client's socket takes; false when that is not all. */
  private take(exchange: Exchange): boolean {
    const { res, slot } = exchange;
    while (res !== null) {
      const before = res.getWriteOffset();
      const bytes = this.memory.subarray(0, piece(slot, exchange.taken));
      if (bytes.length === 0) {
        // Native code has lost it: closing is the only way to say so.
        this.over(exchange);
        res.close();
        return true;
      }
      const [ok, done] = res.tryEnd(bytes, exchange.length);
      if (done) {
        written(slot);
        this.over(exchange);
        return true;
      }
      exchange.taken += ok ? bytes.length : res.getWriteOffset() - before;
      if (!ok) return false;
    }
    return true;
  }

  private readonly end = (): void => {
    const exchange = this.exchange as Exchange;
    exchange.complete = true;
    if (exchange.pending.length === 0) this.finish(exchange);
  };

  private finish(exchange: Exchange): void {
    const { res } = exchange;
    if (res === null) return;
    // With a Content-Length, tryEnd ended the response with its last byte, unless there was not a single one.
    if (exchange.length < 0) res.end();
    else if (exchange.length === 0) res.endWithoutBody(0);
    this.over(exchange);
  }

  private fault(exchange: Exchange): void {
    if ((this.word(this.row, Word.flags) & EntryFlag.HeadSent) === 0) {
      this.handlers.failed(exchange, this.word(this.row, Word.fault));
      return;
    }
    // The client has half a response: closing is the only way to say so.
    const { res } = exchange;
    this.over(exchange);
    res?.close();
  }

  private over(exchange: Exchange): void {
    exchange.res = null;
    this.handlers.release(exchange);
  }
}
