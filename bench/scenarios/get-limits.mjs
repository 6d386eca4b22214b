import { beside, metric, onlyPortcullis } from '../beside.mjs';
import { openapi } from '../orders.mjs';

export const name = 'get-limits';
export const about =
  'GET of get-mtls that three local limits count, beside none: by address, by operation and certificate, by a header (to reach: 1.03)';

export const absent = onlyPortcullis;

// Never reached, and counted all the same: a window counts no more than that.
const AMOUNT = 2_000_000;
const RULES = [
  { name: 'address', characteristics: ['cidr(ip.src, 24, 64)'] },
  {
    name: 'operation',
    characteristics: ['portcullis.operation', 'cf.tls_client_auth.cert_fingerprint_sha256'],
    algorithm: 'slidingWindow',
  },
  {
    name: 'client',
    expression: 'starts_with(http.request.uri.path, "/orders")',
    characteristics: ['http.request.headers["user-agent"]'],
  },
];

export async function run(place) {
  const rules = RULES.map(rule => ({ ...rule, requestsPerPeriod: AMOUNT, period: '1s' }));
  return beside(
    place,
    name,
    { 'three limits': { path: '/orders/1', connections: 64 } },
    { description: openapi(), options: { on: { config: { limits: { rules } } }, off: {} }, proof },
  );
}

/** Each request was counted by each of the limits. */
async function proof({ on }, samples) {
  const requests = [...samples.get(on.name).values()].flat().reduce((sum, { requests }) => sum + requests, 0);
  for (const rule of RULES) {
    const checked = await metric(on, 'portcullis_limits_checked_total', `limit="${rule.name}"`);
    if (checked < requests) throw new Error(`${rule.name} has looked at ${checked} of ${requests} requests`);
  }
}
