// The inspection pool with a worker that behaves as its tickets say.

import { afterEach, expect, test, vi } from 'vitest';
import { type InspectOptions, InspectPool } from '../../src/check/schema/pool.js';

const worker = new URL('./pool/worker.mjs', import.meta.url);
const SLOW = 1_000_000;
const STUCK = 1_000_001;
const THROWS = 1_000_002;
const DIES = 1_000_003;

let open: InspectPool[] = [];
afterEach(async () => {
  await Promise.all(open.map(pool => pool.close()));
  open = [];
});

function start(options: Partial<InspectOptions> = {}) {
  const done: number[][] = [];
  const failed: number[][] = [];
  const pool = new InspectPool({
    threads: 1,
    worker,
    done: tickets => done.push([...tickets]),
    failed: tickets => failed.push([...tickets]),
    ...options,
  });
  open.push(pool);
  return { pool, done, failed };
}

test('tickets of one turn travel as one task', async () => {
  const { pool, done } = start();
  expect([1, 2, 3].map(ticket => pool.submit(ticket))).toEqual([true, true, true]);
  expect(pool.depth).toBe(3);
  await vi.waitFor(() => expect(done).toEqual([[1, 2, 3]]), 10_000);
  expect(pool.depth).toBe(0);
  expect(pool.waits).toMatchObject({ tasks: 1, tickets: 3, failed: 0 });
  expect(pool.waits.seconds).toBeGreaterThan(0);
});

test('tickets of the next turn travel by themselves', async () => {
  const { pool, done } = start();
  pool.submit(1);
  await new Promise(resolve => setImmediate(resolve));
  pool.submit(2);
  await vi.waitFor(() => expect(done).toEqual([[1], [2]]), 10_000);
});

test('a full queue refuses, and takes again when it has drained', async () => {
  const { pool, done } = start({ depth: 2 });
  expect([SLOW, 1, 2].map(ticket => pool.submit(ticket))).toEqual([true, true, false]);
  await vi.waitFor(() => expect(done).toHaveLength(1), 10_000);
  expect(pool.submit(2)).toBe(true);
});

test('a task that takes too long fails, and its thread is replaced', async () => {
  const { pool, done, failed } = start({ timeoutMs: 1_500 });
  pool.submit(0);
  await vi.waitFor(() => expect(done).toHaveLength(1), 10_000);
  pool.submit(STUCK);
  pool.submit(1);
  await vi.waitFor(() => expect(failed).toEqual([[STUCK, 1]]), 10_000);
  expect(pool.depth).toBe(0);
  pool.submit(2);
  await vi.waitFor(() => expect(done).toEqual([[0], [2]]), 10_000);
});

test('tickets that wait too long for a thread fail too', async () => {
  const { pool, failed } = start({ timeoutMs: 300 });
  pool.submit(STUCK);
  await new Promise(resolve => setImmediate(resolve));
  pool.submit(1);
  await vi.waitFor(() => expect(failed).toEqual([[STUCK], [1]]), 10_000);
});

test('a task that throws fails alone', async () => {
  const { pool, done, failed } = start();
  pool.submit(THROWS);
  await vi.waitFor(() => expect(failed).toEqual([[THROWS]]), 10_000);
  pool.submit(1);
  await vi.waitFor(() => expect(done).toEqual([[1]]), 10_000);
});

test('a thread that dies fails its task and is replaced', async () => {
  const { pool, done, failed } = start();
  pool.submit(DIES);
  await vi.waitFor(() => expect(failed).toEqual([[DIES]]), 10_000);
  pool.submit(1);
  await vi.waitFor(() => expect(done).toEqual([[1]]), 10_000);
});

test('what a dead thread took along is tried once more, each by itself', async () => {
  const { pool, done, failed } = start();
  for (const ticket of [1, DIES, 2]) pool.submit(ticket);
  await vi.waitFor(() => expect([done, failed].flat().length).toBe(3), 10_000);
  expect(done.flat().sort()).toEqual([1, 2]);
  expect(failed).toEqual([[DIES]]);
  expect(pool.depth).toBe(0);
  expect(pool.waits).toMatchObject({ failed: 1, retried: 3 });
});

test('without `failed`, failures come back through `done`', async () => {
  const done: number[][] = [];
  const pool = new InspectPool({ threads: 1, worker, done: tickets => done.push([...tickets]) });
  open.push(pool);
  pool.submit(THROWS);
  await vi.waitFor(() => expect(done).toEqual([[THROWS]]), 10_000);
});

test('closing finishes what is under way and takes nothing more', async () => {
  const { pool, done } = start();
  pool.submit(SLOW);
  pool.submit(1);
  const closed = pool.close();
  expect(pool.submit(2)).toBe(false);
  await closed;
  expect(done).toEqual([[SLOW, 1]]);
  await pool.close();
});

test('closing gives back what cannot be finished', async () => {
  const { pool, failed } = start({ timeoutMs: 1_000 });
  pool.submit(STUCK);
  await new Promise(resolve => setImmediate(resolve));
  await pool.close();
  expect(failed).toEqual([[STUCK]]);
});
