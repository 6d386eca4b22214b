// gRPC through the gateway by another implementation of it: grpcio, whose HTTP/2 is its own. Its client makes the calls of
// gRPC's interoperability tests to a server of grpcio, with messages held against their description, and to one of
// @grpc/grpc-js without; a client of @grpc/grpc-js calls grpcio's server.

import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  credentials,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceClientConstructor,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { atTheEnd, temporaryFolder } from '../support/cleanup.js';
import { type Front, startFront } from '../support/front.js';
import { fromPypi } from '../support/pypi.js';
import { pause, until } from '../support/waiting.js';

const VERSION = '1.85.1';
/** Nothing is compiled; what it needs is of one version as well. */
const OPTIONS = ['--only-binary', ':all:', `grpcio==${VERSION}`, 'protobuf==7.36.2'];
const SUPPORT = join(import.meta.dirname, '../support');
const PROTO = join(SUPPORT, 'interop.proto');
const CASES = [
  'empty_unary',
  'large_unary',
  'compressed_unary',
  'client_streaming',
  'compressed_client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'many_at_once',
  'deadline_is_told',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'custom_metadata',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
];

const definition = loadSync(PROTO, { keepCase: true, defaults: true });
const interop = definition['test.interop.v1.Interop'] as unknown as ServiceDefinition;

describe('grpcio', () => {
  const missing = `grpcio ${VERSION} could not be installed from PyPI`;
  let isInstalled = false;
  const env = { ...process.env, PYTHONPATH: '' };
  let front: Front;
  /** What grpcio's server printed: its port, then what was cancelled. */
  let printed = '';
  /** What went wrong in each case, by host. */
  const told: Record<string, Record<string, string | null>> = {};

  beforeAll(async () => {
    const installed = fromPypi('grpcio-tools', VERSION, OPTIONS);
    isInstalled = installed !== null;
    if (!isInstalled) return;
    const modules = temporaryFolder();
    env.PYTHONPATH = `${installed}:${modules}`;
    const made = ['-m', 'grpc_tools.protoc', '-I', SUPPORT, `--python_out=${modules}`, `--grpc_python_out=${modules}`];
    const { status: exit, stderr } = spawnSync('python3', [...made, PROTO], { env });
    expect(exit, String(stderr)).toBe(0);

    const server = python(['serve'], piece => (printed += piece));
    atTheEnd(() => server.kill('SIGKILL'));
    await until(() => printed.includes('\n'));
    const origin = { url: `http://127.0.0.1:${Number.parseInt(printed, 10)}`, protocol: 'h2' };
    const described = {
      protos: { files: ['interop.proto'], includes: [SUPPORT] },
      action: 'block',
      fallthrough: 'block',
      unknownFields: 'block',
    };
    front = await startFront({
      'python.test': { origin, grpc: described },
      'node.test': { origin: { url: await nodeOrigin(), protocol: 'h2' }, grpc: {} },
    });
    for (const host of ['python.test', 'node.test']) told[host] = await callAll(host);
  }, 600_000);

  beforeEach(({ skip }) => {
    skip(!isInstalled && !process.env.CI, missing);
    if (!isInstalled) throw new Error(missing);
  });

  function python(args: string[], print: (piece: string) => void) {
    const child = spawn('python3', ['-u', join(SUPPORT, 'interop.py'), ...args], { env });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', piece => print(String(piece)));
    return child;
  }

  async function callAll(host: string): Promise<Record<string, string | null>> {
    let said = '';
    const child = python(['call'], piece => (said += piece));
    atTheEnd(() => child.kill('SIGKILL'));
    child.stdin.end(JSON.stringify(front.caller(host)));
    await new Promise(resolve => child.once('close', resolve));
    const line = said.split('\n').find(line => line.startsWith('{'));
    if (line === undefined) throw new Error(said);
    return JSON.parse(line);
  }

  describe.each(['python.test', 'node.test'])('calls %s', host => {
    test.each(CASES)('%s', name => {
      expect(told[host]?.[name]).toBeNull();
    });
  });

  test('every case is told', () => {
    for (const host of Object.values(told)) expect(Object.keys(host)).toEqual(CASES);
  });

  test('what it cancels is cancelled at the origin', async () => {
    // Once and Talk by their deadlines, and Talk once more.
    await until(() => printed.match(/^cancelled Talk$/gm)?.length === 2 && /^cancelled Once$/m.test(printed));
  });

  test('it is called by another client', async () => {
    const { port, ca, key, cert } = front.caller('python.test');
    const secure = credentials.createSsl(Buffer.from(ca), Buffer.from(key ?? ''), Buffer.from(cert ?? ''));
    const packages = loadPackageDefinition(definition) as never;
    const { Interop } = (packages as { test: { interop: { v1: { Interop: ServiceClientConstructor } } } }).test.interop
      .v1;
    const client = new Interop(`127.0.0.1:${port}`, secure, {
      'grpc.ssl_target_name_override': 'python.test',
      'grpc.default_authority': 'python.test',
    });
    atTheEnd(() => client.close());
    const asked = { payload: Buffer.alloc(30_000), answers: [{ bytes: 40_000 }, { bytes: 5 }] };
    const call = client.Talk?.() as unknown as ServerDuplexStream<Answer, object>;
    const sizes: number[] = [];
    call.on('data', ({ payload }: Answer) => sizes.push(payload.length));
    call.write(asked);
    await until(() => sizes.length === 2);
    call.write({ ...asked, ending: { code: status.DATA_LOSS, message: 'no more' } });
    const error = await new Promise(resolve => call.once('error', resolve));
    expect([sizes, error]).toMatchObject([[40_000, 5], { code: status.DATA_LOSS, details: 'no more' }]);
  });
});

