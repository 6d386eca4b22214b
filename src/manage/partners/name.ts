import { z } from 'zod';

export const partnerName = z
  .string()
  .regex(/^[A-Za-z0-9_-]{1,64}$/, { error: 'is no name: letters, digits, `-` and `_`, at most 64' })
  .meta({ example: 'acme' });
