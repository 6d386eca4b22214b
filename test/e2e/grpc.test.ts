// gRPC through the gateway by a client and a server that others wrote (@grpc/grpc-js), and gRPC-Web on both doors: what
// passes arrives as it was sent, what is denied is a status.

import { createServer } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import {
  compressionAlgorithms,
  Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { beforeEach, describe, expect, test } from 'vitest';
import { atTheEnd } from '../support/cleanup.js';
import { startFront } from '../support/front.js';
import {
  detailsIn,
  detailsOf,
  failure,
  frame,
  grpcClient,
  grpcOrigin,
  type Message,
  unary,
  unframe,
} from '../support/grpc.js';
import { session } from '../support/http2.js';
import type { Caller } from '../support/https.js';
import { pause, until } from '../support/waiting.js';

/** What the origin saw of the last call. */
let seen: Metadata = new Metadata();
const cancelled: string[] = [];

const origin = await grpcOrigin({
  Once(call: ServerUnaryCall<Message, Message>, answer: sendUnaryData<Message>) {
    seen = call.metadata;
    call.on('cancelled', () => cancelled.push('Once'));
    const { text, bytes } = call.request;
    if (text === 'never') return;
    if (text === 'wrong') {
      answer({ code: status.FAILED_PRECONDITION, details: 'not 100 % right, ä', metadata: trailing('k', 'v') });
      return;
    }
    call.sendMetadata(trailing('x-head', 'one'));
    answer(null, { text, bytes }, trailing('x-trail-bin', Buffer.from([0, 1, 2, 255])));
  },
  Gather(call: ServerReadableStream<Message, Message>, answer: sendUnaryData<Message>) {
    let count = 0;
    call.on('data', () => count++);
    call.on('end', () => answer(null, { count }));
  },
  Spread(call: ServerWritableStream<Message, Message>) {
    call.on('cancelled', () => cancelled.push('Spread'));
    const { text, count = 0 } = call.request;
    for (let at = 0; at < count; at++) call.write({ count: at });
    if (text !== 'stay') call.end();
  },
  Talk(call: ServerDuplexStream<Message, Message>) {
    call.on('data', (message: Message) => call.write(message));
    call.on('end', () => call.end());
  },
});
/** An origin that answers with one message, and is gone behind it. */
const broken = createServer();
broken.on('stream', stream => {
  stream.on('error', () => {});
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
  stream.write(frame({ count: 1 }));
  setTimeout(() => stream.session?.destroy(), 50);
});
await new Promise<void>(resolve => broken.listen(0, '127.0.0.1', resolve));
atTheEnd(() => broken.close());
const { port: brokenPort } = broken.address() as AddressInfo;

const front = await startFront(
  {
    'api.test': { origin: { url: origin.url, protocol: 'h2' }, grpc: {} },
    'capped.test': {
      origin: { url: origin.url, protocol: 'h2' },
      grpc: { maxDeadline: '300ms', allowReflection: true },
    },
    'limited.test': { origin: { url: origin.url, protocol: 'h2' } },
    'broken.test': { origin: { url: `http://127.0.0.1:${brokenPort}`, protocol: 'h2' } },
    'gone.test': { origin: { url: 'http://127.0.0.1:9', protocol: 'h2' } },
  },
  {
    config: {
      limits: {
        rules: [
          {
            name: 'few',
            expression: 'http.host eq "limited.test"',
            characteristics: ['ip.src'],
            requestsPerPeriod: 1,
            period: '1h',
          },
        ],
      },
    },
  },
);
const client = grpcClient(front.caller('api.test'));

beforeEach(() => {
  cancelled.length = 0;
});

function trailing(name: string, value: string | Buffer): Metadata {
  const metadata = new Metadata();
  metadata.set(name, value);
  return metadata;
}

const within = (ms: number) => ({ deadline: Date.now() + ms });
/** All messages of a stream; rejects as the stream fails. */
async function collected(stream: AsyncIterable<Message>): Promise<Message[]> {
  const messages: Message[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

describe('calls', () => {
  test('a unary call keeps its message, metadata and trailers', async () => {
    const { message, head, trailers } = await unary(
      client,
      { text: 'hello' },
      trailing('x-key-bin', Buffer.from([255, 0])),
    );
    expect(message).toMatchObject({ text: 'hello' });
    expect(head.get('x-head')).toEqual(['one']);
    expect(trailers.get('x-trail-bin')).toEqual([Buffer.from([0, 1, 2, 255])]);
    expect(seen.get('x-key-bin')).toEqual([Buffer.from([255, 0])]);
    expect(String(seen.get('user-agent'))).toContain('grpc-node-js');
    expect(seen.get('x-request-id')).toHaveLength(1);
  });

  test("a status of the origin's is the client's, message and metadata with it", async () => {
    const error = await failure(unary(client, { text: 'wrong' }));
    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION, details: 'not 100 % right, ä' });
    expect(error.metadata.get('k')).toEqual(['v']);
  });

  test('10,000 messages pass in one stream of each kind', async () => {
    const gathered = new Promise<Message>((resolve, reject) => {
      const call = client.Gather((error: ServiceError | null, answer: Message) =>
        error ? reject(error) : resolve(answer),
      );
      for (let count = 0; count < 10_000; count++) call.write({ count });
      call.end();
    });
    expect(await gathered).toMatchObject({ count: 10_000 });
    const spread = await collected(client.Spread({ count: 10_000 }));
    expect(spread.map(({ count }) => count)).toEqual(Array.from({ length: 10_000 }, (_, at) => at));
    const call = client.Talk();
    const answers = collected(call);
    for (let count = 0; count < 10_000; count++) call.write({ count });
    call.end();
    expect(await answers).toHaveLength(10_000);
  }, 60_000);

  test('a conversation goes message by message', async () => {
    const call = client.Talk();
    const answers: Message[] = [];
    call.on('data', (message: Message) => answers.push(message));
    for (let count = 1; count <= 3; count++) {
      call.write({ count });
      await until(() => answers.length === count);
    }
    call.end();
  });

  test('large messages and metadata pass, compressed ones too', async () => {
    const bytes = Buffer.alloc(3_000_000, 'abcdefg');
    const metadata = trailing('x-large-bin', Buffer.alloc(4_000, 7));
    // Not `toEqual`, which takes seconds for each megabyte.
    expect((await unary(client, { bytes }, metadata)).message.bytes?.equals(bytes)).toBe(true);
    expect(seen.get('x-large-bin')[0]).toHaveLength(4_000);
    const gzip = grpcClient(front.caller('api.test'), {
      'grpc.default_compression_algorithm': compressionAlgorithms.gzip,
    });
    expect((await unary(gzip, { bytes })).message.bytes?.equals(bytes)).toBe(true);
  });
});

describe('deadlines and cancellation', () => {
  test('a call ends with its deadline, at the origin too, which is told of less', async () => {
    const begun = Date.now();
    const error = await failure(unary(client, { text: 'never' }, new Metadata(), within(400)));
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
    expect(Date.now() - begun).toBeLessThan(2_000);
    await until(() => cancelled.includes('Once'));
  });

  test('a host may give calls less time than their clients do', async () => {
    const capped = grpcClient(front.caller('capped.test'));
    const error = await failure(unary(capped, { text: 'never' }, new Metadata(), within(20_000)));
    // The origin is told of a little less, so that its own status may come first.
    expect(error).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    // Also behind the first message of the answer.
    const streaming = await failure(collected(capped.Spread({ count: 2, text: 'stay' })));
    expect(streaming).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    await until(() => cancelled.includes('Spread'));
  });

  test('a client that cancels cancels at the origin', async () => {
    const call = client.Spread({ count: 1, text: 'stay' });
    const failed = failure(collected(call));
    await pause(200);
    call.cancel();
    expect((await failed).code).toBe(status.CANCELLED);
    await until(() => cancelled.includes('Spread'));
  });

  test('an origin that breaks off in the midst of its answer is told by a status', async () => {
    const error = await failure(collected(grpcClient(front.caller('broken.test')).Spread({ count: 3 })));
    expect(error, error.details).toMatchObject({ code: status.UNAVAILABLE });
    expect(detailsIn(error.metadata).info.reason).toMatch(/^origin\./);
  });
});

describe('denials', () => {
  test('who has no certificate gets a status with the reason in its details', async () => {
    const error = await failure(unary(grpcClient(front.caller('api.test', null)), { text: 'a' }));
    expect(error).toMatchObject({ code: status.UNAUTHENTICATED, details: 'A client certificate is required.' });
    const { code, info, retry } = detailsIn(error.metadata);
    expect({ code, retry }).toEqual({ code: status.UNAUTHENTICATED, retry: null });
    expect(info).toMatchObject({ reason: 'mtls.missing', domain: 'portcullis' });
    expect(info.metadata.requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  test('an origin that cannot be reached is unavailable, and says when to come back', async () => {
    const error = await failure(unary(grpcClient(front.caller('gone.test')), { text: 'a' }));
    expect(error, error.details).toMatchObject({ code: status.UNAVAILABLE });
    expect(detailsIn(error.metadata).info.reason).toBe('origin.connect');
  });

  test('a limit says when to come back', async () => {
    const limited = grpcClient(front.caller('limited.test'));
    await unary(limited, { text: 'a' });
    const error = await failure(unary(limited, { text: 'a' }));
    expect(error).toMatchObject({ code: status.RESOURCE_EXHAUSTED, details: 'Too many requests.' });
    const { info, retry } = detailsIn(error.metadata);
    expect(info.reason).toBe('limits.few');
    expect(retry?.retry_delay.seconds).toBeGreaterThan(3_000);
    expect(error.metadata.get('retry-after')).toEqual([String(retry?.retry_delay.seconds)]);
  });

  test('reflection is refused unless a host lets it through', async () => {
    for (const [host, code] of [
      ['api.test', 'grpc.reflection'],
      ['capped.test', undefined],
    ] as const) {
      const answer = await webCall(front.caller(host), '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo', {
        text: '',
      });
      const details = answer.trailers['grpc-status-details-bin'];
      expect(answer.trailers['grpc-status']).toBe('12');
      expect(details && detailsOf(Buffer.from(details, 'base64')).info.reason).toBe(code);
    }
  });
});

// --- gRPC-Web -----------------------------------------------------------------------------------------------------

interface WebAnswer {
  status: number;
  type: string;
  messages: Message[];
  trailers: Record<string, string>;
}

type WebDoor = (caller: Caller, path: string, headers: Record<string, string>, pieces: Buffer[]) => Promise<WebAnswer>;

const byHttp1: WebDoor = (caller, path, headers, pieces) => {
  const { port, host, ca, cert, key } = caller;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      { host: '127.0.0.1', servername: host, port, path, method: 'POST', ca, cert, key, headers: { host, ...headers } },
      response => {
        const body: Buffer[] = [];
        response.on('data', piece => body.push(piece));
        response.on('error', reject);
        response.on('end', () => {
          const type = response.headers['content-type'] ?? '';
          const read = unframe(Buffer.concat(body), type.includes('-text'));
          resolve({ status: response.statusCode ?? 0, type, ...read });
        });
      },
    );
    request.on('error', reject);
    writeSlowly(request, pieces);
  });
};

const byHttp2: WebDoor = (caller, path, headers, pieces) => {
  const connection = session(caller);
  return new Promise<WebAnswer>((resolve, reject) => {
    const stream = connection.request({ ':method': 'POST', ':path': path, ':authority': caller.host, ...headers });
    const body: Buffer[] = [];
    let head: Record<string, unknown> = {};
    stream.on('response', came => {
      head = came;
    });
    stream.on('data', piece => body.push(piece));
    stream.on('error', reject);
    stream.on('end', () => {
      const type = String(head['content-type']);
      resolve({ status: Number(head[':status']), type, ...unframe(Buffer.concat(body), type.includes('-text')) });
    });
    writeSlowly(stream, pieces);
  }).finally(() => connection.close());
};

/** Each piece by itself, so that the gateway reads them one by one. */
async function writeSlowly(sink: { write(piece: Buffer): unknown; end(): unknown }, pieces: Buffer[]) {
  for (const piece of pieces) {
    sink.write(piece);
    await pause(5);
  }
  sink.end();
}

const webCall = (caller: Caller, path: string, message: Message) =>
  byHttp1(caller, path, { 'content-type': 'application/grpc-web+proto' }, [frame(message)]);

/** Cuts at every third place, and then at every fifth: through frames and groups of base64. */
function cut(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, size = 3; at < bytes.length; at += size, size = 8 - size) pieces.push(bytes.subarray(at, at + size));
  return pieces;
}

