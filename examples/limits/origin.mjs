// The example's origin: a log-in with one good password, and an export that takes its time.
//
//   node examples/limits/origin.mjs [port]

import { createServer } from 'node:http';

const EXPORT_MS = 4_000;

const server = createServer({ keepAliveTimeout: 75_000 }, async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let [status, answer] = [200, { path: request.url }];
  if (request.url === '/login') {
    const { user, password } = JSON.parse(Buffer.concat(chunks).toString());
    [status, answer] = password === 'correct horse' ? [200, { user }] : [401, { error: 'not so' }];
  }
  if (request.url === '/exports') await new Promise(done => setTimeout(done, EXPORT_MS));
  const text = `${JSON.stringify(answer)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
});

server.listen(Number(process.argv[2] ?? 3000), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
