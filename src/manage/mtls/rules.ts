// Client-certificate policy that is set through the API and kept in the store: what Cloudflare's form for API Shield
// rules makes. It stands in front of what the configuration says of the same host and path.

import type { Store } from '../store/open.js';
import type { MtlsRulesTable } from '../store/tables.js';

export interface MtlsRule {
  id: string;
  host: string;
  /** Prefix of whole segments; `/` is the whole host. */
  path: string;
  mode: MtlsRulesTable['mode'];
  action: MtlsRulesTable['action'];
  trust: string[];
  createdAt: number;
  version: number;
}

export async function mtlsRules(store: Store): Promise<MtlsRule[]> {
  const rows = await store.db.selectFrom('mtls_rules').selectAll().orderBy('host').orderBy('path').execute();
  return rows.map(ruleOf);
}

export async function mtlsRule(store: Store, id: string): Promise<MtlsRule | null> {
  const row = await store.db.selectFrom('mtls_rules').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? ruleOf(row) : null;
}

export function ruleOf({ trust, created_at, ...row }: MtlsRulesTable): MtlsRule {
  return { ...row, trust: JSON.parse(trust) as string[], createdAt: created_at };
}