describe.each([
  ['HTTP/1.1', byHttp1],
  ['HTTP/2', byHttp2],
] as const)('gRPC-Web over %s', (_, call) => {
  const caller = front.caller('api.test');

  test('a call is made gRPC and back', async () => {
    const headers = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1', 'x-user-agent': 'web' };
    const answer = await call(caller, '/test.v1.Echo/Once', headers, cut(frame({ text: 'hello' })));
    expect(answer).toMatchObject({ status: 200, type: 'application/grpc-web+proto', messages: [{ text: 'hello' }] });
    expect(answer.trailers).toMatchObject({ 'grpc-status': '0', 'x-trail-bin': 'AAEC/w==' });
    expect([seen.get('x-grpc-web'), seen.get('x-user-agent')]).toEqual([[], ['web']]);
  });

  test('text is read and written in base64, however it is cut and padded', async () => {
    const headers = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text' };
    const body = frame({ text: 'hello', bytes: Buffer.alloc(50, 1) });
    const text = [body.subarray(0, 7), body.subarray(7, 12), body.subarray(12)].map(part => part.toString('base64'));
    const answer = await call(caller, '/test.v1.Echo/Once', headers, cut(Buffer.from(text.join(''))));
    expect(answer).toMatchObject({ status: 200, type: 'application/grpc-web-text', messages: [{ text: 'hello' }] });
    expect(answer.trailers['grpc-status']).toBe('0');
    const wrong = await call(caller, '/test.v1.Echo/Once', headers, [Buffer.from('AAAA%%%%')]);
    expect(wrong.trailers).toMatchObject({ 'grpc-status': '3' });
  });

  test('a stream of answers and a status alone are frames too', async () => {
    const headers = { 'content-type': 'application/grpc-web+proto' };
    const answer = await call(caller, '/test.v1.Echo/Spread', headers, [frame({ count: 500 })]);
    expect(answer.messages).toHaveLength(500);
    expect(answer.trailers['grpc-status']).toBe('0');
    const wrong = await call(caller, '/test.v1.Echo/Once', headers, [frame({ text: 'wrong' })]);
    expect(wrong).toMatchObject({ status: 200, messages: [], trailers: { 'grpc-status': '9' } });
  });

  test('a denial is a frame of trailers', async () => {
    const headers = { 'content-type': 'application/grpc-web-text' };
    const answer = await call(front.caller('api.test', null), '/test.v1.Echo/Once', headers, []);
    expect(answer).toMatchObject({ status: 200, type: 'application/grpc-web-text', messages: [] });
    expect(answer.trailers).toMatchObject({ 'grpc-status': '16', 'grpc-message': 'A client certificate is required.' });
    const details = detailsOf(Buffer.from(answer.trailers['grpc-status-details-bin'] ?? '', 'base64'));
    expect(details.info.reason).toBe('mtls.missing');
  });

  test('a deadline is kept', async () => {
    const headers = { 'content-type': 'application/grpc-web+proto', 'grpc-timeout': '200m' };
    const answer = await call(caller, '/test.v1.Echo/Once', headers, [frame({ text: 'never' })]);
    expect(answer.trailers).toMatchObject({ 'grpc-status': '4' });
    await until(() => cancelled.includes('Once'));
    // Behind the first message of the answer as well.
    const streaming = await call(caller, '/test.v1.Echo/Spread', headers, [frame({ count: 2, text: 'stay' })]);
    expect(streaming).toMatchObject({ messages: [{}, { count: 1 }], trailers: { 'grpc-status': '4' } });
  });
});
