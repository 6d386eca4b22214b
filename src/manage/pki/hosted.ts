// Authorities that the configuration names as hosted: made with defaults at the first start.

import { auditable, insert, newAuthority, newHosted } from './create.js';
import { byItself, type Pki } from './service.js';

/**
 * Makes those of the names that the store does not have yet. Several processes may do so at once: one of them makes
 * each. Answers what this one made.
 */
export async function ensureHosted(pki: Pki, names: readonly string[]): Promise<string[]> {
  const made: string[] = [];
  for (const name of names) {
    const known = await pki.store.db
      .selectFrom('authorities')
      .select('name')
      .where('name', '=', name)
      .executeTakeFirst();
    if (known) continue;
    const row = await newHosted(pki, newAuthority.parse({ name }));
    const first = await pki.store.write(['authorities'], async (tx, revisions) => {
      if (!(await insert(pki, tx, row, revisions.authorities))) return false;
      const change = { action: 'pki.authority.create', target: name, after: auditable(row) };
      await byItself('system').audit(tx, revisions, change);
      return true;
    });
    if (first) made.push(name);
  }
  return made;
}
