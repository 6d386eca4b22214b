import { beside, onlyPortcullis } from '../beside.mjs';
import { EXPORTS, openapi } from '../orders.mjs';

export const name = 'get-response';
export const about =
  'GET that the origin answers with 1 KiB and 20 KiB of JSON, with and without the check of the answer';

const SHOTS = {
  '1 KiB': { path: '/exports/small', connections: 64 },
  '20 KiB': { path: '/exports/large', connections: 64 },
};

export const absent = onlyPortcullis;

export async function run(place) {
  return beside(place, name, SHOTS, {
    description: openapi({ more: EXPORTS }),
    settings: { on: { responses: { action: 'block' } }, off: { responses: { action: 'off' } } },
    violation: { path: '/exports/unfit', status: 502 },
  });
}
