// The example's origin: it says what it was told of the caller, and what reached it of the credential.
//
//   node examples/callers/origin.mjs [port]

import { createServer } from 'node:http';

const server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
  request.resume();
  request.on('end', () => {
    const { authorization, 'x-api-key': key, 'x-user-id': user, 'x-department': department } = request.headers;
    const text = `${JSON.stringify({ path: request.url, user, department, credential: authorization ?? key ?? 'none' })}\n`;
    response.writeHead(request.method === 'POST' ? 201 : 200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    });
    response.end(text);
  });
});

server.listen(Number(process.argv[2] ?? 3000), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
