import { z } from 'zod';
import { file } from '../../config/units.js';

export const store = z
  .strictObject({
    folder: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Where SQLite keeps its files. Unless given, `$STATE_DIRECTORY` where systemd sets it, else `portcullis-state` beside the configuration. Not used with `url`.',
      ),
    url: z
      .string()
      .refine(url => /^postgres(ql)?:\/\//.test(url), {
        error: 'is no URL of PostgreSQL',
        params: { hint: 'it starts with `postgres://`' },
      })
      .optional()
      .describe(
        'PostgreSQL, for several gateways that share one store; best interpolated, it holds a password. TLS is verified unless the server is on this machine or `sslmode=disable` says so.',
      ),
    key: file()
      .optional()
      .describe(
        "File with the key that seals private keys: 32 bytes in base64 or hex. Otherwise `PORTCULLIS_STORE_KEY`, systemd's credential `portcullis-store-key`, or for SQLite `store.key` in its folder, made at the first start.",
      ),
  })
  .describe('Where issued certificates, keys of hosted authorities, tokens and the audit log are kept.');

export type StoreConfig = z.output<typeof store>;
