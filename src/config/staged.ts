// What several capabilities let an operator say in the same words.

import { z } from 'zod';

/** The life of a control: not looked at, only recorded, denied. */
export const action = z.enum(['off', 'log', 'block']);

/** What happens to more than is described. */
export const unknown = z.enum(['ignore', 'log', 'block']);

/** How much of a violation its client learns. */
export const detail = z
  .enum(['full', 'pointer', 'none'])
  .default('full')
  .describe('What clients are told of a violation: place and expectation, the place alone, nothing.');
