// The end of an authority: who would be locked out, and the end itself.

import { Refusal } from '../admin/api.js';
import { findAuthority, refuseRetired } from './authorities.js';
import { rfc3339 } from './lifetime.js';
import type { By, Pki } from './service.js';

/** What counts as being in use. */
const SEEN_MS = 30 * 86_400_000;
/** Certificates that are shown; the number tells of the others. */
const SHOWN = 100;

/** Certificates of an authority that came in the last 30 days, and the hosts that trust it. */
export async function retirement(pki: Pki, name: string) {
  const { db } = pki.store;
  const { state } = await findAuthority(db, name);
  const now = pki.now();
  const seen = db
    .selectFrom('seen')
    .where('authority', '=', name)
    .where('last_seen', '>', now - SEEN_MS);
  const { count } = await seen.select(({ fn }) => fn.countAll().as('count')).executeTakeFirstOrThrow();
  const rows = await seen
    .select(['fingerprint', 'subject', 'last_seen', 'requests', 'hosts'])
    .orderBy('last_seen', 'desc')
    .limit(SHOWN)
    .execute();
  const { valid } = await db
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll().as('valid'))
    .where('authority', '=', name)
    .where('not_after', '>', now)
    .executeTakeFirstOrThrow();
  const rules = await db.selectFrom('mtls_rules').select(['host', 'path', 'trust']).execute();
  return {
    name,
    state,
    certificates_in_use: Number(count),
    certificates_valid: Number(valid),
    hosts: pki.hosts.filter(({ trust }) => trust.includes(name)).map(host => host.name),
    rules: rules
      .filter(({ trust }) => (JSON.parse(trust) as string[]).includes(name))
      .map(({ host, path }) => ({ host, path })),
    in_use: rows.map(({ last_seen, hosts, ...row }) => ({
      ...row,
      last_seen: rfc3339(last_seen),
      hosts: JSON.parse(hosts) as string[],
    })),
  };
}

/** From now on nobody is let in by it, and it issues nothing. What it has taken back stays known. */
export async function retire(pki: Pki, name: string, confirm: string | undefined, by: By): Promise<void> {
  if (confirm !== name) {
    throw new Refusal(
      422,
      'Retiring an authority locks out everybody who comes with one of its certificates.',
      `Look at GET /pki/authorities/${name}/retirement, then send "confirm": "${name}".`,
    );
  }
  await pki.store.write(['authorities'], async (tx, revisions) => {
    refuseRetired(await findAuthority(tx, name));
    const state = { state: 'retired' as const, version: revisions.authorities };
    await tx.updateTable('authorities').set(state).where('name', '=', name).execute();
    await tx.updateTable('generations').set({ state: 'withdrawn' }).where('authority', '=', name).execute();
    await by.audit(tx, revisions, {
      action: 'pki.authority.retire',
      target: name,
      before: { state: 'active' },
      after: { state: 'retired' },
    });
  });
}
