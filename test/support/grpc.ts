// gRPC by @grpc/grpc-js: an origin that echoes, clients that come through the gateway, and gRPC-Web by hand.

import { fileURLToPath } from 'node:url';
import {
  type ChannelOptions,
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceClientConstructor,
  type ServiceDefinition,
  type ServiceError,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { atTheEnd } from './cleanup.js';
import type { Caller } from './https.js';

export const ECHO_PROTO = fileURLToPath(new URL('./echo.proto', import.meta.url));
const definition = loadSync(ECHO_PROTO, { keepCase: true, longs: Number, defaults: true });
export const echo = definition['test.v1.Echo'] as unknown as ServiceDefinition;
const details = definition['test.v1.Details'] as unknown as ServiceDefinition;

export interface Message {
  text?: string | undefined;
  count?: number | undefined;
  bytes?: Buffer | undefined;
}

/** What a denial says besides its code. */
export interface Detailed {
  code: number;
  message: string;
  info: { reason: string; domain: string; metadata: Record<string, string> };
  retry: { retry_delay: { seconds: number } } | null;
  violations: { field: string; description: string }[];
}

export interface GrpcOrigin {
  url: string;
  server: Server;
}

/** An origin with that service, in the clear. */
export async function grpcOrigin(service: UntypedServiceImplementation): Promise<GrpcOrigin> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  server.addService(echo, service);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  atTheEnd(() => server.forceShutdown());
  return { url: `http://127.0.0.1:${port}`, server };
}

/** A client of the echo service that presents the caller's certificate. */
// biome-ignore lint/suspicious/noExplicitAny: methods are made at run time
export function grpcClient({ port, host, ca, cert, key }: Caller, options: ChannelOptions = {}): any {
  const secure = credentials.createSsl(
    Buffer.from(ca),
    key === undefined ? null : Buffer.from(key),
    cert === undefined ? null : Buffer.from(cert),
  );
  const packages = loadPackageDefinition({ 'test.v1.Echo': definition['test.v1.Echo'] } as never) as never;
  const Echo = (packages as { test: { v1: { Echo: ServiceClientConstructor } } }).test.v1.Echo;
  const client = new Echo(`127.0.0.1:${port}`, secure, {
    'grpc.ssl_target_name_override': host,
    'grpc.default_authority': host,
    'grpc.max_receive_message_length': -1,
    'grpc.enable_retries': 0,
    ...options,
  });
  atTheEnd(() => (client as unknown as Client).close());
  return client;
}

/** A unary call's answer, with what came around it. */
export function unary(
  // biome-ignore lint/suspicious/noExplicitAny: as above
  client: any,
  message: Message,
  metadata = new Metadata(),
  options: object = {},
): Promise<{ message: Message; head: Metadata; trailers: Metadata }> {
  return new Promise((resolve, reject) => {
    let [head, trailers] = [new Metadata(), new Metadata()];
    const call = client.Once(message, metadata, options, (error: ServiceError | null, answer: Message) => {
      if (error) reject(error);
      else setImmediate(() => resolve({ message: answer, head, trailers }));
    });
    call.on('metadata', (came: Metadata) => {
      head = came;
    });
    call.on('status', (status: { metadata: Metadata }) => {
      trailers = status.metadata;
    });
  });
}

/** The error that a call ends with. */
export async function failure(call: Promise<unknown>): Promise<ServiceError> {
  try {
    await call;
  } catch (error) {
    return error as ServiceError;
  }
  throw new Error('the call succeeded');
}

/** What `grpc-status-details-bin` holds. */
export function detailsOf(value: Buffer): Detailed {
  const read = <T>(method: string, bytes: Buffer): T => details[method]?.responseDeserialize(bytes) as T;
  const status = read<{ code: number; message: string; details: { type_url: string; value: Buffer }[] }>(
    'OfStatus',
    value,
  );
  const find = <T>(name: string): T | null => {
    const found = status.details.find(({ type_url }) => type_url === `type.googleapis.com/google.rpc.${name}`);
    return found ? read<T>(`Of${name}`, found.value) : null;
  };
  const bad = find<{ field_violations: Detailed['violations'] }>('BadRequest');
  return {
    code: status.code,
    message: status.message,
    info: find('ErrorInfo') as Detailed['info'],
    retry: find('RetryInfo'),
    violations: bad?.field_violations ?? [],
  };
}

export const detailsIn = (metadata: Metadata) => detailsOf(metadata.get('grpc-status-details-bin')[0] as Buffer);

// --- gRPC-Web -----------------------------------------------------------------------------------------------------

/** A message as it is framed. */
export function frame(message: Message): Buffer {
  const bytes = echo.Once?.requestSerialize(message) as Buffer;
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** The messages and the trailers of a body. Text may be padded anywhere. */
export function unframe(body: Buffer, text = false): { messages: Message[]; trailers: Record<string, string> } {
  let bytes = body;
  if (text) bytes = Buffer.concat((body.toString().match(/.{4}/g) ?? []).map(four => Buffer.from(four, 'base64')));
  const messages: Message[] = [];
  let trailers: Record<string, string> | null = null;
  for (let at = 0; at < bytes.length; ) {
    if (trailers !== null) throw new Error('something follows the trailers');
    const length = bytes.readUInt32BE(at + 1);
    const content = bytes.subarray(at + 5, at + 5 + length);
    if (content.length < length) throw new Error('the last frame is cut off');
    if (bytes[at] === 0x80) {
      const lines = content.toString().split('\r\n').filter(Boolean);
      trailers = Object.fromEntries(lines.map(line => line.split(/: ?(.*)/s).slice(0, 2)));
    } else {
      messages.push(echo.Once?.responseDeserialize(content) as unknown as Message);
    }
    at += 5 + length;
  }
  return { messages, trailers: trailers ?? {} };
}
