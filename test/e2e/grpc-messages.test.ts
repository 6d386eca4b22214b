// Messages held against a .proto file on their way: what is good arrives as it was sent, and of what is not, nothing.

import { Metadata, type ServerDuplexStream, type ServerReadableStream, status } from '@grpc/grpc-js';
import { beforeEach, describe, expect, test } from 'vitest';
import { startFront } from '../support/front.js';
import { detailsIn, failure, grpcClient, grpcOrigin, type Message, unary } from '../support/grpc.js';

const PROTO = `syntax = "proto3";
package test.v1;
import "buf/validate/validate.proto";

service Echo {
  rpc Once(Message) returns (Message);
  rpc Gather(stream Message) returns (Message);
  rpc Talk(stream Message) returns (stream Message);
}

message Message {
  string text = 1 [(buf.validate.field).string.max_len = 10];
  uint32 count = 2 [(buf.validate.field).uint32.lt = 100];
}
`;

/** Texts of messages that reached the origin. */
const arrived: string[] = [];
const cancelled: string[] = [];

const origin = await grpcOrigin({
  Once(call: { request: Message }, answer: (error: null, message: Message) => void) {
    arrived.push(call.request.text ?? '');
    answer(null, call.request);
  },
  Gather(call: ServerReadableStream<Message, Message>, answer: (error: null, message: Message) => void) {
    let count = 0;
    call.on('data', ({ text }: Message) => {
      count++;
      arrived.push(text ?? '');
    });
    call.on('cancelled', () => cancelled.push('Gather'));
    call.on('end', () => answer(null, { count }));
  },
  Spread() {},
  Talk(call: ServerDuplexStream<Message, Message>) {
    call.on('data', (message: Message) => {
      arrived.push(message.text ?? '');
      call.write(message);
    });
    call.on('cancelled', () => cancelled.push('Talk'));
    call.on('end', () => call.end());
  },
});

const at = { url: origin.url, protocol: 'h2' };
const protos = { files: ['echo.proto'] };
const front = await startFront(
  {
    'api.test': { origin: at, grpc: { protos, action: 'block', fallthrough: 'block', unknownFields: 'block' } },
    'log.test': { origin: at, grpc: { protos, action: 'log', fallthrough: 'log' } },
  },
  {
    files: { 'echo.proto': PROTO },
    config: {
      rules: [{ name: 'no-admin', expression: 'any(grpc.message["text"][*] eq "admin")', action: 'block' }],
      limits: {
        rules: [
          {
            name: 'talk',
            per: 'message',
            expression: 'grpc.method eq "Talk"',
            characteristics: ['ip.src'],
            requestsPerPeriod: 5,
            period: '1h',
          },
        ],
      },
    },
  },
);
const client = grpcClient(front.caller('api.test'));
const logged = grpcClient(front.caller('log.test'));

beforeEach(() => {
  arrived.length = 0;
  cancelled.length = 0;
});

/** What a stream of messages is answered with. */
function gather(messages: Message[], pauseMs = 0): Promise<Message> {
  return new Promise((resolve, reject) => {
    const call = client.Gather(new Metadata(), (error: Error | null, answer: Message) =>
      error ? reject(error) : resolve(answer),
    );
    messages.forEach((message, at) => {
      setTimeout(() => call.write(message), at * pauseMs);
    });
    setTimeout(() => call.end(), messages.length * pauseMs);
  });
}

describe('a unary call', () => {
  test('passes with a message as described', async () => {
    expect((await unary(client, { text: 'good', count: 99 })).message).toMatchObject({ text: 'good', count: 99 });
    expect(arrived).toEqual(['good']);
  });

  test('is refused for what its annotations exclude, and told where', async () => {
    const error = await failure(unary(client, { text: 'longer than ten', count: 100 }));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    const { info, violations } = detailsIn(error.metadata);
    expect(info.reason).toBe('grpc.message');
    expect(violations.map(({ field }) => field)).toEqual(['text', 'count']);
    expect(arrived).toEqual([]);
    expect(await front.gateway.event(({ SecurityRuleID }) => SecurityRuleID === 'grpc.message')).toMatchObject({
      GRPCStatus: 3,
      OperationID: '/test.v1.Echo/Once',
    });
  });

  test('is refused for a field that nobody described', async () => {
    const error = await failure(unary(client, { text: 'good', bytes: Buffer.from('?') }));
    expect(detailsIn(error.metadata).info.reason).toBe('grpc.unknown_field');
    expect(arrived).toEqual([]);
  });

  test('is refused by a rule that reads its message', async () => {
    const error = await failure(unary(client, { text: 'admin' }));
    expect(error.code).toBe(status.PERMISSION_DENIED);
    expect(detailsIn(error.metadata).info.reason).toBe('rules.no-admin');
    expect(arrived).toEqual([]);
  });

  test('passes where violations are only recorded', async () => {
    expect((await unary(logged, { text: 'longer than ten' })).message.text).toBe('longer than ten');
    const event = await front.gateway.event(
      ({ ClientRequestHost, SecurityAction }) => ClientRequestHost === 'log.test' && SecurityAction === 'log',
    );
    expect(event).toMatchObject({ SecurityRuleID: 'grpc.message', GRPCStatus: 0 });
  });
});

test('a method that is not described is UNIMPLEMENTED', async () => {
  const call = client.Spread({ count: 1 });
  const error = await failure(
    new Promise((_, reject) => {
      call.on('error', reject).on('data', () => {});
    }),
  );
  expect(error.code).toBe(status.UNIMPLEMENTED);
  expect(detailsIn(error.metadata).info.reason).toBe('endpoints.fallthrough');
});

describe('a stream', () => {
  test('of good messages arrives whole', async () => {
    const messages = Array.from({ length: 1_000 }, (_, count) => ({ text: `n${count}` }));
    expect(await gather(messages)).toMatchObject({ count: 1_000 });
    expect(arrived).toEqual(messages.map(({ text }) => text));
  });

  test('ends with its first bad message, of which nothing arrives', async () => {
    const error = await failure(gather([{ text: 'one' }, { text: 'two' }, { text: 'longer than ten' }], 50));
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(detailsIn(error.metadata).info.reason).toBe('grpc.message');
    expect(arrived).toEqual(['one', 'two']);
    await expect.poll(() => cancelled).toEqual(['Gather']);
  });

  test('is counted by its messages, and ends with a status behind those that were answered', async () => {
    const call = client.Talk();
    const answers: string[] = [];
    const failed = failure(
      new Promise((_, reject) => {
        call.on('error', reject);
        call.on('data', ({ text }: Message) => {
          answers.push(text ?? '');
          call.write({ text: `n${answers.length}` });
        });
        call.write({ text: 'n0' });
      }),
    );
    const error = await failed;
    expect(error.code).toBe(status.RESOURCE_EXHAUSTED);
    const { info, retry } = detailsIn(error.metadata);
    expect(info.reason).toBe('limits.talk');
    expect(Number(retry?.retry_delay.seconds)).toBeGreaterThan(0);
    expect(answers).toEqual(['n0', 'n1', 'n2', 'n3', 'n4']);
    expect(arrived).toEqual(answers);
  });
});
