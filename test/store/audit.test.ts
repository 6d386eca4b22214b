import fc from 'fast-check';
import { expect, test } from 'vitest';
import { audit, GENESIS, verifyAudit } from '../../src/manage/store/audit.js';
import type { Store } from '../../src/manage/store/open.js';
import type { AuditTable } from '../../src/manage/store/tables.js';
import { describeStores } from '../support/stores.js';

const PROPERTY_RUNS = 100;

describeStores('the audit log', newPlace => {
  const open = async () => (await newPlace()).open();

  test('is whole, whatever was written', async () => {
    const store = await open();
    const anything = fc.record({
      actor: fc.string({ unit: 'binary' }),
      action: fc.string(),
      target: fc.string({ unit: fc.constantFrom('a', '\0', '\ud800', '\udc00', 'ü', '\u2028', '"') }),
      before: fc.option(fc.jsonValue()),
      after: fc.option(fc.jsonValue()),
    });
    const entries = fc.sample(anything, PROPERTY_RUNS);
    await store.write(['tokens'], async (tx, revisions) => {
      for (const entry of entries) await audit(tx, revisions, entry);
    });
    expect(await verifyAudit(store.db)).toMatchObject({ entries: entries.length, broken: null });
  });

  test('numbers its entries without gaps, whatever else is written', async () => {
    const store = await open();
    await store.write(['tokens'], async () => {});
    await append(store, 'first');
    await store.write([], (tx, revisions) => audit(tx, revisions, entry('lost')).then(fail)).catch(() => {});
    await store.write(['tokens', 'authorities'], async (tx, revisions) => {
      expect(await audit(tx, revisions, entry('second'))).toBe(2);
      expect(await audit(tx, revisions, entry('third'))).toBe(3);
    });
    await store.write(['tokens'], async () => {});
    await append(store, 'fourth');
    const rows = await store.db.selectFrom('audit').select(['seq', 'target', 'previous']).orderBy('seq').execute();
    expect(rows.map(({ seq, target }) => [seq, target])).toEqual([
      [1, 'first'],
      [2, 'second'],
      [3, 'third'],
      [4, 'fourth'],
    ]);
    expect(rows[0]?.previous).toBe(GENESIS);
    expect((await store.revisions()).get('audit')).toBe(4);
    expect(await verifyAudit(store.db)).toMatchObject({ entries: 4, head: { seq: 4 }, broken: null });
    expect(await verifyAudit(store.db, 3)).toMatchObject({ entries: 2, head: { seq: 4 }, broken: null });
    expect((await verifyAudit(store.db, 9)).broken).not.toBeNull();
  });

  test('an entry that was changed, removed or put in is found, and it is the first one', async () => {
    const store = await open();
    const COUNT = 12;
    for (let i = 1; i <= COUNT; i++) await append(store, `target ${i}`, { i });
    const whole = await store.db.selectFrom('audit').selectAll().orderBy('seq').execute();
    const seq = fc.integer({ min: 1, max: COUNT });
    const column = fc.constantFrom<keyof AuditTable>(
      'at',
      'actor',
      'action',
      'target',
      'before',
      'after',
      'previous',
      'hash',
    );
    const harm = fc.oneof(
      fc.record({ kind: fc.constant('change' as const), seq, column }),
      fc.record({ kind: fc.constant('remove' as const), seq }),
      fc.record({ kind: fc.constant('put in' as const), seq: fc.constantFrom(-3, 0, COUNT + 1, COUNT + 5), of: seq }),
      fc.record({ kind: fc.constant('exchange' as const), seq, other: seq }),
    );
    await fc.assert(
      fc.asyncProperty(harm, async harm => {
        const rows = new Map(whole.map(row => [row.seq, { ...row }]));
        const row = rows.get(harm.seq);
        if (harm.kind === 'change' && row) Object.assign(row, { [harm.column]: changed(row[harm.column]) });
        if (harm.kind === 'remove') rows.delete(harm.seq);
        if (harm.kind === 'put in') rows.set(harm.seq, { ...(rows.get(harm.of) as AuditTable), seq: harm.seq });
        if (harm.kind === 'exchange') {
          fc.pre(harm.seq !== harm.other);
          const [a, b] = [whole[harm.seq - 1], whole[harm.other - 1]] as [AuditTable, AuditTable];
          rows.set(a.seq, { ...b, seq: a.seq });
          rows.set(b.seq, { ...a, seq: b.seq });
        }
        await store.db.deleteFrom('audit').execute();
        await store.db
          .insertInto('audit')
          .values([...rows.values()])
          .execute();
        const first = harm.kind === 'exchange' ? Math.min(harm.seq, harm.other) : Math.min(harm.seq, COUNT + 1);
        expect((await verifyAudit(store.db)).broken?.seq).toBe(first);
      }),
      { numRuns: PROPERTY_RUNS },
    );
    await store.db.deleteFrom('audit').execute();
    await store.db.insertInto('audit').values(whole).execute();
    expect((await verifyAudit(store.db)).broken).toBeNull();
  });

  test('all of it removed is found, too', async () => {
    const store = await open();
    await append(store, 'one');
    await store.db.deleteFrom('audit').execute();
    expect((await verifyAudit(store.db)).broken).toEqual({ seq: 1, why: 'is missing' });
  });

  test('is walked while it grows, in more than one page', async () => {
    const store = await open();
    await store.write([], async (tx, revisions) => {
      for (let i = 0; i < 600; i++) await audit(tx, revisions, entry('many'));
    });
    const writing = Promise.all(Array.from({ length: 10 }, () => append(store, 'more')));
    expect(await verifyAudit(store.db)).toMatchObject({ broken: null });
    await writing;
    expect(await verifyAudit(store.db)).toMatchObject({ entries: 610, broken: null });
  });
});

function entry(target: string, after?: unknown) {
  return { actor: 'system', action: 'test.append', target, after };
}

function append(store: Store, target: string, after?: unknown): Promise<number> {
  return store.write(['tokens'], (tx, revisions) => audit(tx, revisions, entry(target, after)));
}

function fail(): never {
  throw new Error('as asked');
}

function changed(value: AuditTable[keyof AuditTable]): string | number {
  return typeof value === 'number' ? value + 1 : `${value ?? ''} `;
}
