// What claims of a token have to be: `{ tenant: true, plan: [gold, silver] }`.

import { z } from 'zod';
import type { PolicyClaim } from './policy.js';

const texts = z.union([z.literal(true), z.string().min(1), z.array(z.string().min(1)).min(1)]);

export function claims() {
  return z
    .record(z.string().min(1), texts)
    .transform((written): PolicyClaim[] =>
      Object.entries(written).map(([claim, value]) => ({ claim, values: value === true ? [] : [value].flat() })),
    );
}
