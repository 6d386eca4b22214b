// Sockets that are bound here and listened on elsewhere, by whoever asks.

import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { activated } from '../../src/manage/activation.js';
import type { Order, Report } from '../../src/manage/messages.js';
import { nameOf, type Wanted } from '../../src/manage/messages.js';
import { bind, type Handle, sentence } from '../../src/manage/port.js';
import { type Kept, Sockets } from '../../src/manage/sockets.js';
import { type Channel, Supervision } from '../../src/manage/supervision.js';
import { freePort } from '../support/ports.js';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const wanted = (port = 0, changes: Partial<Wanted> = {}): Wanted => ({
  ...{ what: 'listen.https', address: '127.0.0.1', port, shared: false },
  ...changes,
});

async function listen({ handle }: Pick<Kept, 'handle'>): Promise<Server> {
  const server = createServer(socket => socket.end());
  servers.push(server);
  server.listen(handle);
  await once(server, 'listening');
  return server;
}

async function reaches(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  const met = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return met;
}

describe('a port', () => {
  test('that is bound does not listen yet, and cannot be taken by others once it does', async () => {
    const bound = await bind({ address: '127.0.0.1', port: 0 }, 'a test');
    expect(await reaches(bound.port)).toBe(false);
    await listen(bound);
    expect(await reaches(bound.port)).toBe(true);
    await expect(bind({ address: '127.0.0.1', port: bound.port }, 'listen.https', 0)).rejects.toThrow(
      `127.0.0.1:${bound.port} (listen.https) is in use by another process`,
    );
  });

  test('without an address is every one', async () => {
    const bound = await bind({ address: null, port: 0 }, 'a test');
    expect(['::', '0.0.0.0']).toContain(bound.address);
    await listen(bound);
    expect(await reaches(bound.port)).toBe(true);
  });

  test.each(['192.0.2.1', '2001:db8::1'])('of an address that is not of this machine is told (%s)', async address => {
    await expect(bind({ address, port: 1 }, 'listen.pki', 0)).rejects.toThrow('is not an address of this machine');
  });

  test('that a predecessor lets go of in a moment is waited for', async () => {
    const port = await freePort();
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    setTimeout(() => server.close(), 200);
    expect((await bind({ address: '127.0.0.1', port }, 'a test')).port).toBe(port);
  });

  test('below 1024 without the right to it says what would do', () => {
    expect(sentence('EACCES', null, 443, 'listen.https')).toContain('CAP_NET_BIND_SERVICE');
  });
});

describe('sockets that are kept', () => {
  test('are the same for all that ask, and a port that was left to the system is settled once', async () => {
    const sockets = new Sockets();
    const [first, second] = await Promise.all([sockets.take(wanted(), false), sockets.take(wanted(), false)]);
    expect(second.port).toBe(first.port);
    expect((await sockets.take(wanted(), true)).handle).toBe(first.handle);
    const other = await sockets.take(wanted(0, { what: 'listen.admin' }), false);
    expect(other.port).not.toBe(first.port);
    sockets.release(new Set());
  });

  test('are closed when nobody needs them any more, and not before', async () => {
    const sockets = new Sockets();
    const [kept, dropped] = [wanted(await freePort()), wanted(await freePort(), { what: 'listen.admin' })];
    await Promise.all([sockets.take(kept, false), sockets.take(dropped, false)]);
    sockets.release(new Set([nameOf(kept)]));
    const again = await bind(dropped, 'a test', 0);
    again.handle.close();
    expect((await sockets.take(kept, true)).port).toBe(kept.port);
    sockets.release(new Set());
  });

  test('a port that is taken is asked for anew the next time', async () => {
    const sockets = new Sockets();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    await expect(sockets.take(wanted(port), false)).rejects.toThrow('is in use by another process');
    await new Promise(resolve => server.close(resolve));
    expect((await sockets.take(wanted(port), false)).port).toBe(port);
    sockets.release(new Set());
  });

  test('a port that edge threads share is not held, stays settled, and has to be free unless ours have it', async () => {
    const sockets = new Sockets();
    const shared = wanted(0, { shared: true });
    const { port, handle } = await sockets.take(shared, false);
    expect(handle).toBeUndefined();
    const server = createServer().listen(port, '127.0.0.1');
    await once(server, 'listening');
    expect((await sockets.take(shared, true)).port).toBe(port);
    await expect(sockets.take(shared, false)).rejects.toThrow('is in use by another process');
    server.close();
  });
});

