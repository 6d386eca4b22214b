// What a change costs in the store, and for how long the event loop stands still meanwhile:
//
//     node bench/store.mjs                      SQLite, in a temporary folder (TMPDIR chooses the disk)
//     node bench/store.mjs postgres://...       PostgreSQL, in an empty database

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { audit, verifyAudit } from '../dist/manage/store/audit.js';
import { Store } from '../dist/manage/store/open.js';

const CHANGES = 1_000;
const LOOKUPS = 5_000;

const url = process.argv[2] ?? null;
const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'));
const store = await Store.open({ url, folder, key: Buffer.alloc(32) });
const entry = { actor: 'bench', action: 'bench.change', target: 'x', after: { some: 'thing' } };

console.log(`${store.kind}, Node ${process.version}`);
await measured('a change with its audit entry', CHANGES, () =>
  store.write(['tokens'], (tx, revisions) => audit(tx, revisions, entry)),
);
await measured('a look at the revisions', LOOKUPS, () => store.revisions());
await measured('walking the audit log', 10, () => verifyAudit(store.db));
await store.close();
rmSync(folder, { recursive: true });

async function measured(what, times, act) {
  const took = [];
  const loop = monitorEventLoopDelay({ resolution: 1 });
  loop.enable();
  for (let i = 0; i < times; i++) {
    const began = performance.now();
    await act();
    took.push(performance.now() - began);
    // A turn of the loop in between, as between two requests.
    await new Promise(resolve => setImmediate(resolve));
  }
  loop.disable();
  took.sort((a, b) => a - b);
  const at = share => took[Math.min(took.length - 1, Math.floor(took.length * share))].toFixed(2);
  const stood = (loop.percentile(99) / 1e6).toFixed(1);
  console.log(`${what.padEnd(32)} p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; the loop stands still for ${stood} ms (p99)`);
}
