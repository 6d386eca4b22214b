// Requests to own paths, from an edge thread's message to the answer that it is told.

import { expect, test } from 'vitest';
import type { EdgeOptions } from '../../src/edge.js';
import { EdgeThread } from '../../src/manage/edge-thread.js';
import { type AnswerOwn, contained } from '../../src/manage/own-paths.js';
import { until } from '../support/waiting.js';
import { FakeThread, silent } from './fakes.js';

const REQUEST = {
  method: 'POST',
  path: '/.well-known/portcullis/renew',
  host: 'api.test',
  contentType: null,
  authorization: null,
  verified: false,
  certificate: null,
  address: '192.0.2.1',
};

async function told(own?: AnswerOwn) {
  const thread = new FakeThread({} as EdgeOptions);
  new EdgeThread(0, thread, () => {}, own);
  thread.emit('message', { type: 'own', id: 7, request: REQUEST, body: Buffer.from('abc') });
  await until(() => thread.told.length === 1);
  return thread.told[0];
}

test('where nothing answers own paths they are 404', async () => {
  expect(await told()).toMatchObject({ type: 'own', id: 7, status: 404 });
});

test('the answer goes back under the number of the request', async () => {
  const answer: AnswerOwn = async ({ path }, body) => ({ status: 200, headers: [], body: `${path} ${body}` });
  expect(await told(contained(answer, silent()))).toEqual({
    type: 'own',
    id: 7,
    status: 200,
    headers: [],
    body: `${REQUEST.path} abc`,
  });
});

test.each<[string, AnswerOwn]>([
  ['that throws', () => Promise.reject(new Error('on purpose'))],
  ['with a status that ends nothing', async () => ({ status: 101, headers: [], body: '' })],
  ['with a header that is two', async () => ({ status: 200, headers: [['X-A', 'b\r\nX-C: d']], body: '' })],
  ['with a name that is no token', async () => ({ status: 200, headers: [['X A', 'b']], body: '' })],
])('an answer %s is 500', async (_, answer) => {
  expect(await told(contained(answer, silent()))).toMatchObject({ id: 7, status: 500 });
});
