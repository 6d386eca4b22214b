import { z } from 'zod';

export const events = z
  .strictObject({
    destination: z
      .string()
      .min(1)
      .default('stdout')
      .describe('`stdout`, or the path of a file that lines are appended to. SIGUSR1 reopens the file.'),
    sampleRate: z
      .number()
      .min(0)
      .max(1)
      .default(1)
      .describe('Share of exchanges without a security event that leave a line. Denials and rule matches always do.'),
  })
  .prefault({})
  .describe('One NDJSON line per exchange (docs/events.md).');

export type Events = z.output<typeof events>;
