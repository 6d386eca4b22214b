import { sql } from 'kysely';
import { expect, test, vi } from 'vitest';
import { audit, verifyAudit } from '../../src/manage/store/audit.js';
import type { Store, Writing } from '../../src/manage/store/open.js';
import { TOPICS } from '../../src/manage/store/tables.js';
import { describeStores } from '../support/stores.js';
import { pause, until } from '../support/waiting.js';

/** Of a change in one process to its being told in another; the loop looks every 200 ms. */
const TOLD_WITHIN_MS = 5_000;

describeStores('the store', (newPlace, kind) => {
  const open = async () => (await newPlace()).open();

  test('is made with every table and every topic, and opens again', async () => {
    const place = await newPlace();
    const store = await place.open();
    expect(store.kind).toBe(kind);
    expect([...(await store.revisions()).keys()].sort()).toEqual([...TOPICS].sort());
    for (const value of (await store.revisions()).values()) expect(value).toBe(0);
    await store.write([], tx => add(tx, 'kept'));
    await store.close();
    expect(await names(await place.open())).toEqual(['kept']);
  });

  test('integers of 53 bits, counts and sums are numbers; texts come back as they were', async () => {
    const store = await open();
    await store.write([], async tx => {
      await add(tx, 'a', { version: Number.MAX_SAFE_INTEGER, created_by: 'ü \u2028 "\' \u{1f600}' });
      await add(tx, 'b', { version: 0, created_by: '' });
    });
    const rows = await store.db.selectFrom('tokens').selectAll().orderBy('name').execute();
    expect(rows.map(({ version }) => version)).toEqual([Number.MAX_SAFE_INTEGER, 0]);
    expect(rows.map(({ created_by }) => created_by)).toEqual(['ü \u2028 "\' \u{1f600}', '']);
    expect(rows[0]?.expires_at).toBeNull();
    const { count, sum } = await store.db
      .selectFrom('tokens')
      .select(({ fn }) => [fn.countAll<number>().as('count'), fn.sum<number>('created_at').as('sum')])
      .executeTakeFirstOrThrow();
    expect([count, sum]).toEqual([2, 2]);
  });

  test('what a column cannot hold is refused, and the store goes on', async () => {
    const store = await open();
    const wrong = 'with a \0 in it';
    await expect(store.write([], tx => add(tx, 'wrong', { created_by: wrong }))).rejects.toThrow();
    await expect(store.db.selectFrom('tokens').where('name', '=', wrong).execute()).rejects.toThrow();
    await expect(store.write([], tx => add(tx, 'wrong', { version: true as never }))).rejects.toThrow();
    await store.write([], tx => add(tx, 'right'));
    expect(await names(store)).toEqual(['right']);
  });

  test('texts are in the order of their bytes', async () => {
    const store = await open();
    const written = ['b', 'a', 'B', 'é', 'z', '_', 'a b', 'a-b', 'ab', 'A'];
    await store.write([], async tx => {
      for (const name of written) await add(tx, name);
    });
    expect(await names(store)).toEqual([...written].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    const after = await store.db.selectFrom('tokens').select('name').where('name', '>', 'a').orderBy('name').execute();
    expect(after.map(({ name }) => name)).toEqual(['a b', 'a-b', 'ab', 'b', 'z', 'é']);
  });

  test('a change counts in its topics and nowhere else', async () => {
    const store = await open();
    await store.write(['certificates', 'revocations'], async (tx, revisions) => {
      expect(revisions).toEqual({ audit: 1, certificates: 1, revocations: 1 });
      await audit(tx, revisions, { actor: 'system', action: 'test', target: 'x' });
    });
    await store.write(['revocations'], async (_, revisions) => {
      expect(revisions).toEqual({ audit: 2, revocations: 2 });
    });
    const now = await store.revisions();
    expect([now.get('audit'), now.get('certificates'), now.get('revocations'), now.get('tokens')]).toEqual([
      1, 1, 2, 0,
    ]);
  });

  test('an error undoes the whole change, and the store goes on', async () => {
    const store = await open();
    const failing = store.write(['tokens'], async (tx, revisions) => {
      await add(tx, 'lost');
      await audit(tx, revisions, { actor: 'system', action: 'test', target: 'lost' });
      throw new Error('as asked');
    });
    await expect(failing).rejects.toThrow('as asked');
    const refused = store.write(['tokens'], async tx => {
      await add(tx, 'lost, too');
      await add(tx, 'lost, too');
    });
    await expect(refused).rejects.toThrow(/unique/i);
    expect(await names(store)).toEqual([]);
    expect((await store.revisions()).get('tokens')).toBe(0);
    expect(await verifyAudit(store.db)).toMatchObject({ entries: 0, broken: null });
    await store.write(['tokens'], tx => add(tx, 'kept'));
    expect(await names(store)).toEqual(['kept']);
  });

  test('writers of two processes come one after the other, whatever topics they name in which order', async () => {
    const place = await newPlace();
    const stores = [await place.open(), await place.open()];
    const write = (store: Store, i: number) =>
      store.write(i % 2 ? ['tokens', 'certificates'] : ['certificates', 'tokens'], async (tx, revisions) => {
        await audit(tx, revisions, { actor: 'system', action: 'test', target: String(i) });
        await add(tx, `token ${i}`, { version: revisions.tokens });
      });
    const all = await Promise.allSettled(
      stores.flatMap(store => Array.from({ length: 20 }, (_, i) => write(store, i))),
    );
    // Each token is there for the second of the two that want to make it.
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
    const rows = await (stores[0] as Store).db.selectFrom('tokens').select('version').orderBy('version').execute();
    expect(rows.map(({ version }) => version)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(await verifyAudit((stores[0] as Store).db)).toMatchObject({ entries: 20, broken: null });
  });

  test('what was asked beside the transaction of a change is refused, not left waiting for ever', async () => {
    const store = await open();
    const message = 'within `write`, its transaction is what to ask';
    await expect(store.write(['tokens'], () => store.revisions())).rejects.toThrow(message);
    await expect(store.write(['tokens'], () => store.write([], async () => {}))).rejects.toThrow(message);
    let later: Promise<unknown> = Promise.resolve();
    await store.write(['tokens'], async () => {
      later = pause(20).then(() => store.revisions());
    });
    expect(await later).toBeInstanceOf(Map);
  });

  test('a change of any process is told, also one from before the following began', async () => {
    const place = await newPlace();
    const [here, there] = [await place.open(), await place.open()];
    await there.write(['tokens'], tx => add(tx, 'early'));
    const told: number[] = [];
    const other = vi.fn();
    const stop = here.follow('tokens', revision => void told.push(revision));
    here.follow('certificates', other);
    await until(() => told.includes(1), TOLD_WITHIN_MS);
    await there.write(['tokens'], tx => add(tx, 'late'));
    await until(() => told.includes(2), TOLD_WITHIN_MS);
    await here.write(['tokens'], tx => add(tx, 'own'));
    await until(() => told.includes(3), TOLD_WITHIN_MS);
    expect(told).toEqual([1, 2, 3]);
    stop();
    await here.write(['tokens'], tx => add(tx, 'unheard'));
    const late: number[] = [];
    here.follow('tokens', revision => void late.push(revision));
    await until(() => late.includes(4), TOLD_WITHIN_MS);
    expect(told).toEqual([1, 2, 3]);
    expect(other).not.toHaveBeenCalled();
  });

  test('a follower that fails is told again until it takes the change up, one that is slow not twice at once', async () => {
    const place = await newPlace();
    const failed = vi.fn();
    const store = await place.open({ standing: { up: () => {}, failed } });
    const told: number[] = [];
    let running = 0;
    store.follow('tokens', async revision => {
      expect(++running).toBe(1);
      await pause(300);
      running -= 1;
      told.push(revision);
      if (told.length < 3) throw new Error('not yet');
    });
    await store.write(['tokens'], tx => add(tx, 'one'));
    await until(() => told.length > 0, TOLD_WITHIN_MS);
    await store.write(['tokens'], tx => add(tx, 'two'));
    await until(() => told.length === 3, TOLD_WITHIN_MS);
    await pause(500);
    expect(told).toEqual([1, 2, 2]);
    expect(failed).toHaveBeenCalledTimes(1);
    expect(failed).toHaveBeenCalledWith('tokens', expect.objectContaining({ message: 'not yet' }));
  });

  test('secrets open only for what they were sealed for, and not when changed', async () => {
    const place = await newPlace();
    const store = await place.open();
    const sealed = store.seal('-----BEGIN', 'generations/devices/1');
    expect(sealed).not.toContain('BEGIN');
    expect(store.seal('-----BEGIN', 'generations/devices/1')).not.toBe(sealed);
    expect((await place.open()).unseal(sealed, 'generations/devices/1')).toBe('-----BEGIN');
    expect(() => store.unseal(sealed, 'generations/devices/2')).toThrow();
    for (let i = 0; i < sealed.length; i++) {
      const swapped = sealed[i] === 'A' ? 'B' : 'A';
      const changed = sealed.slice(0, i) + swapped + sealed.slice(i + 1);
      // The last character of base64 may hold bits that mean nothing.
      if (Buffer.from(changed.slice(3), 'base64').equals(Buffer.from(sealed.slice(3), 'base64')) && i > 2) continue;
      expect(() => store.unseal(changed, 'generations/devices/1')).toThrow();
    }
    expect(() => store.unseal('', 'x')).toThrow('not a sealed text');
  });

  test('a deadlock is one of two writers made again, not an error', async () => {
    const store = await open();
    await store.write([], async tx => {
      await add(tx, 'a');
      await add(tx, 'b');
    });
    let runs = 0;
    const touch = (first: string, second: string) => async (tx: Writing) => {
      runs += 1;
      await tx.updateTable('tokens').set({ role: 'admin' }).where('name', '=', first).execute();
      await pause(100);
      await tx.updateTable('tokens').set({ role: 'viewer' }).where('name', '=', second).execute();
    };
    // Not through `write`, which has one order: the rows of the tokens alone.
    const rival = store.db.transaction().execute(touch('b', 'a'));
    const [, made] = await Promise.allSettled([rival, store.write([], touch('a', 'b'))]);
    expect(made.status).toBe('fulfilled');
    expect(runs).toBeGreaterThanOrEqual(2);
  });

  test('statements by themselves wait for another process, fail alone, and leave nothing locked', async () => {
    const place = await newPlace();
    const [here, there] = [await place.open(), await place.open()];
    const insert = (store: Store, name: string) =>
      store.db
        .insertInto('tokens')
        .values({ id: name, name, role: 'viewer', hash: name, created_at: 1, created_by: 'x', version: 1 })
        .execute();
    const long = here.write(['tokens'], async tx => {
      await add(tx, 'long');
      await pause(200);
    });
    await pause(50);
    await insert(there, 'short');
    await long;
    for (let i = 0; i < 5; i++) await expect(insert(here, 'short')).rejects.toThrow(/unique/i);
    await there.write(['tokens'], tx => add(tx, 'after'));
    await here.write(['tokens'], tx => add(tx, 'last'));
    expect(await names(there)).toEqual(['after', 'last', 'long', 'short']);
  });

  test('a transaction that reads first does not come too late to write', async () => {
    const place = await newPlace();
    const stores = [await place.open(), await place.open()];
    await stores[0]?.write([], tx => add(tx, 'counter', { version: 0 }));
    const increment = (store: Store) =>
      store.write(['tokens'], async tx => {
        const { version } = await tx.selectFrom('tokens').select('version').executeTakeFirstOrThrow();
        await pause(2);
        await tx
          .updateTable('tokens')
          .set({ version: version + 1 })
          .execute();
      });
    await Promise.all(stores.flatMap(store => Array.from({ length: 15 }, () => increment(store))));
    expect(await stores[0]?.db.selectFrom('tokens').select('version').execute()).toEqual([{ version: 30 }]);
  });

  test('what belongs to an authority needs the authority', async () => {
    const store = await open();
    const orphan = sql`insert into generations
      (id, authority, number, state, certificate, chain, key_id, subject, not_before, not_after, created_at)
      values ('x/1', 'x', 1, 'trusted', '', '', '', '', 0, 0, 0)`;
    await expect(orphan.execute(store.db)).rejects.toThrow(/foreign key/i);
  });
});

interface Token {
  version?: number;
  created_by?: string;
}

async function add(tx: Writing, name: string, { version = 1, created_by = 'test' }: Token = {}): Promise<void> {
  await tx
    .insertInto('tokens')
    .values({ id: name, name, role: 'viewer', hash: `hash of ${name}`, created_at: 1, created_by, version })
    .execute();
}

async function names(store: Store): Promise<string[]> {
  const rows = await store.db.selectFrom('tokens').select('name').orderBy('name').execute();
  return rows.map(({ name }) => name);
}
