import { z } from 'zod';
import { duration } from '../../config/units.js';

const url = z
  .string()
  .meta({ title: 'origin URL', forms: ['http://127.0.0.1:3000'] })
  .describe('`http://name-or-address:port`. A name stands for all its addresses and is resolved again every 30 s.');

const detailed = z
  .strictObject({
    url: url.optional().describe('One origin URL; give this or `addresses`.'),
    addresses: z.array(url).min(1).optional().describe('Several origin URLs, used in turn; give these or `url`.'),
    connections: z
      .int()
      .min(1)
      .max(65_535)
      .default(256)
      .describe('Most connections that each edge thread keeps to one address.'),
    timeouts: z
      .strictObject({
        connect: duration('10ms', '5m').prefault('2s').describe('To a connected socket.'),
        firstByte: duration('10ms', '1h')
          .prefault('30s')
          .describe('From the request to the first byte of the response.'),
        idle: duration('10ms', '1h').prefault('60s').describe('Longest silence within a response.'),
      })
      .prefault({})
      .describe('How long the origin may take. Past them the client is answered 504.'),
  })
  .transform((written, issues) => {
    const urls = written.addresses ?? (written.url === undefined ? [] : [written.url]);
    if (urls.length === 0 || (written.url !== undefined && written.addresses !== undefined)) {
      issues.addIssue({ code: 'custom', message: 'wants either `url` or `addresses`' });
    }
    return { written: written.url === undefined ? 'addresses' : 'url', urls, ...written };
  });

export const origin = z
  .union([url, detailed])
  .describe('Where requests of this host are forwarded to: an origin URL, or an object with its bounds.');

export type Origin = z.output<typeof origin>;
/** Bounds of an origin written as a bare URL. */
export const originDefaults = () => detailed.parse({ url: '' });
