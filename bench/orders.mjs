// The order API of the bench: its description of 50 operations, and the bodies that are sent and answered.

const RESOURCES = [
  'orders',
  'customers',
  'products',
  'invoices',
  'payments',
  'shipments',
  'returns',
  'carts',
  'coupons',
  'stores',
];

/** 10 resources with 5 operations each, and `more` paths. */
export function openapi({ version = '3.1.0', more = {} } = {}) {
  const paths = {};
  for (const resource of RESOURCES) {
    const answer = status => ({ responses: { [status]: { description: 'done' } } });
    const body = { required: true, content: { 'application/json': { schema: { $ref: ORDER_AT } } } };
    const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } };
    paths[`/${resource}`] = {
      get: { operationId: `list-${resource}`, ...answer(200) },
      post: { operationId: `create-${resource}`, requestBody: body, ...answer(201) },
    };
    paths[`/${resource}/{id}`] = {
      parameters: [id],
      get: { operationId: `read-${resource}`, ...answer(200) },
      put: { operationId: `replace-${resource}`, requestBody: body, ...answer(200) },
      delete: { operationId: `delete-${resource}`, ...answer(204) },
    };
  }
  return describe(version, { ...paths, ...more });
}

/** One operation, whose body is an order. */
export function onlyOrders() {
  const { post } = openapi().paths['/orders'];
  return describe('3.1.0', { '/orders': { post } });
}

function describe(version, paths) {
  const info = { title: 'Bench orders', version: '1' };
  return { openapi: version, info, paths, components: { schemas: { Order: ORDER, Line: LINE } } };
}

const ORDER_AT = '#/components/schemas/Order';

const LINE = {
  type: 'object',
  required: ['sku', 'quantity', 'price_cents'],
  additionalProperties: false,
  properties: {
    sku: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{4}$' },
    quantity: { type: 'integer', minimum: 1, maximum: 1000 },
    price_cents: { type: 'integer', minimum: 0 },
    gift: { type: 'boolean' },
    text: { type: 'string', maxLength: 200 },
  },
};

const ORDER = {
  type: 'object',
  required: ['customer', 'currency', 'lines'],
  additionalProperties: false,
  properties: {
    customer: { type: 'string', minLength: 1, maxLength: 64 },
    currency: { enum: ['EUR', 'USD', 'GBP'] },
    placed: { type: 'string', format: 'date-time' },
    lines: { type: 'array', minItems: 1, maxItems: 250, items: { $ref: '#/components/schemas/Line' } },
    note: { type: 'string', maxLength: 500 },
  },
};

/** Six typed parameters: two in the path, three in the query, one of them an array, and a header. */
export const STOCK = {
  '/stores/{region}/{store}/stock': {
    get: {
      operationId: 'read-stock',
      parameters: [
        { name: 'region', in: 'path', required: true, schema: { enum: ['eu', 'us', 'ap'] } },
        { name: 'store', in: 'path', required: true, schema: { type: 'integer', minimum: 1, maximum: 9999 } },
        { name: 'since', in: 'query', required: true, schema: { type: 'string', format: 'date' } },
        { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 100 } },
        {
          name: 'status',
          in: 'query',
          schema: { type: 'array', maxItems: 4, items: { enum: ['open', 'held', 'gone'] } },
        },
        { name: 'X-Tenant', in: 'header', required: true, schema: { type: 'string', format: 'uuid' } },
      ],
      responses: { 200: { description: 'done' } },
    },
  },
};

export const STOCK_GET = {
  path: '/stores/eu/17/stock?since=2026-01-05&limit=50&status=open&status=held',
  headers: { 'x-tenant': '0f5e2a1c-8b7d-4c3e-9a60-5d1f7e2b4c88' },
};

/** Orders that the origin answers: see ANSWERS in rivals/origin.mjs. */
export const EXPORTS = {
  '/exports/{name}': {
    parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
    get: {
      operationId: 'read-export',
      responses: { 200: { description: 'done', content: { 'application/json': { schema: { $ref: ORDER_AT } } } } },
    },
  },
};

/** An order of exactly `size` bytes with that many lines; it fits its schema. */
export function order(size, count) {
  const lines = Array.from({ length: count }, (_, index) => ({
    sku: `AB-${1000 + index}`,
    quantity: index + 1,
    price_cents: 1990 + index,
    gift: index % 2 === 0,
    text: '',
  }));
  const whole = { customer: 'c-1042', currency: 'EUR', placed: '2026-01-05T09:30:00Z', lines, note: '' };
  const spare = size - JSON.stringify(whole).length;
  if (spare < 0) throw new Error(`${count} lines take ${-spare} bytes more than ${size}`);
  for (const line of lines) line.text = words(Math.floor(spare / count));
  whole.note = words(spare % count);
  return JSON.stringify(whole);
}

/** The same order with a quantity that its schema refuses, on its last line. */
export function unfit(body) {
  return body.replace(/(.*"quantity":)\d+/s, '$10');
}

function words(length) {
  return 'leave it at the door, please; '.repeat(Math.ceil(length / 30)).slice(0, length);
}

/** An order of 1 KiB. */
export const POST_BODY = order(1024, 10);
