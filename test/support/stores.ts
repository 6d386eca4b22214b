// Stores of both kinds for the tests of every capability that keeps something.
//
//     describeStores('tokens', newPlace => {
//       test('a token that was revoked stays revoked', async () => {
//         const store = await (await newPlace()).open();
//         ...
//
// Each place is empty and on its own; opening one twice is what two processes would do. Where PostgreSQL is missing its
// half is skipped by name, and fails in CI, whose machines have to have it (.ci/run installs it).

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { Store, type StoreOptions } from '../../src/manage/store/open.js';
import { atTheEnd, temporaryFolder } from './cleanup.js';
import { Postgres, programs } from './postgres.js';

export type Kind = Store['kind'];

export interface Place {
  kind: Kind;
  options: StoreOptions;
  /** The same as `store` of portcullis.yaml. */
  config: { folder: string } | { url: string };
  /** Closed after the last test of the file. */
  open(changes?: Partial<StoreOptions>): Promise<Store>;
}

export type NewPlace = () => Promise<Place>;

export function describeStores(title: string, tests: (newPlace: NewPlace, kind: Kind) => void): void {
  describe(`${title} (sqlite)`, () => tests(sqlitePlace, 'sqlite'));
  needsPostgres(`${title} (postgres)`, () => tests(postgresPlace, 'postgres'));
}

/** `describe` for tests that need PostgreSQL. */
export function needsPostgres(title: string, tests: () => void): void {
  if (programs) describe(title, tests);
  else if (!process.env.CI) describe.skip(title, tests);
  else {
    test(title, () => {
      throw new Error('PostgreSQL is missing on this machine: .ci/run has to install it');
    });
  }
}

export async function sqlitePlace(): Promise<Place> {
  return place('sqlite', { url: null, folder: join(temporaryFolder(), 'state'), key: randomBytes(32) });
}

let server: Promise<Postgres> | null = null;

/** All of a file's are databases of one server. */
export async function postgresPlace(): Promise<Place> {
  server ??= Postgres.start();
  const url = await (await server).database();
  return place('postgres', { url, folder: '', key: randomBytes(32) });
}

function place(kind: Kind, options: StoreOptions): Place {
  const open = async (changes: Partial<StoreOptions> = {}) => {
    const store = await Store.open({ ...options, ...changes });
    atTheEnd(() => store.close());
    return store;
  };
  const { url, folder } = options;
  return { kind, options, config: url === null ? { folder } : { url }, open };
}
