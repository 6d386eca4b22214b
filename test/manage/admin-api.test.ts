// The frame around every operation: what it takes, what it refuses, and that it leaves a trace.

import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { Api, expectVersion, Refusal } from '../../src/manage/admin/api.js';
import { adminApi } from '../support/admin.js';

const { ask, log, store } = await adminApi({
  capabilities: [
    (api, store) => {
      const tag = 'things';
      const params = z.object({ name: z.string().max(5) });
      const query = z.object({ big: z.coerce.number().optional() });
      const body = z.strictObject({ size: z.int().refine(size => size !== 13, { error: 'brings no luck' }) });
      api.operation(
        { id: 'bestThing', method: 'get', path: '/things/best', summary: '', role: 'viewer', tag },
        async () => ({ body: {} }),
      );
      api.operation(
        { id: 'getThing', method: 'get', path: '/things/{name}', summary: '', role: 'viewer', tag, params, query },
        async ({ params, query }) => ({ body: { ...params, ...query }, version: 3 }),
      );
      api.operation(
        {
          id: 'putThing',
          method: 'put',
          path: '/things/{name}',
          summary: '',
          role: 'operator',
          tag,
          params,
          body,
          conditional: true,
        },
        async ({ params: { name }, body, version, audit }) => {
          expectVersion(version, 3);
          await store.write([], (tx, revisions) =>
            audit(tx, revisions, { action: 'things.change', target: name, before: null, after: body }),
          );
          return { body, version: 4 };
        },
      );
      api.operation(
        {
          id: 'textThing',
          method: 'post',
          path: '/things',
          summary: '',
          role: 'operator',
          tag,
          body: z.string(),
          bodyType: 'text/csv',
          maxBytes: 20,
          changes: false,
        },
        async ({ body }) => ({ body }),
      );
      api.operation(
        { id: 'loseThing', method: 'post', path: '/things/{name}/lose', summary: '', role: 'operator', tag, params },
        async () => ({ body: {} }),
      );
      api.operation(
        {
          id: 'doubleThing',
          method: 'post',
          path: '/things/{name}/double',
          summary: '',
          role: 'operator',
          tag,
          params,
        },
        async ({ audit }) => {
          const one = { action: 'things.double', target: 'x' };
          await store.write([], async (tx, revisions) => {
            await audit(tx, revisions, one);
            await audit(tx, revisions, one);
          });
          return { body: {} };
        },
      );
      api.operation(
        { id: 'breakThing', method: 'post', path: '/things/{name}/break', summary: '', role: 'operator', tag, params },
        async () => {
          throw new Error('the password is hunter2');
        },
      );
      api.operation(
        {
          id: 'refuseThing',
          method: 'post',
          path: '/things/{name}/refuse',
          summary: '',
          role: 'operator',
          tag,
          params,
        },
        async () => {
          throw new Refusal(409, 'No.', 'Yes.', [{ pointer: '/a', detail: 'b' }]);
        },
      );
    },
  ],
});
const match = (version: string) => ({ headers: { 'if-match': version } });

