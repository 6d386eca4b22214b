// An abuse of HTTP/2 over some connections, with a proper client beside it: what it costs the gateway and its others.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
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
  /** Of the proper client's requests, in ms. */
  p99: number;
  /** The same right before the abuse. */
  quiet: number;
  answered: number;
}

/** Bytes that may wait in an offender's socket: it sends as fast as the gateway reads. */
const WAITING_BYTES = 256 * 1024;
/** Between two connections of one offender: handshakes are bounded elsewhere. */
const AGAIN_MS = 250;
/** Between two looks at the gateway's memory. */
const LOOK_MS = 10;
/** How long the proper client is measured before the abuse, its handshake included. */
const QUIET_MS = 1_000;

export async function suffer(
  { pid, caller }: { pid: number; caller: Caller },
  abuse: Abuse,
  { connections = 16, ms = 2_000 } = {},
): Promise<Suffered> {
  const { port, host, ca, cert, key } = caller;
  const healthy = new Worker(new URL('./proper-client.mjs', import.meta.url), {
    workerData: { port, host, ca, cert, key },
  });
  const quiet = await measured(healthy, QUIET_MS, () => {});
  const before = rss(pid);
  const suffered: Suffered = { ended: [], memory: 0, p99: 0, quiet: 0, answered: 0 };
  const deadline = Date.now() + ms;
  const offenders = Array.from({ length: connections }, () => offend(caller, abuse, deadline, suffered.ended));
  const took = await measured(healthy, ms, () => {
    suffered.memory = Math.max(suffered.memory, rss(pid) - before);
  }).finally(async () => {
    for (const client of (await Promise.all(offenders)).flat()) client.close();
    await healthy.terminate();
  });
  Object.assign(suffered, { p99: p99(took), quiet: p99(quiet), answered: took.length });
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

/** What the proper client's requests took in that time; `look` is called all along. */
async function measured(client: Worker, ms: number, look: () => void): Promise<number[]> {
  client.postMessage('go');
  for (const deadline = Date.now() + ms; Date.now() < deadline; await sleep(LOOK_MS)) look();
  client.postMessage('stop');
  const [took] = await once(client, 'message');
  if (took.error !== undefined) throw new Error(took.error);
  return took;
}

function p99(took: number[]): number {
  return took.sort((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? Number.POSITIVE_INFINITY;
}

function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}
