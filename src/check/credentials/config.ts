import { z } from 'zod';

export const credentials = z
  .strictObject({
    action: z
      .enum(['off', 'log', 'block'])
      .default('block')
      .describe('What happens to a request without the credential that its operation requires.'),
    jwt: z.array(z.string()).optional().describe('Token configurations that count here; all of them unless given.'),
  })
  .describe('Which credential the operations of this host require.');

export type Credentials = z.output<typeof credentials>;
