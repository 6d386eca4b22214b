// The example's origin: a small order service on 127.0.0.1:3000, kept in memory. It knows nothing of the gateway and
// takes what reaches it as already checked, as services behind a gateway do.
//
//   node examples/quickstart/origin.mjs [port]
//   curl http://127.0.0.1:3000/orders/1

import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const MAX_BODY_BYTES = 64 * 1024;
/** Old orders make room for new ones: the demo may run for weeks. */
const MAX_ORDERS = 10_000;

/** The order service, not yet listening. */
export function orderService() {
  const orders = new Map();
  let lastId = 0;
  const place = order => {
    const placed = { id: ++lastId, status: 'open', placedAt: new Date().toISOString(), ...order };
    orders.set(placed.id, placed);
    if (orders.size > MAX_ORDERS) orders.delete(orders.keys().next().value);
    return placed;
  };
  place({ customer: 'ada', lines: [{ sku: 'LAMP-01', quantity: 2 }], status: 'shipped' });
  place({ customer: 'grace', lines: [{ sku: 'DESK-07', quantity: 1 }] });

  return createServer({ keepAliveTimeout: 75_000 }, async (request, response) => {
    try {
      const { pathname, searchParams } = new URL(`http://origin${request.url}`);
      const [, collection, id, ...rest] = pathname.split('/');
      if (collection !== 'orders' || rest.length > 0) return refuse(response, 404, 'no such resource');

      if (id === undefined) {
        if (request.method === 'POST') {
          const order = await bodyOf(request);
          const { id: placedId, ...placed } = place({ customer: order.customer, lines: order.lines, note: order.note });
          return answer(response, 201, { id: placedId, ...placed }, { location: `/orders/${placedId}` });
        }
        if (isRead(request)) {
          const status = searchParams.get('status');
          return answer(response, 200, { orders: [...orders.values()].filter(o => !status || o.status === status) });
        }
        return refuse(response, 405, 'not a method of this resource', { allow: 'GET, HEAD, POST' });
      }
      if (!isRead(request)) return refuse(response, 405, 'not a method of this resource', { allow: 'GET, HEAD' });
      const order = /^[1-9]\d*$/.test(id) ? orders.get(Number(id)) : undefined;
      return order ? answer(response, 200, order) : refuse(response, 404, 'no such order');
    } catch (error) {
      return refuse(response, error.status ?? 500, error.status ? error.message : 'internal error');
    }
  });
}

function isRead(request) {
  return request.method === 'GET' || request.method === 'HEAD';
}

async function bodyOf(request) {
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > MAX_BODY_BYTES) throw Object.assign(new Error('body too large'), { status: 413 });
    pieces.push(piece);
  }
  try {
    const order = JSON.parse(Buffer.concat(pieces).toString('utf8'));
    if (order !== null && typeof order === 'object') return order;
  } catch {}
  throw Object.assign(new Error('body is no JSON object'), { status: 400 });
}

function answer(response, status, body, headers = {}) {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

function refuse(response, status, error, headers = {}) {
  answer(response, status, { error }, headers);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const server = orderService().listen(Number(process.argv[2] ?? 3000), '127.0.0.1');
  server.on('error', error => {
    console.error(error.message);
    process.exitCode = 1;
  });
  process.on('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
  });
}
