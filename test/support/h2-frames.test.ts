// The client that sends any frames, against a server that others wrote.

import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { atTheEnd } from './cleanup.js';
import { connectFrames, ErrorCode, Frame, indexed } from './h2-frames.js';
import { authority } from './pki.js';

test('it asks, and reads status, fields, body and trailers', async () => {
  const servers = await authority('servers');
  const { cert, key } = await servers.server(['localhost']);
  const server = createSecureServer({ cert, key });
  server.on('stream', (stream, headers) => {
    stream.respond(
      { ':status': 418, 'x-long': 'q'.repeat(300), 'x-path': headers[':path'] },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'Ünïque'.length.toString() }));
    stream.end('it');
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  atTheEnd(() => server.close());
  const { port } = server.address() as AddressInfo;
  const client = await connectFrames({ port, host: 'localhost', ca: servers.pem });
  client.begin();
  for (const stream of [1, 3]) {
    client.request(stream, `/${stream}`);
    expect(await client.outcome(stream)).toMatchObject({
      status: 418,
      fields: expect.arrayContaining([
        ['x-long', 'q'.repeat(300)],
        ['x-path', `/${stream}`],
      ]),
      body: 'it',
      trailers: [['x-sum', '6']],
    });
  }
  client.frame(Frame.Headers, 5, 5, indexed);
  expect(await client.goneAway()).toBe(ErrorCode.Compression);
});
