import { z } from 'zod';
import { file } from '../../config/units.js';

const role = z.enum(['viewer', 'operator', 'admin']);

export const admin = z
  .strictObject({
    tls: z
      .strictObject({
        certificate: file().describe('Certificate of the admin port followed by its intermediates, PEM.'),
        key: file().describe('Its private key, PEM, not encrypted.'),
      })
      .optional()
      .describe('Has the admin port speak HTTPS only. Without it `listen.admin` stays on loopback.'),
    clients: z
      .strictObject({
        trust: z.array(z.string()).min(1).describe('Names of the authorities whose certificates count here.'),
        roles: z
          .record(z.string(), role)
          .describe(
            'What a certificate may do, by its subject (RFC 4514, such as `CN=alice,O=Example`) or its fingerprint (SHA-256, hex). A certificate that is not named is refused.',
          ),
      })
      .optional()
      .describe('Client certificates that are as good as tokens. Needs `tls`.'),
    hosts: z
      .array(z.string().min(1).max(253))
      .default([])
      .describe(
        "Names and addresses that clients call the admin port by, beside loopback's and those in its certificate. Requests for others are refused (DNS rebinding).",
      ),
  })
  .describe('Who reaches the admin API, and how.');

export type AdminConfig = z.output<typeof admin>;
