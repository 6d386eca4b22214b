// Which definitions lead back to themselves with nothing said on the way.

import { expect, test } from 'vitest';
import { cycles } from '../../src/check/endpoints/cycles.js';

const to = (name: string) => ({ $ref: `#/$defs/${name}` });

test.each([
  ['an alternative that is itself', { B: { anyOf: [{ type: 'string' }, to('B')] } }, ['B']],
  ['the opposite of itself', { B: { type: 'string', not: to('B') } }, ['B']],
  ['a condition that is itself', { B: { if: to('B'), else: { type: 'string' } } }, ['B']],
  ['a part that is itself', { B: { allOf: [to('B')] } }, ['B']],
  ['a loop of several', { A: { oneOf: [to('B'), { type: 'null' }] }, B: { allOf: [to('C')] }, C: to('A') }, ['A']],
  [
    'alternatives within alternatives',
    { B: { anyOf: [{ oneOf: [{ allOf: [to('B')] }] }, { type: 'string' }] } },
    ['B'],
  ],
])('%s is a loop', (_, defs, names) => {
  expect(cycles(defs)).toEqual(names);
});

test.each([
  ['members of its own kind', { Node: { type: 'object', properties: { next: to('Node') } } }],
  ['items of its own kind', { Tree: { anyOf: [{ type: 'string' }, { type: 'array', items: to('Tree') }] } }],
  [
    'a base with what derives from it',
    {
      Pet: { type: 'object', required: ['kind'], oneOf: [to('Cat'), to('Dog')] },
      Cat: { allOf: [to('Pet'), { required: ['purrs'] }] },
      Dog: { allOf: [to('Pet')], required: ['barks'] },
    },
  ],
  [
    'a base that is only its alternatives',
    { Pet: { oneOf: [to('Cat')] }, Cat: { allOf: [to('Pet'), { type: 'object' }] } },
  ],
])('%s is none', (_, defs) => {
  expect(cycles(defs)).toEqual([]);
});
