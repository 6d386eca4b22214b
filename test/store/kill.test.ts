// Whatever was acknowledged is there after kill -9, of the one who wrote and of the database.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { verifyAudit } from '../../src/manage/store/audit.js';
import { Store, type StoreOptions } from '../../src/manage/store/open.js';
import { Postgres } from '../support/postgres.js';
import { needsPostgres, sqlitePlace } from '../support/stores.js';
import { pause } from '../support/waiting.js';

const WRITER = fileURLToPath(new URL('../support/store-writer.mjs', import.meta.url));
const BUILT = new URL('../../dist/manage/store/open.js', import.meta.url);
/** At once: they meet each other's locks, and starting them is what takes the time. */
const WRITERS = 4;
/** Writers live for up to this after their first row. */
const LIFE_MS = 60;
/** Some 20 s in all on two idle cores. */
const WITHIN_MS = 400_000;

test(
  'SQLite loses nothing that was acknowledged when its writers are killed a hundred times',
  async () => {
    const { options } = await sqlitePlace();
    const acknowledged = await killWriters(options, 100);
    expect(await check(options, acknowledged)).toBeGreaterThan(50);
  },
  WITHIN_MS,
);

needsPostgres('PostgreSQL', () => {
  test(
    'loses nothing that was acknowledged when its writers are killed twenty times',
    async () => {
      const server = await Postgres.start();
      const options = { url: server.url(), folder: '', key: Buffer.alloc(32, 7) };
      const acknowledged = await killWriters(options, 20);
      expect(await check(options, acknowledged)).toBeGreaterThan(10);
    },
    WITHIN_MS,
  );

  test(
    'loses nothing that was acknowledged when the server is killed five times',
    async () => {
      const server = await Postgres.start();
      const options = { url: server.url(), folder: '', key: Buffer.alloc(32, 7) };
      const acknowledged: string[] = [];
      for (let i = 0; i < 5; i++) {
        const writers = Array.from({ length: 2 }, (_, k) => new Writer(options, `${i}.${k}`));
        await Promise.all(writers.map(writer => writer.wrote));
        await pause(Math.random() * LIFE_MS);
        await server.kill();
        for (const writer of writers) acknowledged.push(...(await writer.kill()));
        await server.start();
        await check(options, acknowledged);
      }
      expect(acknowledged.length).toBeGreaterThan(5);
    },
    WITHIN_MS,
  );
});

/** Keeps some writers going until that many were killed; answers what they were told is safe. */
async function killWriters(options: StoreOptions, kills: number): Promise<string[]> {
  const acknowledged: string[] = [];
  let started = 0;
  const keepGoing = async () => {
    while (started < kills) {
      const number = started++;
      const writer = new Writer(options, `w${number}`);
      // Every tenth does not get as far as a row: it is killed while it starts, opens or migrates.
      if (number % 10 > 0) await writer.wrote;
      await pause(Math.random() * (number % 10 > 0 ? LIFE_MS : 500));
      acknowledged.push(...(await writer.kill()));
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, keepGoing));
  return acknowledged;
}

/** The store opens, holds every row that was acknowledged, and its revisions and audit log have no gap. */
async function check(options: StoreOptions, acknowledged: readonly string[]): Promise<number> {
  const store = await Store.open(options);
  try {
    const rows = await store.db.selectFrom('tokens').select(['id', 'version']).orderBy('version').execute();
    const there = new Set(rows.map(({ id }) => id));
    expect(acknowledged.filter(id => !there.has(id))).toEqual([]);
    const revisions = await store.revisions();
    expect([revisions.get('tokens'), revisions.get('audit')]).toEqual([rows.length, rows.length]);
    expect(rows.map(({ version }) => version)).toEqual(rows.map((_, i) => i + 1));
    expect(await verifyAudit(store.db)).toMatchObject({ entries: rows.length, broken: null });
    return acknowledged.length;
  } finally {
    await store.close();
  }
}

class Writer {
  /** It has written a row, or ended. */
  readonly wrote: Promise<void>;
  readonly #process;
  readonly #ended: Promise<unknown>;
  #told = '';

  constructor({ url, folder, key }: StoreOptions, name: string) {
    if (!existsSync(BUILT)) throw new Error('dist/ is missing: npm run build');
    const options = JSON.stringify({ url, folder, key: key.toString('hex') });
    this.#process = spawn(process.execPath, [WRITER, options, name], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#ended = new Promise(resolve => this.#process.once('close', resolve));
    this.wrote = new Promise(resolve => {
      this.#process.stdout.setEncoding('utf8').on('data', piece => {
        this.#told += piece;
        resolve();
      });
      void this.#ended.then(() => resolve());
    });
  }

  /** SIGKILL; answers the ids that it was told are safe. */
  async kill(): Promise<string[]> {
    this.#process.kill('SIGKILL');
    await this.#ended;
    // A line without its end was not told.
    return this.#told.split('\n').slice(0, -1);
  }
}
