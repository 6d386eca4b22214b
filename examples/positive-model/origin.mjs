// The example's origin: items that say more than their description does.
//
//   node examples/positive-model/origin.mjs [port]

import { createServer } from 'node:http';

const ITEM = { id: 1, name: 'Lamp', price: 39.5, tags: ['light'] };
/** What no client was promised. */
const INTERNAL = { purchasePrice: 11.2, supplier: 'Lumen Ltd' };

const server = createServer({ keepAliveTimeout: 75_000 }, (request, response) => {
  request.resume();
  request.on('end', () => {
    const { pathname } = new URL(`http://origin${request.url}`);
    if (pathname === '/items') return answer(response, [{ ...ITEM, ...INTERNAL }], { 'x-total': '1' });
    if (request.method === 'PUT') return answer(response, { ...ITEM, ...INTERNAL });
    response.writeHead(204).end();
  });
});

function answer(response, body, headers = {}) {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

server.listen(Number(process.argv[2] ?? 3000), '127.0.0.1');
process.on('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