describe('a call', () => {
  test('has its parameters, its query and its version', async () => {
    const answer = await ask('GET', '/things/abc?big=7');
    expect([answer.status, answer.body, answer.headers.get('etag')]).toEqual([200, { name: 'abc', big: 7 }, '"3"']);
  });

  test('that knows the version gets it not again', async () => {
    for (const known of ['"3"', 'W/"3"', '"1", "3"', '*']) {
      const answer = await ask('GET', '/things/abc', undefined, { headers: { 'if-none-match': known } });
      expect([answer.status, answer.body, answer.headers.get('etag')], known).toEqual([304, '', '"3"']);
    }
    expect((await ask('GET', '/things/abc', undefined, { headers: { 'if-none-match': '"2"' } })).status).toBe(200);
    expect((await ask('HEAD', '/things/abc')).status).toBe(200);
  });

  test('that changes says which version it knows', async () => {
    expect((await ask('PUT', '/things/abc', { size: 1 })).status).toBe(428);
    expect((await ask('PUT', '/things/abc', { size: 1 }, match('"2"'))).status).toBe(412);
    expect((await ask('PUT', '/things/abc', { size: 1 }, match('3'))).status).toBe(400);
    expect((await ask('PUT', '/things/abc', { size: 1 }, match('"3"'))).status).toBe(200);
    expect((await ask('PUT', '/things/abc', { size: 1 }, match('*'))).status).toBe(200);
  });

  test('of a lesser role is refused before anything is read', async () => {
    const answer = await ask('PUT', '/things/abc', 'garbage', { role: 'viewer' });
    expect([answer.status, answer.body.title]).toEqual([403, 'This needs the role operator.']);
  });

  test('that is not as described is refused, with the places', async () => {
    const errors = async (path: string) =>
      (await ask('GET', path)).body.errors.map((one: { pointer: string }) => one.pointer);
    expect(await errors('/things/abcdef')).toEqual(['/params/name']);
    expect(await errors('/things/abc?big=x')).toEqual(['/query/big']);
    expect(await errors('/things/abc?bigg=1')).toEqual(['/query/bigg']);
    expect(await errors('/things/abc?big=1&big=2')).toEqual(['/query/big']);
    expect((await ask('PUT', '/things/abc', { size: 'x', other: 1 }, match('"3"'))).body.errors).toMatchObject([
      { pointer: '/size' },
      { pointer: '' },
    ]);
  });

  test('that is as described, and cannot be meant so, is refused as that', async () => {
    expect((await ask('PUT', '/things/abc', { size: 13 }, match('"3"'))).status).toBe(422);
  });

  test('with a body of another type is refused: no form of a web page gets in', async () => {
    const put = (type: string, body = '{"size":1}') =>
      ask('PUT', '/things/abc', body, { headers: { 'content-type': type, 'if-match': '"3"' } });
    for (const type of ['', 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
      expect((await put(type)).status, type).toBe(415);
    }
    expect((await put('application/json; charset=utf-8')).status).toBe(200);
    expect((await put('application/json', '{"size":')).status).toBe(400);
    expect((await put('application/json', '')).status).toBe(400);
    expect((await ask('POST', '/things/a/refuse', { a: 1 }, { headers: { 'content-length': '7' } })).status).toBe(415);
    const csv = { headers: { 'content-type': 'text/csv' } };
    expect((await ask('POST', '/things', 'a,b', csv)).status).toBe(200);
    expect((await ask('POST', '/things', 'x'.repeat(21), csv)).status).toBe(413);
    expect((await put('application/json', JSON.stringify({ size: 1, x: 'x'.repeat(2 ** 20) }))).status).toBe(413);
  });

  test('to nowhere is 404, by the wrong method 405 with those that would do', async () => {
    expect((await ask('GET', '/nothing')).status).toBe(404);
    const answer = await ask('DELETE', '/things/abc');
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT']);
    expect((await ask('OPTIONS', '/things/abc')).status).toBe(405);
    const shadowed = await ask('PUT', '/things/best', { size: 1 }, match('"3"'));
    expect([shadowed.status, shadowed.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect((await ask('GET', '/tokens/x/revoke')).headers.get('allow')).toBe('POST');
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
  });

  test('that fails tells the log why, and the caller nothing', async () => {
    const answer = await ask('POST', '/things/a/break');
    expect([answer.status, answer.body]).toEqual([500, { title: 'Internal error.', status: 500 }]);
    expect(JSON.stringify(log.at(-1))).toContain('hunter2');
  });

  test('that is refused says what would do', async () => {
    const answer = await ask('POST', '/things/a/refuse');
    expect(answer.body).toEqual({
      title: 'No.',
      status: 409,
      detail: 'Yes.',
      errors: [{ pointer: '/a', detail: 'b' }],
    });
  });

  test('is answered for nobody else: never kept, never read as another type, no word for other sites', async () => {
    for (const path of ['/things/abc', '/nothing', '/things/abcdef']) {
      const { headers } = await ask('GET', path);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect([...headers.keys()].filter(name => name.startsWith('access-control'))).toEqual([]);
    }
  });
});

describe('what changes something', () => {
  test('is in the audit log with who, what, before and after', async () => {
    await ask('PUT', '/things/abc', { size: 5 }, { role: 'operator', ...match('"3"') });
    const last = await store.db.selectFrom('audit').selectAll().orderBy('seq', 'desc').executeTakeFirst();
    expect(last).toMatchObject({ actor: 'a-operator', action: 'things.change', target: 'abc', after: '{"size":5}' });
  });

  test('and leaves no entry, or two, is told to the log', async () => {
    await ask('POST', '/things/a/lose');
    expect(log.at(-1)?.[0]).toEqual({ operation: 'loseThing', entries: 0 });
    await ask('POST', '/things/a/double');
    expect(log.at(-1)?.[0]).toEqual({ operation: 'doubleThing', entries: 2 });
  });

  test('and leaves no entry fails where nobody said otherwise', async () => {
    const api = new Api(async () => ({ name: 'x', role: 'admin', kind: 'token' }));
    api.operation({ id: 'lose', method: 'post', path: '/lose', summary: '', role: 'admin', tag: 't' }, async () => ({
      body: {},
    }));
    await expect(async () => api.app.request('/admin/v1/lose', { method: 'POST' })).rejects.toThrow('instead of one');
  });
});
