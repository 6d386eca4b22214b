import { describe, expect, test } from 'vitest';
import { stage } from '../../src/check/endpoints/staging.js';
import { Loading } from '../../src/config/loading.js';
import { Overridden } from '../../src/config/overridden.js';
import { inOrder } from '../../src/config/problem.js';
import { Source } from '../../src/config/read.js';

describe('of host, document and operation', () => {
  test('nothing said is the strict way for requests, and no look at responses', () => {
    expect(stage([])).toEqual({ action: 'block', unknownQuery: 'block', responses: 'off' });
  });

  test('the innermost word wins, each by itself', () => {
    const host = { action: 'block', responses: { action: 'strip' } } as const;
    const document = { action: 'log' } as const;
    const operation = { responses: { action: 'log' } } as const;
    expect(stage([host, document, operation])).toMatchObject({ action: 'log', responses: 'log' });
    expect(stage([host, document, {}])).toMatchObject({ action: 'log', responses: 'strip' });
    expect(stage([host, {}, operation])).toMatchObject({ action: 'block', responses: 'log' });
  });

  test('unknown query parameters follow the action that came out, unless somebody speaks of them', () => {
    expect(stage([{ action: 'block' }, { action: 'log' }]).unknownQuery).toBe('log');
    expect(stage([{ action: 'log' }, { action: 'off' }]).unknownQuery).toBe('off');
    expect(stage([{ action: 'log', unknownQuery: 'ignore' }, { action: 'block' }]).unknownQuery).toBe('off');
    expect(stage([{ unknownQuery: 'ignore' }, {}, { unknownQuery: 'block', action: 'off' }]).unknownQuery).toBe(
      'block',
    );
  });
});

test('a key that names an operation a second time is refused, however it is spelled', () => {
  const source = new Source('portcullis.yaml', 'get /a: 1\nGET /a: 2\nlist: 3\n', { env: {}, file: () => '' });
  const loading = new Loading(source, '/');
  const overridden = new Overridden(source.value as Record<string, number>, '');
  expect(overridden.of(['list', 'GET /a'])).toEqual({ overrides: 3, at: '/list' });
  overridden.report(loading);
  expect(inOrder(loading.problems).map(({ message }) => message)).toEqual([
    '`get /a` names the same operation as `list`',
    '`GET /a` names the same operation as `get /a`',
  ]);
});
