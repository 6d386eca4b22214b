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

/** 10 resources with 5 operations each. */
export function openapi() {
  const paths = {};
  for (const resource of RESOURCES) {
    const answer = status => ({ responses: { [status]: { description: 'done' } } });
    const body = {
      required: true,
      content: { 'application/json': { schema: { $ref: '#/components/schemas/Order' } } },
    };
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
  const info = { title: 'Bench orders', version: '1' };
  return { openapi: '3.1.0', info, paths, components: { schemas: { Order: ORDER, Line: LINE } } };
}

const LINE = {
  type: 'object',
  required: ['sku', 'quantity', 'price_cents'],
  additionalProperties: false,
  properties: {
    sku: { type: 'string', pattern: '^[A-Z]{2}-[0-9]{4}$' },
    quantity: { type: 'integer', minimum: 1, maximum: 1000 },
    price_cents: { type: 'integer', minimum: 0 },
    gift: { type: 'boolean' },
  },
};

const ORDER = {
  type: 'object',
  required: ['customer', 'currency', 'lines'],
  additionalProperties: false,
  properties: {
    customer: { type: 'string', minLength: 1, maxLength: 64 },
    currency: { enum: ['EUR', 'USD', 'GBP'] },
    lines: { type: 'array', minItems: 1, maxItems: 100, items: { $ref: '#/components/schemas/Line' } },
    note: { type: 'string', maxLength: 500 },
  },
};

/** An order of exactly 1 KiB that fits its schema. */
export const POST_BODY = order(1024);

/** The same order with a quantity that its schema refuses, on its last line. */
export const UNSCHEMED_POST = POST_BODY.replace('"quantity":12,', '"quantity":-2,');

function order(size) {
  const lines = Array.from({ length: 12 }, (_, index) => ({
    sku: `AB-${1000 + index}`,
    quantity: index + 1,
    price_cents: 1990 + index,
    gift: index % 2 === 0,
  }));
  const text = note => JSON.stringify({ customer: 'c-1042', currency: 'EUR', lines, note });
  return text('x'.repeat(size - text('').length));
}