// --- the same server by @grpc/grpc-js -------------------------------------------------------------------------------

interface Ask {
  payload: Buffer;
  answers: { bytes: number; pause_ms: number }[];
  ending: { code: number; message: string } | null;
}

interface Answer {
  payload: Buffer;
  asked: number;
  left_ms: number;
}

async function nodeOrigin(): Promise<string> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(interop, {
    Empty: (_: unknown, answer: sendUnaryData<object>) => answer(null, {}),
    async Once(call: ServerUnaryCall<Ask, Answer>, answer: sendUnaryData<Answer>) {
      const trailers = echoed(call);
      const { request } = call;
      if (request.ending !== null) answer({ ...named(request.ending), metadata: trailers });
      else for await (const one of answers(call, request)) return answer(null, one, trailers);
    },
    Gather(call: ServerReadableStream<Ask, object>, answer: sendUnaryData<object>) {
      const sum = { messages: 0, bytes: 0 };
      call.on('data', ({ payload }: Ask) => {
        sum.messages += 1;
        sum.bytes += payload.length;
      });
      call.on('end', () => answer(null, sum, echoed(call)));
    },
    async Spread(call: ServerWritableStream<Ask, Answer>) {
      const trailers = echoed(call);
      for await (const one of answers(call, call.request)) call.write(one);
      if (call.request.ending !== null) call.emit('error', { ...named(call.request.ending), metadata: trailers });
      else call.end(trailers);
    },
    Talk(call: ServerDuplexStream<Ask, Answer>) {
      const trailers = echoed(call);
      let answered = Promise.resolve();
      call.on('data', (request: Ask) => {
        answered = answered.then(async () => {
          for await (const one of answers(call, request)) call.write(one);
          if (request.ending !== null) call.emit('error', { ...named(request.ending), metadata: trailers });
        });
      });
      call.on('end', () => answered.then(() => call.end(trailers)));
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  atTheEnd(() => server.forceShutdown());
  return `http://127.0.0.1:${port}`;
}

type Call = Pick<ServerUnaryCall<Ask, Answer>, 'metadata' | 'getDeadline' | 'sendMetadata'>;

const named = ({ code, message }: { code: number; message: string }) => ({ code, details: message });

/** Sends what is echoed ahead of the answer; what is echoed behind it. */
function echoed(call: Call): Metadata {
  const [head, trailers] = [new Metadata(), new Metadata()];
  for (const value of call.metadata.get('x-interop-initial')) head.add('x-interop-initial', value);
  for (const value of call.metadata.get('x-interop-trailing-bin')) trailers.add('x-interop-trailing-bin', value);
  call.sendMetadata(head);
  return trailers;
}

async function* answers(call: Call, request: Ask): AsyncGenerator<Answer> {
  const left = Number(call.getDeadline()) - Date.now();
  const left_ms = left > 0 && left < 3_600_000 ? left : 0;
  for (const { bytes, pause_ms } of request.answers) {
    await pause(pause_ms);
    yield { payload: Buffer.alloc(bytes), asked: request.payload.length, left_ms };
  }
}
