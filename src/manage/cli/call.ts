// One HTTP exchange with a gateway: bounded in time and size, never redirected, on a connection of its own.

import { type ClientRequest, request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { Exit, Fault } from './fault.js';

/** A bundle of a thousand certificates with their keys is 4 MB, a list of a million revocations 40. */
const MAX_ANSWER_BYTES = 64 * 2 ** 20;

export interface Tls {
  /** Instead of the system's authorities. */
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

export interface Sent {
  method: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  tls?: Tls;
  timeoutMs: number;
}

export interface Answered {
  status: number;
  contentType: string;
  etag: string | null;
  body: Buffer;
}

/** Throws a Fault that says what would do when there is no whole answer. */
export function call(url: URL, { method, headers = {}, body, tls = {}, timeoutMs }: Sent): Promise<Answered> {
  const secure = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const options = { method, headers, agent: false as const, signal: AbortSignal.timeout(timeoutMs) };
    const fail = (error: NodeJS.ErrnoException) => reject(unreachable(url, error, timeoutMs));
    let asked: ClientRequest;
    try {
      asked = secure ? tlsRequest(url, { ...options, ...tls, minVersion: 'TLSv1.2' }) : plainRequest(url, options);
    } catch (error) {
      reject(new Fault(`the certificate or key cannot be used: ${(error as Error).message}`, Exit.Usage));
      return;
    }
    asked.on('error', fail);
    asked.on('response', answer => {
      const pieces: Buffer[] = [];
      let size = 0;
      answer.on('data', (piece: Buffer) => {
        size += piece.length;
        if (size <= MAX_ANSWER_BYTES) pieces.push(piece);
        else asked.destroy(new Error(`the answer is larger than ${MAX_ANSWER_BYTES / 2 ** 20} MiB`));
      });
      answer.on('error', fail);
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          contentType: (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '',
          etag: answer.headers.etag ?? null,
          body: Buffer.concat(pieces),
        }),
      );
    });
    asked.end(body);
  });
}

function unreachable(url: URL, error: NodeJS.ErrnoException, timeoutMs: number): Fault {
  const cannot = (why: string, ...lines: string[]) =>
    new Fault(`${url.origin} cannot be reached: ${why}`, Exit.Unreachable, lines);
  const code = error.code ?? '';
  if (error.name === 'AbortError' || error.name === 'TimeoutError') {
    return cannot(`no whole answer within ${timeoutMs / 1_000} s`, 'wait longer with `--timeout 60s`');
  }
  if (code === 'ECONNREFUSED') {
    return cannot(
      'nothing listens there',
      'start the gateway with `portcullis run`, or name its admin port with `--admin` or PORTCULLIS_ADMIN',
    );
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return cannot(`the name ${url.hostname} has no address`);
  if (UNTRUSTED.has(code)) {
    return cannot(
      `its certificate is not trusted (${code})`,
      'name the authority that issued it with `--ca authority.pem`',
    );
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return cannot('its certificate is for another name');
  if (code === 'EPROTO' || code.startsWith('ERR_SSL')) {
    return cannot(`TLS failed (${error.message})`, 'does it speak TLS there, and want a client certificate?');
  }
  if (code === 'ECONNRESET' || code === 'HPE_INVALID_CONSTANT' || code === 'EPIPE') {
    return cannot('the connection broke off', url.protocol === 'http:' ? 'does it want https there?' : '');
  }
  return cannot(error.message);
}

const UNTRUSTED = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
]);
