// /me: who asks. What a client calls to see whether its token is good.

import { z } from 'zod';
import type { Api } from './api.js';

const me = z
  .object({
    name: z.string().meta({ description: "The token's name, or the client certificate's subject." }),
    role: z.enum(['viewer', 'operator', 'admin']),
    kind: z.enum(['token', 'certificate']),
  })
  .meta({ id: 'Me' });

export type Me = z.output<typeof me>;

export function routes(api: Api): void {
  api.operation(
    {
      id: 'getMe',
      method: 'get',
      path: '/me',
      summary: 'Who asks, and what they may do.',
      role: 'viewer',
      tag: 'tokens',
      answer: me,
    },
    async ({ principal: { name, role, kind } }) => ({ body: { name, role, kind } }),
  );
}
