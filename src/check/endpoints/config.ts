import { z } from 'zod';
import { action, detail, unknown } from '../../config/staged.js';
import { file } from '../../config/units.js';

const responses = z.enum(['off', 'log', 'block', 'strip']);

/** What may be said anew for one document, and for one operation. */
const overrides = {
  action: action.optional().describe('Instead of what is said further out.'),
  unknownQuery: unknown.optional().describe('Instead of what is said further out.'),
  responses: z
    .strictObject({ action: responses.optional().describe('Instead of what is said further out.') })
    .optional()
    .describe('What origins answer.'),
};

const operations = z
  .record(z.string(), z.strictObject(overrides).describe('One operation.'))
  .default({})
  .describe('Single operations, by `operationId` or `METHOD /path`, staged by themselves.');

const document = z.strictObject({
  file: file().describe('As `file` beside `documents`.'),
  ...overrides,
  operations,
});

export const openapi = z
  .strictObject({
    file: file()
      .optional()
      .describe('OpenAPI 3.0, 3.1 or 3.2 or Swagger 2.0 description of this host, YAML or JSON. This or `documents`.'),
    documents: z
      .array(document)
      .min(1)
      .optional()
      .describe('Several descriptions of one host, each with its own staging. No operation may be in two of them.'),
    action: action
      .default('block')
      .describe(
        'What happens to a request that violates its operation: another method, parameters, media type or body than described. `log` records and lets through, `off` does not look.',
      ),
    fallthrough: action.default('log').describe('What happens to a request that matches no path of the description.'),
    unknownQuery: unknown
      .optional()
      .describe(
        'What happens to a request with query parameters that its operation does not describe; what `action` says for it unless given.',
      ),
    responses: z
      .strictObject({
        action: responses
          .default('off')
          .describe(
            'What happens to a response that violates its operation. `block` answers 502 instead, `strip` takes out the members that are not described and blocks the rest.',
          ),
      })
      .prefault({})
      .describe('What origins answer.'),
    operations,
    overload: z
      .enum(['block', 'pass'])
      .default('block')
      .describe(
        'What happens to a body that finds no place in the queue of inspection: 503, or passed on unchecked and counted.',
      ),
    problem: z
      .strictObject({
        detail,
        allowValues: z
          .boolean()
          .default(false)
          .describe('Whether answers and events may repeat what a client sent where something else was expected.'),
      })
      .prefault({})
      .describe('How much of a violation is told.'),
    allowXml: z
      .boolean()
      .default(false)
      .describe('Whether XML that is described is passed on, unchecked; otherwise it is refused.'),
    allowReadOnly: z
      .boolean()
      .default(false)
      .describe('Whether requests may hold members that the description calls `readOnly`; they never need to.'),
    allowUncheckedPatterns: z
      .boolean()
      .default(false)
      .describe(
        'Whether patterns with look-around or back-references, which cannot be matched in linear time, are left unchecked instead of refusing the configuration. Each is counted in a warning.',
      ),
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
  })
  .superRefine(({ file, documents }, issues) => {
    if ((file === undefined) === (documents === undefined)) {
      issues.addIssue({
        code: 'custom',
        message: file === undefined ? '`file` is missing' : '`file` and `documents` exclude each other',
        params: { hint: 'name one description as `file`, or several under `documents`' },
      });
    }
  })
  .describe('The operations of this host, and how their parameters, bodies and responses look.');

export type Openapi = z.output<typeof openapi>;
export type Document = z.output<typeof document>;
export type Overrides = Pick<Document, 'action' | 'unknownQuery' | 'responses'>;
