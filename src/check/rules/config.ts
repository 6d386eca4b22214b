import { z } from 'zod';

export const list = z
  .array(z.string().min(1))
  .describe('Items of one kind: IP addresses and prefixes, or strings. Written `$name` in expressions.');

export const rule = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/)
    .meta({ title: 'rule name', forms: ['block-scanners'] })
    .describe(
      'Stable name: reason `rules.<name>`, log field and metric label. Letters, digits, `-`, `_`, `.`; at most 64.',
    ),
  expression: z.string().min(1).describe('When the rule applies, in the rules language (docs/rules.md).'),
  action: z
    .enum(['log', 'block', 'skip'])
    .describe('`log`: recorded, let through. `block`: denied. `skip`: the rules after this one are not evaluated.'),
  description: z.string().optional().describe('For readers of the configuration.'),
});

export type Rule = z.output<typeof rule>;
