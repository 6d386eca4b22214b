// What of an authority may change: its profiles, and how the revocation of an imported one is looked up.

import { z } from 'zod';
import { expectVersion, Refusal } from '../admin/api.js';
import { findAuthority, refuseRetired } from './authorities.js';
import { profile, profileName, profiles } from './profiles.js';
import type { By, Pki } from './service.js';
import { revocation, revocationOf, settingsOf } from './settings.js';

export const changes = z.strictObject({
  profiles: z
    .record(profileName, profile.nullable())
    .optional()
    .describe('By name; others stay as they are, null takes one away.'),
  revocation: revocation.optional(),
});

export type Changes = z.output<typeof changes>;

export async function changeAuthority(pki: Pki, name: string, wanted: Changes, version: number, by: By): Promise<void> {
  await pki.store.write(['authorities'], async (tx, revisions) => {
    const row = await findAuthority(tx, name);
    expectVersion(version, row.version);
    refuseRetired(row);
    if (wanted.revocation && row.kind === 'hosted') {
      throw new Refusal(422, 'What a hosted authority takes back is known here.', 'Ask without `revocation`.');
    }
    const [settings, lookedUp] = [settingsOf(row), revocationOf(row)];
    const all = Object.entries({ ...settings.profiles, ...wanted.profiles }).filter(([, one]) => one !== null);
    const { data: kept, error } = profiles.safeParse(Object.fromEntries(all));
    if (error) throw new Refusal(422, `The profiles ${error.issues[0]?.message ?? 'are not as described'}.`);
    const after = { profiles: kept, revocation: wanted.revocation ?? lookedUp };
    await tx
      .updateTable('authorities')
      .set({
        settings: JSON.stringify({ ...settings, profiles: kept }),
        revocation: JSON.stringify(after.revocation),
        version: revisions.authorities,
      })
      .where('name', '=', name)
      .execute();
    const before = { profiles: settings.profiles, revocation: lookedUp };
    await by.audit(tx, revisions, { action: 'pki.authority.change', target: name, before, after });
  });
}
