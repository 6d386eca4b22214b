// A call of gRPC written down: the messages that go with a request.

import { readFileSync } from 'node:fs';
import type { Policy } from '../../config/policy.js';
import { type Request, RequestFault } from './request.js';

/** Of the native door: a message of a method as its client would send it. */
export type EncodeMessage = (descriptors: string, path: string, json: string) => Uint8Array;

/** The request as a call of what its path names, as a client of gRPC would send it. */
export function asCall(request: Request, messages: readonly string[], policy: Policy, encode: EncodeMessage): Request {
  const field = (wanted: string) => request.fields.find(([name]) => name === wanted)?.[1] ?? '';
  const host = field('host').replace(/:\d*$/, '').toLowerCase();
  const descriptors = policy.hosts.find(({ name }) => name === host)?.grpc?.descriptors;
  const path = request.target.replace(/[?#].*/s, '');
  const bytes = messages.map(written => {
    const read = bytesOf(written);
    if (Buffer.isBuffer(read)) return read;
    if (!descriptors) throw new RequestFault(`${host || 'the host'} has no description of its services: give bytes`);
    try {
      return Buffer.from(encode(descriptors, path, read));
    } catch (error) {
      throw new RequestFault(`\`${written}\` is no message for ${path}: ${(error as Error).message}`);
    }
  });
  const body = Buffer.concat(bytes.flatMap(message => [prefix(message.length), message]));
  const own = ['content-type', 'content-length', 'transfer-encoding', 'te'];
  const fields = request.fields.filter(([name]) => !own.includes(name));
  fields.push(['content-type', 'application/grpc'], ['te', 'trailers'], ['content-length', String(body.length)]);
  return { method: 'POST', target: request.target, fields, body };
}

/** JSON as text; anything else as bytes. */
function bytesOf(written: string): string | Buffer {
  const [, coding, text = ''] = /^(hex|base64):(.*)$/s.exec(written) ?? [];
  if (coding === 'hex' || coding === 'base64') {
    const bytes = Buffer.from(text, coding);
    const again = bytes.toString(coding);
    if (again.replaceAll('=', '') !== (coding === 'hex' ? text.toLowerCase() : text.replaceAll('=', ''))) {
      throw new RequestFault(`\`${written}\` is not ${coding === 'hex' ? 'hexadecimal' : 'base64'}`);
    }
    return bytes;
  }
  const bytes = written.startsWith('@') ? contents(written.slice(1)) : Buffer.from(written);
  if (/^\s*[{["]/.test(bytes.subarray(0, 100).toString('latin1'))) return bytes.toString();
  if (!written.startsWith('@')) throw new RequestFault(`\`${written}\` is no JSON, \`@file\`, \`hex:\` or \`base64:\``);
  return bytes;
}

function contents(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new RequestFault((error as Error).message);
  }
}

/** Not compressed, and so long. */
function prefix(length: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}
