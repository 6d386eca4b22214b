// What lies between a TLS client and the gateway: bytes on their way can be split and held up.

import { type Socket, connect as tcpConnect } from 'node:net';
import { Duplex } from 'node:stream';
import { atTheEnd } from './cleanup.js';
import { pause } from './waiting.js';

/** A connection without TLS, and what came over it. */
export interface Plain {
  socket: Socket;
  /** Everything until the other side closed, Latin-1. */
  ended: Promise<string>;
}

export function plain(port: number, bytes: Buffer | string = ''): Plain {
  const socket = tcpConnect({ port, host: '127.0.0.1', noDelay: true });
  atTheEnd(() => socket.destroy());
  let received = '';
  socket.setEncoding('latin1').on('data', piece => {
    received += piece;
  });
  socket.on('error', () => {});
  const ended = new Promise<string>(resolve => socket.once('close', () => resolve(received)));
  if (bytes.length > 0) socket.write(bytes);
  return { socket, ended };
}

/** The first bytes that the client writes (its ClientHello) in the pieces that `cut` makes of them, one after the other. */
export function wire(port: number, cut: (hello: Buffer) => Buffer[], gapMs = 0): Duplex {
  const socket = tcpConnect({ port, host: '127.0.0.1', noDelay: true });
  atTheEnd(() => socket.destroy());
  socket.on('error', () => {});
  let greeted = false;
  const duplex = new Duplex({
    read: () => void socket.resume(),
    async write(bytes: Buffer, _, done) {
      if (greeted) {
        socket.write(bytes, () => done());
        return;
      }
      greeted = true;
      for (const piece of cut(bytes)) {
        socket.write(piece);
        await (gapMs > 0 ? pause(gapMs) : new Promise(setImmediate));
      }
      done();
    },
    final: done => void socket.end(() => done()),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on('data', piece => {
    if (!duplex.push(piece)) socket.pause();
  });
  socket.on('close', () => duplex.push(null));
  return duplex;
}

const RECORD_HEADER = 5;

/** The message of one record in records of so many bytes. */
export function records(hello: Buffer, size: number): Buffer[] {
  const message = hello.subarray(RECORD_HEADER);
  const pieces: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const piece = message.subarray(at, at + size);
    pieces.push(Buffer.from([0x16, 3, 1, piece.length >> 8, piece.length & 0xff]), piece);
  }
  return [Buffer.concat(pieces)];
}

export function bytewise(bytes: Buffer): Buffer[] {
  return [...bytes].map(byte => Buffer.from([byte]));
}
