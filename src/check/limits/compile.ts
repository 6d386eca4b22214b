// Rate limits, as the engine takes them: those of the configuration, then those that stand in API descriptions.
// Expressions are parsed by the engine.

import type { ReadPair } from '../../config/certificates.js';
import type { Loading } from '../../config/loading.js';
import { child, pointer } from '../../config/pointer.js';
import type { PolicyExpression, PolicyLimits } from '../../config/policy.js';
import type { LimitsConfig } from './config.js';
import { compileDatabases, type DatabasePlan } from './databases.js';
import { type DescribedHost, describedLimits } from './described.js';
import { warnOfDatabases, warnOfLimit } from './remarks.js';
import { compileLimit, type Written } from './rule.js';
import { compileShared, type SharedPlan } from './shared.js';

const AT = '/limits';
/** Each is looked at for every request that reaches it. */
const MAX_LIMITS = 2_000;
/** Reasons that are not a limit's name. */
const TAKEN = new Set(['quota', 'full', 'unavailable']);

/** What limits need to know of the rest of the configuration. */
export interface Around {
  hosts: readonly DescribedHost[];
  /** Expressions that may ask where an address is as well. */
  rules: readonly PolicyExpression[];
  readPair: ReadPair;
}

interface CompiledLimits {
  policy: PolicyLimits;
  /** null: nothing is counted together with others. */
  shared: SharedPlan | null;
  databases: DatabasePlan[];
}

export function compileLimits(config: LimitsConfig, around: Around, loading: Loading): CompiledLimits {
  const { entries, allowUncounted, headers, allowIdentities, quotas } = config;
  const shared = config.shared ? compileShared(config.shared, child(AT, 'shared'), loading, around.readPair) : null;
  const databases = compileDatabases(config.databases, loading);
  const names = new Map<string, string>();
  const own = config.rules.map(({ name, expression, ...limit }, index): Written => {
    const at = pointer(['limits', 'rules', index]);
    checkName(name, child(at, 'name'), names, loading);
    const where = expression === undefined ? null : { at: child(at, 'expression'), expression };
    const keys = new Set(loading.names(loading.original(at)));
    return { name, at, limit, keys, expression: where, operation: null };
  });
  const described = describedLimits(around.hosts, names, TAKEN, loading);
  const written = [...own, ...described];
  if (written.length > MAX_LIMITS) {
    loading.problem(child(AT, 'rules'), `${written.length} limits, those of the API descriptions included`, {
      key: true,
      hint: `at most ${MAX_LIMITS}: one limit can hold for many operations, told apart by \`portcullis.operation\``,
    });
  }
  for (const one of written) {
    warnOfLimit(one, { hosts: around.hosts, databases: config.databases }, loading);
    checkServers(one.limit.mode, child(one.at, 'mode'), loading);
  }
  for (const { at, expression } of around.rules) warnOfDatabases(expression, at, config.databases, loading);
  checkServers(quotas.mode, `${AT}/quotas/mode`, loading);
  const shares = [...written.map(({ limit }) => limit.mode), quotas.mode].some(mode => mode !== 'local');
  if (config.shared && !shares) {
    loading.warning(child(AT, 'shared'), 'nothing is counted there', {
      key: true,
      hint: 'a limit says so with `mode: fast` or `mode: strict`',
    });
  }
  const policy = {
    rules: written.slice(0, MAX_LIMITS).map(one => compileLimit(one, loading)),
    entries,
    allow_uncounted: allowUncounted,
    headers,
    allow_identities: allowIdentities,
    quotas,
    shared: { prefix: config.shared?.prefix ?? 'portcullis', cluster: shared?.kind === 'cluster' },
  };
  return { policy, shared, databases };
}

function checkName(name: string, at: string, names: Map<string, string>, loading: Loading): void {
  if (TAKEN.has(name)) {
    loading.problem(at, `\`limits.${name}\` is a reason of its own`, { hint: 'another name' });
  } else if (names.has(name)) {
    loading.problem(at, `another limit is called \`${name}\` already`, {
      hint: 'the name is the reason, log field and metric label, and its counters are kept under it',
    });
  }
  names.set(name, at);
}

function checkServers(mode: string, at: string, loading: Loading): void {
  if (mode === 'local' || loading.names(AT).includes('shared')) return;
  loading.problem(at, `\`${mode}\` needs counters that the fleet shares`, {
    hint: 'add `limits.shared`, such as `shared: { url: "rediss://valkey.internal:6379" }`; or `local`',
  });
}
