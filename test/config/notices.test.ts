import { expect, test } from 'vitest';
import { Notices } from '../../src/journal/events/notices.js';

test('notices go out as whole lines, in their order, as many as fit', () => {
  const notices = new Notices();
  for (const Name of ['first', 'second', 'third']) notices.tell('pki.expiring', { Name });
  const buffer = Buffer.alloc(250);
  const lines = (bytes: number) => buffer.toString('utf8', 0, bytes).trimEnd().split('\n');
  const first = lines(notices.drain(buffer)).map(line => JSON.parse(line));
  expect(first).toMatchObject([
    { Event: 'pki.expiring', EventTimestamp: expect.stringMatching(/Z$/), Name: 'first' },
    { Name: 'second' },
  ]);
  expect(lines(notices.drain(buffer)).map(line => JSON.parse(line).Name)).toEqual(['third']);
  expect(notices.drain(buffer)).toBe(0);
});

test('a destination that is away costs the oldest notices, not memory', () => {
  const notices = new Notices();
  for (let number = 0; number < 5_000; number++) notices.tell('pki.expiring', { number });
  const buffer = Buffer.alloc(1024 * 1024);
  const lines = buffer.toString('utf8', 0, notices.drain(buffer)).trimEnd().split('\n');
  expect([lines.length, JSON.parse(lines[0] ?? '').number]).toEqual([1_000, 4_000]);
});
