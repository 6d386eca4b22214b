// The body of a call: of the type that is asked for, within its bound, and the text that it says it is.

import type { Context } from 'hono';
import { Refusal } from './refusal.js';

/** Of a body, unless an operation asks for more: a certificate request with its chain has some KiB. */
export const MAX_BODY_BYTES = 2 ** 20;

/** Of a body that is too large, read and thrown away: closed while its client still writes, the answer would be lost. */
const MAX_DISCARDED_BYTES = 16 * 2 ** 20;

const JSON_TYPE = 'application/json';

export interface Expected {
  /** Media type without parameters; JSON unless given. */
  bodyType?: string;
  /** As it came, a Buffer. */
  bytes?: true;
  maxBytes?: number;
}

/** Text, or what JSON says; `undefined` for an empty JSON body. Throws Refusal. */
export async function readBody(
  exchange: Context,
  { bodyType = JSON_TYPE, bytes, maxBytes }: Expected,
): Promise<unknown> {
  // A form of another site can be posted without asking first, but not as one of these types (Fetch, CORS).
  if (mediaType(exchange) !== bodyType) {
    const title = `The body has to be ${bodyType}.`;
    throw new Refusal(415, title, `Send Content-Type: ${bodyType}`, [], { headers: { Accept: bodyType } });
  }
  const body = await bounded(exchange, maxBytes ?? MAX_BODY_BYTES);
  if (bytes) return body;
  const text = utf8(body);
  if (bodyType !== JSON_TYPE) return text;
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch {
    throw new Refusal(400, 'The body is not JSON.');
  }
}

/** Of an operation that has no body: none that it would pass over in silence. */
export function refuseBody(exchange: Context): void {
  const length = exchange.req.header('content-length');
  if ((length === undefined || length === '0') && exchange.req.header('transfer-encoding') === undefined) return;
  throw new Refusal(415, 'This operation takes no body.');
}

function mediaType(exchange: Context): string {
  return (exchange.req.header('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

async function bounded(exchange: Context, most: number): Promise<Buffer> {
  const tooLarge = () =>
    new Refusal(413, 'The body is too large.', `At most ${most} bytes.`, [], { headers: { Connection: 'close' } });
  const announced = Number(exchange.req.header('content-length') ?? 0);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = exchange.req.raw.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done || !value) break;
    length += value.byteLength;
    if (length > most + MAX_DISCARDED_BYTES) {
      void reader?.cancel().catch(() => {});
      break;
    }
    if (Math.max(announced, length) > most) pieces.length = 0;
    else pieces.push(value);
  }
  if (Math.max(announced, length) > most) throw tooLarge();
  return Buffer.concat(pieces);
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Refusal(400, 'The body is not UTF-8.');
  }
}
