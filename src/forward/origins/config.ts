import { z } from 'zod';
import { duration } from '../../config/units.js';

const url = z
  .string()
  .meta({ title: 'origin URL', forms: ['http://127.0.0.1:3000', 'https://orders.internal'] })
  .describe(
    '`http://name-or-address:port`, or `https://` for TLS. A name stands for all its addresses and is resolved again every 30 s.',
  );

const tls = z
  .strictObject({
    authorities: z
      .string()
      .optional()
      .describe(
        "Who may have issued the origin's certificate: a PEM file. Left out: the authorities that Node.js ships (Mozilla's).",
      ),
    serverName: z
      .string()
      .min(1)
      .optional()
      .describe('The name that its certificate has to cover, and that is asked for (SNI). Left out: that of the URL.'),
    certificate: z
      .string()
      .optional()
      .describe('What is shown to an origin that asks for a client certificate: a PEM file, leaf first.'),
    key: z.string().optional().describe('Its key, PEM.'),
    allowUnverified: z
      .boolean()
      .default(false)
      .describe('Takes any certificate. Whoever is on the way can then read and change what is sent.'),
  })
  .describe('How an origin with an `https://` URL is known, and what it is shown. TLS 1.2 and 1.3.');

const detailed = z
  .strictObject({
    url: url.optional().describe('One origin URL; give this or `addresses`.'),
    addresses: z.array(url).min(1).optional().describe('Several origin URLs, used in turn; give these or `url`.'),
    protocol: z
      .enum(['http1', 'h2'])
      .default('http1')
      .describe(
        'What is spoken: HTTP/1.1, or HTTP/2 (over TLS by ALPN, with prior knowledge in the clear). gRPC needs `h2`; WebSockets need `http1`.',
      ),
    tls: tls.optional(),
    connections: z
      .int()
      .min(1)
      .max(65_535)
      .default(256)
      .describe(
        'Most connections that each edge thread keeps to one address. One of HTTP/2 takes up to 100 requests at once.',
      ),
    timeouts: z
      .strictObject({
        connect: duration('10ms', '5m')
          .prefault('2s')
          .describe('To a connected socket, TLS and the settings of HTTP/2 included.'),
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
export type OriginTlsConfig = z.output<typeof tls>;
/** Bounds of an origin written as a bare URL. */
export const originDefaults = () => detailed.parse({ url: '' });
