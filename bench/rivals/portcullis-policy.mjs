// The policy Portcullis is measured with: rules of the usual kinds that the load never matches (a match would end the
// evaluation early), and an order API of 50 operations.

/** The usual kinds, in the proportions of a hand-written rule set. */
const USUAL = [
  'any(http.request.headers["x-blocked"][*] eq "1")',
  'http.host eq "old.example.com"',
  'http.request.uri.path eq "/internal"',
  'starts_with(http.request.uri.path, "/admin/")',
  'http.request.method in {"TRACE" "TRACK" "DEBUG"}',
  'ip.src eq 203.0.113.9',
  'ip.src in {198.51.100.0/24 203.0.113.0/24}',
  'ip.src in $blocked_ips',
  'http.user_agent contains "sqlmap"',
  'lower(http.user_agent) contains "nikto"',
  'http.request.uri.path matches "[.](php|asp|env)$"',
  'ends_with(http.request.uri.path, ".bak")',
  'http.request.uri.query contains "../"',
  'len(http.request.uri.query) gt 2048',
  'any(http.request.cookies["impersonate"][*] eq "yes")',
  'http.request.uri.path wildcard "/v0/*"',
  'cf.tls_client_auth.cert_issuer_dn contains "Retired CA"',
  'not cf.tls_client_auth.cert_verified and http.host eq "localhost"',
  'cf.tls_client_auth.cert_serial eq "00ff"',
  'http.request.method eq "DELETE" and not ip.src in {10.0.0.0/8 127.0.0.0/8}',
];

/** The first of the usual kinds. */
export function rules(count) {
  if (count > USUAL.length) throw new Error(`there are ${USUAL.length} usual rules; see manyRules`);
  return USUAL.slice(0, count).map((expression, index) => ({ name: `usual-${index}`, expression, action: 'block' }));
}

/** Host, path, method and address rules in equal parts, as lists grown over years look. */
export function manyRules(count) {
  const address = index => `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`;
  const kinds = [
    index => `http.host eq "tenant-${index}.example.com"`,
    index => `http.request.uri.path eq "/retired/${index}"`,
    index => `starts_with(http.request.uri.path, "/legacy/${index}/")`,
    index => `http.request.method eq "PUT" and http.request.uri.path eq "/frozen/${index}"`,
    index => `ip.src eq ${address(index)}`,
    index => `ip.src in {${address(index << 8)}/24}`,
  ];
  // The proofs look for a rule that blocks: the first one is it.
  const first = { name: 'usual-0', expression: USUAL[0], action: 'block' };
  const rest = Array.from({ length: count - 1 }, (_, index) => ({
    name: `many-${index}`,
    expression: kinds[index % kinds.length](index),
    action: 'block',
  }));
  return [first, ...rest];
}

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
