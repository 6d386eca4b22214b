import { z } from 'zod';
import { file } from '../../config/units.js';

export const tls = z
  .strictObject({
    certificate: file().describe('Certificate of the host followed by its intermediates, PEM.'),
    key: file().describe('Its private key, PEM, not encrypted.'),
  })
  .describe('What the gateway shows to clients of this host. The first host also serves clients that send no SNI.');

export type Tls = z.output<typeof tls>;