describe('sockets that were passed at the start', () => {
  const passed = (address: string | null) => bind({ address, port: 0 }, 'a test');
  const env = (changes: NodeJS.ProcessEnv = {}) => ({
    LISTEN_PID: '7',
    LISTEN_FDS: '1',
    LISTEN_FDNAMES: 'a',
    ...changes,
  });

  test.each(['127.0.0.1', null])('are used for the place that has their address and port (%s)', async address => {
    const { handle, port } = await passed(address);
    const given = activated(env(), 7, handle.fd);
    const sockets = new Sockets(given);
    const other = await sockets.take(wanted(await freePort(), { what: 'listen.admin' }), false);
    expect(other.handle?.fd).not.toBe(handle.fd);
    const taken = await sockets.take(wanted(port, { address }), false);
    expect([taken.port, taken.handle?.fd]).toEqual([port, handle.fd]);
  });

  test('are not believed to be ours when they are another process', () => {
    const said = env({ LISTEN_PID: '8' });
    expect(activated(said, 7, 0)).toEqual([]);
    expect(said).toEqual({});
  });

  test.each(['', '0', '-1', '65', '1e9', 'many'])('are none when there are %s of them', LISTEN_FDS => {
    expect(activated(env({ LISTEN_FDS }), 7, 0)).toEqual([]);
  });

  test('are passed over when they are no TCP sockets', () => {
    const file = openSync('/dev/null', 'r');
    expect(activated(env(), 7, file)).toEqual([]);
    closeSync(file);
  });
});

describe('the supervisor, asked', () => {
  class Wire implements Channel {
    connected = true;
    readonly reports: Report[] = [];
    #hear: (order: Order, handle?: unknown) => void = () => {};
    #gone = () => {};
    send(report: Report, _handle: unknown, _options: object, sent: () => void): void {
      this.reports.push(report);
      sent();
    }
    on(event: 'message' | 'disconnect', listener: (...args: never[]) => void): void {
      if (event === 'message') this.#hear = listener as never;
      else this.#gone = listener as never;
    }
    order(order: Order | { type: 'news' }, handle?: unknown): void {
      this.#hear(order as Order, handle);
    }
    cut(): void {
      this.connected = false;
      this.#gone();
    }
  }

  test('answers are found by their number, in any order; what is not known is passed over', async () => {
    const wire = new Wire();
    const supervision = new Supervision(wire);
    const asked = [
      supervision.takeSocket(wanted(1)),
      supervision.takeSocket(wanted(2)),
      supervision.upgrade(),
    ] as const;
    wire.order({ type: 'news' });
    wire.order({ type: 'upgraded', id: 3, result: { upgraded: true, version: '2', process: 5 } });
    wire.order({ type: 'no-socket', id: 2, message: 'it is taken' });
    wire.order({ type: 'socket', id: 1, address: '127.0.0.1', port: 1 }, 'handle');
    expect(await asked[0]).toEqual({ address: '127.0.0.1', port: 1, handle: 'handle' });
    await expect(asked[1]).rejects.toThrow('it is taken');
    expect(await asked[2]).toMatchObject({ upgraded: true });
    expect(wire.reports.map(({ type }) => type)).toEqual(['socket', 'socket', 'upgrade']);
  });

  test('a supervisor that is gone answers nothing, and is told nothing', async () => {
    const wire = new Wire();
    const supervision = new Supervision(wire);
    const asked = supervision.takeSocket(wanted(1));
    wire.cut();
    await expect(asked).rejects.toThrow('the supervisor is gone');
    await expect(supervision.upgrade()).rejects.toThrow('the supervisor is gone');
    await supervision.tell({ type: 'stopping' });
    expect(wire.reports).toHaveLength(1);
  });

  test('a socket that came too late is closed', () => {
    const wire = new Wire();
    new Supervision(wire);
    let closed = false;
    const close = () => {
      closed = true;
    };
    wire.order({ type: 'socket', id: 9, address: '127.0.0.1', port: 1 }, { close } as Partial<Handle>);
    expect(closed).toBe(true);
  });
});
