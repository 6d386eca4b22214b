// An abuse of HTTP/2 over some connections, with a proper client beside it: what it costs the gateway and its others.

import { readFileSync } from 'node:fs';
import { connect as connectH2 } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectFrames, type FrameClient } from './h2-frames.js';
import type { Caller } from './https.js';

export interface Abuse {
  /** Sent once a connection, behind its TLS handshake. */
  begin(client: FrameClient): void;
  /** Sent again and again while the connection's socket takes it; `turn` counts from 0. */
  again?(client: FrameClient, turn: number): void;
}

export interface Suffered {
  /** Of connections that the gateway ended: the codes of their GOAWAY, null without one. */
  ended: (number | null)[];
  /** Bytes above what the process held before, at its worst moment. */
  memory: number;
  /** Of the proper client's requests. */
  p99: number;
  answered: number;
}

/** Bytes that may wait in an offender's socket: it sends as fast as the gateway reads. */
const WAITING_BYTES = 256 * 1024;
/** Between two connections of one offender: handshakes are bounded elsewhere. */
const AGAIN_MS = 250;
/** Between two requests of the proper client. */
const BEAT_MS = 10;

export async function suffer(
  { pid, caller }: { pid: number; caller: Caller },
  abuse: Abuse,
  { connections = 16, ms = 2_000 } = {},
): Promise<Suffered> {
  const healthy = connectH2(`https://127.0.0.1:${caller.port}`, {
    servername: caller.host,
    ca: caller.ca,
    cert: caller.cert,
    key: caller.key,
  });
  const call = () => ask(healthy, caller.host);
  for (let warm = 0; warm < 20; warm++) await call();
  const before = rss(pid);
  const suffered: Suffered = { ended: [], memory: 0, p99: 0, answered: 0 };
  const deadline = Date.now() + ms;
  const offenders = Array.from({ length: connections }, () => offend(caller, abuse, deadline, suffered.ended));
  const took: number[] = [];
  while (Date.now() < deadline) {
    const began = performance.now();
    await call();
    took.push(performance.now() - began);
    suffered.memory = Math.max(suffered.memory, rss(pid) - before);
    await sleep(BEAT_MS);
  }
  for (const client of (await Promise.all(offenders)).flat()) client.close();
  healthy.destroy();
  took.sort((a, b) => a - b);
  suffered.p99 = took[Math.floor(took.length * 0.99)] ?? Number.POSITIVE_INFINITY;
  suffered.answered = took.length;
  return suffered;
}

/** Abuses until the deadline, on a new connection whenever the gateway has ended one; answers the one that is left. */
async function offend(
  caller: Caller,
  abuse: Abuse,
  deadline: number,
  ended: (number | null)[],
): Promise<FrameClient[]> {
  while (Date.now() < deadline) {
    const client = await connectFrames(caller).catch(() => null);
    if (client === null) {
      await sleep(AGAIN_MS);
      continue;
    }
    abuse.begin(client);
    for (let turn = 0; !client.isClosed && Date.now() < deadline; ) {
      if (abuse.again && client.waiting < WAITING_BYTES) abuse.again(client, turn++);
      else await sleep(1);
      // The other offenders and the proper client have their turn.
      await new Promise(resolve => setImmediate(resolve));
    }
    if (!client.isClosed) return [client];
    const goAway = client.frames.find(frame => frame.type === 7);
    ended.push(goAway ? goAway.payload.readUInt32BE(4) : null);
    await sleep(AGAIN_MS);
  }
  return [];
}

function ask(session: ReturnType<typeof connectH2>, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': '/healthy', ':authority': host });
    stream.on('response', ({ ':status': status }) => {
      if (status !== 200) reject(new Error(`the proper client was answered ${status}`));
    });
    stream.on('error', reject).on('end', resolve).resume();
    stream.end();
  });
}

function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}
