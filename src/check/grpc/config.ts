import { z } from 'zod';
import { action, detail, unknown } from '../../config/staged.js';
import { duration, file, size } from '../../config/units.js';

/** Readers of Protocol Buffers stop at 100. */
const MAX_DEPTH = 100;

export const grpc = z
  .strictObject({
    descriptors: z
      .array(file())
      .min(1)
      .optional()
      .describe(
        'Descriptor sets of the services, with all that they import: `protoc --include_imports --descriptor_set_out`, or `buf build -o`. This or `protos`.',
      ),
    protos: z
      .strictObject({
        files: z
          .array(z.string().min(1).max(1_024))
          .min(1)
          .describe('`.proto` files with the services, as others would import them.'),
        includes: z
          .array(file())
          .min(1)
          .default(['.'])
          .describe('Folders that imports count from, the first one that has a file first.'),
      })
      .optional()
      .describe('The same from source. `google/protobuf/*.proto` and `buf/validate/validate.proto` need not be there.'),
    action: action
      .default('block')
      .describe(
        'What happens to a call that violates its description, and to a request for a method that is no call of it. `log` records and lets through, `off` does not look.',
      ),
    fallthrough: action.default('log').describe('What happens to a call of a service or method that is not described.'),
    unknownFields: unknown
      .default('ignore')
      .describe('What happens to a message with fields that the descriptors do not have.'),
    maxMessageBytes: size('1KiB', '64MiB')
      .prefault('4MiB')
      .describe('Largest message, decoded where it is compressed.'),
    maxDepth: z.int().min(1).max(MAX_DEPTH).default(64).describe('How deep messages may lie within each other.'),
    maxFields: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(100_000)
      .describe('Most fields of one message, with those of the messages within it.'),
    maxDeadline: duration('1ms', '24h')
      .optional()
      .describe('The longest that a call may take, whatever its client says.'),
    allowReflection: z
      .boolean()
      .default(false)
      .describe('Whether calls of `grpc.reflection` pass, which tell what there is to call.'),
    problem: z.strictObject({ detail }).prefault({}).describe('How much of a violation is told.'),
    operations: z
      .record(
        z.string(),
        z
          .strictObject({ action: action.optional().describe('Instead of what is said further out.') })
          .describe('One method.'),
      )
      .default({})
      .describe('Single methods, by `/package.Service/Method`, staged by themselves.'),
  })
  .superRefine(({ descriptors, protos }, issues) => {
    if (descriptors !== undefined && protos !== undefined) {
      issues.addIssue({
        code: 'custom',
        message: '`descriptors` and `protos` exclude each other',
        params: { hint: 'one of them describes the services' },
      });
    }
  })
  .describe('The gRPC services of this host, and what their messages may hold.');

export type Grpc = z.output<typeof grpc>;
