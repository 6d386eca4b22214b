// The next generation of an authority: it issues from now on, and the one before is trusted until a date.

import { z } from 'zod';
import { Refusal } from '../admin/api.js';
import {
  type AuthorityRow,
  findAuthority,
  type Generation,
  generationsOf,
  isTrusted,
  refuseRetired,
} from './authorities.js';
import {
  broughtAuthority,
  insertGeneration,
  MAX_BROUGHT,
  type Made,
  makeGeneration,
  newRoot,
  readBrought,
} from './create.js';
import { lifetime, milliseconds, rfc3339 } from './lifetime.js';
import { KEY_TYPES } from './profiles.js';
import type { By, Pki } from './service.js';
import { type Settings, settingsOf } from './settings.js';

/** Generations that are trusted at once: each is one more key that can issue for the same clients. */
const MAX_TRUSTED = 4;

export const rotation = z.strictObject({
  overlap: lifetime('0h', '10y')
    .default('90d')
    .describe('How long what was trusted until now stays so: the time in which every client gets a new certificate.'),
  key_type: z.enum(KEY_TYPES).optional().describe('Of a hosted authority: another kind of key from now on.'),
  validity: lifetime('1d', '50y').optional().describe('Of a hosted authority: another validity from now on.'),
  new_root: z.boolean().default(false).describe('Of a hosted authority with a root: a new root as well.'),
  certificates: broughtAuthority.shape.certificates
    .optional()
    .describe('Of an imported authority: its new certificates, PEM.'),
  intermediates: broughtAuthority.shape.intermediates,
  key: broughtAuthority.shape.key,
});

export type Rotation = z.output<typeof rotation>;

export async function rotate(pki: Pki, name: string, wanted: Rotation, by: By): Promise<void> {
  const { store } = pki;
  const authority = await findAuthority(store.db, name);
  refuseRetired(authority);
  const known = await generationsOf(store.db, name);
  const number = (known[0]?.number ?? 0) + 1;
  const { settings, made } = await (authority.kind === 'hosted' ? renewed : replaced)(pki, authority, wanted, number);
  await store.write(['authorities'], async (tx, revisions) => {
    const row = await findAuthority(tx, name);
    const before = await generationsOf(tx, name);
    if (row.version !== authority.version || before[0]?.number !== known[0]?.number) {
      throw new Refusal(
        409,
        `The authority ${name} was changed in the meantime.`,
        'Look at it, and ask again if need be.',
      );
    }
    const now = pki.now();
    const trusted = before.filter(generation => isTrusted(generation, now));
    refuseMany(name, authority, trusted, made.length);
    const until = now + milliseconds(wanted.overlap);
    for (const { id, trusted_until } of trusted) {
      // What was to end earlier still does.
      const end = Math.min(trusted_until ?? until, until);
      await tx.updateTable('generations').set({ trusted_until: end }).where('id', '=', id).execute();
    }
    for (const [index, one] of made.entries()) await insertGeneration(pki, tx, name, number + index, one);
    const changed = { settings: JSON.stringify(settings), version: revisions.authorities };
    await tx.updateTable('authorities').set(changed).where('name', '=', name).execute();
    await by.audit(tx, revisions, {
      action: 'pki.authority.rotate',
      target: name,
      before: trusted.map(({ id, key_id, trusted_until }) => ({ id, key_id, trusted_until })),
      after: { overlap: wanted.overlap, until, generations: made.map(({ subject, key_id }) => ({ subject, key_id })) },
    });
  });
}

interface Next {
  settings: Settings;
  made: Made[];
}

async function renewed(pki: Pki, authority: AuthorityRow, wanted: Rotation, number: number): Promise<Next> {
  const { name } = authority;
  if (wanted.certificates !== undefined || wanted.intermediates !== undefined || wanted.key !== undefined) {
    throw new Refusal(
      422,
      `The authority ${name} is hosted: its certificates are made here.`,
      'Ask without certificates and key.',
    );
  }
  const before = settingsOf(authority);
  const settings: Settings = {
    ...before,
    key_type: wanted.key_type ?? before.key_type,
    validity: wanted.validity ?? before.validity,
  };
  if (wanted.new_root) {
    if (!before.root) throw new Refusal(422, `The authority ${name} has no root above it.`, 'Ask without new_root.');
    settings.root = await newRoot(pki, name, settings, number);
  }
  const made = await makeGeneration(pki, name, settings, number);
  const end = pki.now() + milliseconds(wanted.overlap);
  if (settings.root && made.not_after <= end) {
    throw new Refusal(
      422,
      `The root of ${name} ends on ${rfc3339(made.not_after)}, within the overlap.`,
      'Ask with new_root: true, and give the new root to those who verify by it.',
    );
  }
  return { settings, made: [made] };
}

async function replaced(pki: Pki, authority: AuthorityRow, wanted: Rotation): Promise<Next> {
  const { certificates, intermediates, key } = wanted;
  if (certificates === undefined) {
    throw new Refusal(
      422,
      `The authority ${authority.name} was imported: its next certificates have to be given.`,
      'Send `certificates`, PEM.',
    );
  }
  if (wanted.key_type !== undefined || wanted.validity !== undefined || wanted.new_root) {
    throw new Refusal(422, 'key_type, validity and new_root are for hosted authorities.', 'Ask without them.');
  }
  return { settings: settingsOf(authority), made: await readBrought(pki, { certificates, intermediates, key }) };
}

function refuseMany(name: string, { kind }: AuthorityRow, trusted: Generation[], added: number): void {
  const most = kind === 'hosted' ? MAX_TRUSTED : MAX_BROUGHT;
  if (trusted.length + added <= most) return;
  const next = Math.min(...trusted.map(({ trusted_until }) => trusted_until ?? Number.POSITIVE_INFINITY));
  const when = Number.isFinite(next) ? ` The next one ends on ${rfc3339(next)}.` : '';
  throw new Refusal(
    409,
    `The authority ${name} would have ${trusted.length + added} generations that are trusted.`,
    `${most} at most.${when}`,
  );
}
