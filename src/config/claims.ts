// What claims of a token have to be: `{ tenant: true, plan: [gold, silver] }`.

import { z } from 'zod';
import type { PolicyClaim } from './policy.js';

/** Numbers and booleans as JSON writes them. */
const value = z.union([z.string().min(1), z.number(), z.boolean()]);

/** A claim's name, with the steps into it. */
export const MAX_CLAIM_CHARACTERS = 256;
const MAX_VALUES = 256;

export function claims() {
  return z
    .record(
      z.string().min(1).max(MAX_CLAIM_CHARACTERS),
      z.union([z.literal(true), value, z.array(value).min(1).max(MAX_VALUES)]),
    )
    .transform((written): PolicyClaim[] => Object.entries(written).map(([claim, values]) => claimOf(claim, values)));
}

export function claimOf(claim: string, values: unknown): PolicyClaim {
  return { claim, values: values === true ? [] : [values].flat().map(String) };
}
