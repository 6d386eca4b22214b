// An admin API that answers what a test says, on a real socket, and remembers what it was asked.

import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { atTheEnd } from './cleanup.js';

export interface Asked {
  method: string;
  path: string;
  query: Record<string, string>;
  headers: IncomingMessage['headers'];
  body: unknown;
}

export interface StubAnswer {
  status?: number;
  body?: unknown;
  headers?: Record<string, string>;
}

export interface StubAdmin {
  url: string;
  asked: Asked[];
  /** `GET /tokens`: what answers it, below /admin/v1. */
  answers: Record<string, StubAnswer | ((asked: Asked) => StubAnswer)>;
}

export async function stubAdmin(answers: StubAdmin['answers'] = {}): Promise<StubAdmin> {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const url = new URL(request.url ?? '/', 'http://stub');
    const text = Buffer.concat(pieces).toString();
    const one: Asked = {
      method: request.method ?? '',
      path: url.pathname.replace(/^\/admin\/v1/, ''),
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === '' ? undefined : request.headers['content-type'] === 'application/json' ? JSON.parse(text) : text,
    };
    asked.push(one);
    const known = answers[`${one.method} ${one.path}`] ?? { status: 404, body: { title: 'There is nothing here.' } };
    const { status = 200, body, headers = {} } = typeof known === 'function' ? known(one) : known;
    const type = status >= 400 ? 'application/problem+json' : 'application/json';
    response.writeHead(status, { 'content-type': type, ...headers });
    response.end(body === undefined || Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, answers };
}
