import { z } from 'zod';
import { file } from '../../config/units.js';

const action = z.enum(['off', 'log', 'block']);

export const openapi = z
  .strictObject({
    file: file().describe('OpenAPI 3.0 or 3.1 description of this host, YAML or JSON.'),
    action: action
      .default('block')
      .describe(
        'What happens to a request that violates its operation: another method, media type or body than described. `log` records and lets through, `off` does not look.',
      ),
    fallthrough: action.default('log').describe('What happens to a request that matches no path of the description.'),
    allowReadOnly: z
      .boolean()
      .default(false)
      .describe('Requests may hold members that the description calls `readOnly`; they never need to.'),
    allowUncheckedPatterns: z
      .boolean()
      .default(false)
      .describe(
        'Patterns with look-around or back-references, which cannot be matched in linear time, are left unchecked instead of refusing the configuration. Each is counted in a warning.',
      ),
  })
  .describe('The operations of this host, and what their request bodies look like.');

export type Openapi = z.output<typeof openapi>;
