import { beside, onlyPortcullis } from '../beside.mjs';
import { openapi, order, POST_BODY, unfit } from '../orders.mjs';

export const name = 'post-validated';
export const about = 'POST of 1 KiB (10 line items) and 20 KiB (100) with and without its schema check';

const SHOTS = {
  '1 KiB': { path: '/orders', body: POST_BODY, connections: 64 },
  '20 KiB': { path: '/orders', body: order(20 * 1024, 100), connections: 64 },
};

export const absent = onlyPortcullis;

export async function run(place) {
  return beside(place, name, SHOTS, {
    description: openapi(),
    settings: { on: { action: 'block' }, off: { action: 'off' } },
    violation: { method: 'POST', path: '/orders', body: unfit(POST_BODY), status: 400 },
  });
}
