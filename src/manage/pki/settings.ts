// What is kept of an authority beside its certificates: the columns `settings` and `revocation`, both JSON.

import { z } from 'zod';
import type { PolicyRevocation } from '../../config/policy.js';
import type { Store } from '../store/open.js';
import type { AuthoritiesTable } from '../store/tables.js';
import type { KeyType, Names, Signer, Subject } from './commands.js';
import type { Profile } from './profiles.js';

export interface Settings {
  /** Of its first generation; null where it was imported. */
  subject: Subject | null;
  key_type: KeyType | null;
  /** As written: `10y`. */
  validity: string | null;
  name_constraints: { permitted: Names; excluded: Names } | null;
  profiles: Record<string, Profile>;
  /** Above the certificates that issue; its key is sealed for `authorities/<name>/root`. */
  root: { certificate: string; sealed_key: string } | null;
}

export function settingsOf(row: Pick<AuthoritiesTable, 'settings'>): Settings {
  return JSON.parse(row.settings);
}

/** What a hosted authority takes back is in this store: nothing has to be looked up elsewhere. */
export const KNOWN_HERE: PolicyRevocation = { stale: 'hard', grace_s: 0, fetch: false, ocsp: false };

const MAX_GRACE_S = 30 * 86_400;

/** How the revocation of an imported authority is looked up. */
export const revocation = z
  .strictObject({
    stale: z
      .enum(['hard', 'soft', 'grace'])
      .default('hard')
      .describe('What an unknown or outdated standing means: denied, passed, or passed for `grace_s` seconds.'),
    grace_s: z.int().min(0).max(MAX_GRACE_S).default(0),
    fetch: z.boolean().default(false).describe('Revocation lists are fetched from where the certificates say.'),
    ocsp: z.boolean().default(false).describe('The responder that certificates name is asked.'),
  })
  .describe('How the revocation of its certificates is looked up.');

export function revocationOf(row: Pick<AuthoritiesTable, 'revocation'>): PolicyRevocation {
  return JSON.parse(row.revocation);
}

export const purpose = {
  /** Of `generations.sealed_key`. */
  generation: (id: string) => `generations/${id}`,
  root: (authority: string) => `authorities/${authority}/root`,
};

export function rootOf(store: Store, authority: string, { root }: Settings): Signer | null {
  return root && { certificate: root.certificate, key: store.unseal(root.sealed_key, purpose.root(authority)) };
}
