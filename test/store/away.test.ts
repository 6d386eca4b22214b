import { expect, test, vi } from 'vitest';
import { audit, verifyAudit } from '../../src/manage/store/audit.js';
import { Store } from '../../src/manage/store/open.js';
import { atTheEnd } from '../support/cleanup.js';
import { Postgres } from '../support/postgres.js';
import { needsPostgres } from '../support/stores.js';
import { pause, until } from '../support/waiting.js';

needsPostgres('PostgreSQL that goes away and comes back', () => {
  test.each(['stop', 'kill'] as const)('(%s) fails what is asked meanwhile, and nothing else', async how => {
    const server = await Postgres.start();
    const up = vi.fn();
    const store = await open(server, up);
    const told: number[] = [];
    store.follow('tokens', revision => void told.push(revision));
    await change(store);
    await until(() => told.includes(1));

    // In the middle of a transaction, and while connections are idle: each dies in its own way.
    const begun = gate();
    const cut = store.write(['tokens'], async tx => {
      begun.resolve(null);
      await pause(300);
      await tx.selectFrom('tokens').selectAll().execute();
    });
    const failed = cut.catch(error => error);
    await begun.promise;
    await server[how]();
    expect(await failed).toBeInstanceOf(Error);
    await expect(change(store)).rejects.toThrow();
    await until(() => up.mock.lastCall?.[0] === false);
    expect(up.mock.lastCall?.[1]).toMatch(/connect|terminat|closed|shutting down/i);

    await server.start();
    await until(() => up.mock.lastCall?.[0] === true);
    // What another process changed before this one looked again is told, too.
    const other = await open(server);
    await change(other);
    await until(() => told.includes(2));
    await Promise.all(Array.from({ length: 12 }, () => change(store)));
    await until(() => told.at(-1) === 14);
    expect(await verifyAudit(store.db)).toMatchObject({ entries: 14, broken: null });
    expect(up.mock.calls.map(([there]) => there)).toEqual([false, true]);
    expect(await connections(server)).toBeLessThanOrEqual(16);
  });

  test('connections that the server ends one by one are replaced', async () => {
    const server = await Postgres.start();
    const store = await open(server);
    for (let i = 0; i < 5; i++) {
      await change(store);
      await server.ask("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'portcullis'");
      await pause(50);
    }
    await until(() =>
      change(store).then(
        () => true,
        () => false,
      ),
    );
    expect((await verifyAudit(store.db)).broken).toBeNull();
  });

  test('a server that only asks others to be durable is durable for us', async () => {
    const server = await Postgres.start(['synchronous_commit=off']);
    const store = await open(server);
    const set = await store.db
      .selectNoFrom(({ fn, val }) => fn<string>('current_setting', [val('synchronous_commit')]).as('set'))
      .executeTakeFirst();
    expect(set).toEqual({ set: 'on' });
  });
});

function gate() {
  let resolve = (_: unknown) => {};
  const promise = new Promise(done => {
    resolve = done;
  });
  return { promise, resolve };
}

async function open(server: Postgres, up: (up: boolean, why: string | null) => void = () => {}): Promise<Store> {
  const standing = { up, failed: () => {} };
  const store = await Store.open({ url: server.url(), folder: '', key: Buffer.alloc(32), standing });
  atTheEnd(() => store.close());
  return store;
}

function change(store: Store): Promise<number> {
  return store.write(['tokens'], (tx, revisions) =>
    audit(tx, revisions, { actor: 'system', action: 'test', target: 'x' }),
  );
}

async function connections(server: Postgres): Promise<number> {
  const [row] = (await server.ask(
    "select count(*)::int as n from pg_stat_activity where application_name = 'portcullis'",
  )) as { n: number }[];
  return row?.n ?? 0;
}
