import { z } from 'zod';
import { duration } from '../../config/units.js';

/** More than a process may have descriptors. */
const MOST = 1_000_000;

export const connections = z
  .strictObject({
    max: z.int().min(1).max(MOST).default(65_536).describe('Open client connections; above, new ones are closed.'),
    perAddress: z
      .int()
      .min(1)
      .max(MOST)
      .default(4_096)
      .describe(
        'Open connections of one IPv4 address, or of one IPv6 network of 64 bits. Many clients behind one address (a load balancer, a carrier) need as many as `max`.',
      ),
    handshakes: z
      .int()
      .min(1)
      .max(MOST)
      .default(4_096)
      .describe('Connections that have not sent their ClientHello yet; above, the one that waited longest is closed.'),
    helloTimeout: duration('100ms', '1m').prefault('5s').describe('How long a client may take for its ClientHello.'),
  })
  .describe('Bounds on client connections; with `h2: false` nobody holds them.');

export type Connections = z.output<typeof connections>;
