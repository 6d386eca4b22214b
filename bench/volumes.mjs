// What a question about a week of observed volume costs (docs/limits-volume.md), and for how long the event loop stands
// still meanwhile:
//
//     node bench/volumes.mjs                      SQLite, in a temporary folder (TMPDIR chooses the disk)
//     node bench/volumes.mjs postgres://...       PostgreSQL, in an empty database

import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Observed } from '../dist/manage/limits/observed.js';
import { BUCKET_MS, pack } from '../dist/manage/limits/volume.js';
import { Store } from '../dist/manage/store/open.js';

const BUCKETS = 7 * 144;
const OPERATIONS = 5;
/** Of whom 200 are the heaviest, others every ten minutes. */
const SESSIONS = 5_000;
const START = 1_763_797_200_000;

const url = process.argv[2] ?? null;
const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
const store = await Store.open({ url, folder, key: Buffer.alloc(32) });
const names = Array.from({ length: SESSIONS }, (_, i) =>
  createHash('sha256').update(String(i)).digest('hex').slice(0, 16),
);
const histogram = Array.from({ length: 40 }, (_, i) => [16 * i + 1, 16 * i + 16, 20]);
const written = await fill();
const observed = new Observed(store, () => []);

console.log(
  `${store.kind}, Node ${process.version}: ${OPERATIONS} operations, ${BUCKETS} rows of ${written} bytes each`,
);
const draft = { amount: 60, periodS: 60, burst: 60, counters: 'fleet' };
for (let turn = 0; turn < 3; turn++) {
  await measured('recommend, all operations', () => observed.recommend({}));
  await measured('simulate, one operation', () => observed.simulate(draft, { host: 'bench', operation: '0' }, 20));
}
await store.close();
rmSync(folder, { recursive: true });

async function fill() {
  let length = 0;
  for (let operation = 0; operation < OPERATIONS; operation++) {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const heaviest = Array.from({ length: 200 }, (_, i) => [names[(bucket * 37 + i) % SESSIONS], 400 - i, 3, 12, 50]);
      const sums = { requests: 1e5, anonymous: 3, sessions: 800, methods: { GET: 1e5 }, statuses: { 200: 1e5 } };
      const data = pack({ ...sums, share: 1, histogram, heaviest });
      length = data.length;
      const place = {
        host: 'bench',
        operation: String(operation),
        bucket: START + bucket * BUCKET_MS,
        node: 'bench/1',
      };
      await store.db
        .insertInto('volumes')
        .values({ ...place, data })
        .execute();
    }
  }
  return length;
}

async function measured(what, act) {
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  const cpu = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(cpu);
  loop.disable();
  const stood = (loop.percentile(99) / 1e6).toFixed(0);
  console.log(
    `${what.padEnd(28)} ${((user + system) / 1e3).toFixed(0)} ms of CPU; the loop stands still for ${stood} ms (p99)`,
  );
}
