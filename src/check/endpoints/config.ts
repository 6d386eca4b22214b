import { z } from 'zod';
import { file } from '../../config/units.js';

const action = z.enum(['off', 'log', 'block']);

export const openapi = z
  .strictObject({
    file: file().describe('OpenAPI 3.0, 3.1 or 3.2 or Swagger 2.0 description of this host, YAML or JSON.'),
    allowRemoteReferences: z
      .array(
        z
          .string()
          .regex(/^(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)(:\d{1,5})?$/)
          .meta({
            title: 'host, lower-case, without a scheme',
            forms: ['schemas.example.com', 'schemas.example.com:8443'],
          }),
      )
      .default([])
      .describe(
        'Hosts that references of the description may lead to, by https. They are fetched whenever the configuration is loaded.',
      ),
    action: action
      .default('block')
      .describe(
        'What happens to a request that violates its operation: another method, media type or body than described. `log` records and lets through, `off` does not look.',
      ),
    fallthrough: action.default('log').describe('What happens to a request that matches no path of the description.'),
  })
  .describe('The operations of this host, and what their request bodies look like.');

export type Openapi = z.output<typeof openapi>;
