import { beside, onlyPortcullis } from '../beside.mjs';
import { openapi, STOCK, STOCK_GET } from '../orders.mjs';

export const name = 'get-parameters';
export const about = 'GET with six typed parameters (path, query with an array, header) with and without their check';

export const absent = onlyPortcullis;

export async function run(place) {
  return beside(
    place,
    name,
    { 'six parameters': { ...STOCK_GET, connections: 64 } },
    {
      description: openapi({ more: STOCK }),
      settings: { on: { action: 'block' }, off: { action: 'off' } },
      violation: { ...STOCK_GET, path: STOCK_GET.path.replace('limit=50', 'limit=500'), status: 400 },
    },
  );
}
