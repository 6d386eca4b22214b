// What the admin API tells of a rotation. Beside shapes.ts, which the shapes of keys know.

import { z } from 'zod';
import { madeKey } from '../keys/shapes.js';
import { time } from '../pki/shapes.js';

export const rotated = z
  .object({
    keys: z.array(madeKey).meta({ description: 'Each with its new secret, shown only this once.' }),
    certificates: z
      .array(
        z.object({
          fingerprint: z.string(),
          authority: z.string(),
          name: z.string(),
          serial: z.string(),
          not_after: time,
        }),
      )
      .meta({ description: 'Valid ones that were issued here for it: whoever holds their keys renews them.' }),
    more_certificates: z.boolean().meta({ description: 'GET /pki/certificates lists them all.' }),
  })
  .meta({ id: 'RotatedPartner' });

export type Rotated = z.output<typeof rotated>;
