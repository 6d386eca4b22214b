// A TLS front before what answers own paths, in place of the gateway: asks for client certificates, verifies them by
// the authorities of the store, and hands over what an edge thread would.

import { createServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { storedAuthorities } from '../../src/manage/pki/authorities.js';
import { answerOwn } from '../../src/manage/pki/own.js';
import type { Pki } from '../../src/manage/pki/service.js';
import { atTheEnd } from './cleanup.js';
import { authority } from './pki.js';

export interface Front {
  url: string;
  /** Of the server's certificate, PEM. */
  ca: string;
}

/** Trusts what is in the store when it starts. */
export async function ownFront(pki: Pki): Promise<Front> {
  const root = await authority('servers');
  const { cert, key } = await root.server(['localhost']);
  const ca = (await storedAuthorities(pki.store)).map(
    ({ certificates, intermediates }) => certificates + intermediates,
  );
  const answer = answerOwn(pki);
  const server = createServer(
    { cert, key, requestCert: true, rejectUnauthorized: false, ca },
    async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      const socket = request.socket as TLSSocket;
      const certificate = socket.getPeerX509Certificate()?.toString() ?? null;
      const { status, headers, body } = await answer(
        {
          method: request.method ?? '',
          path: request.url ?? '',
          host: request.headers.host ?? '',
          contentType: request.headers['content-type'] ?? null,
          authorization: request.headers.authorization ?? null,
          verified: certificate !== null && socket.authorized,
          certificate,
          address: socket.remoteAddress ?? '',
        },
        Buffer.concat(pieces),
      );
      response.writeHead(status, headers.flat()).end(body);
    },
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => server.close());
  const { port } = server.address() as { port: number };
  return { url: `https://127.0.0.1:${port}`, ca: root.pem };
}
