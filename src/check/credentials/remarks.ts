// What is worth a warning: operations that everybody may call, and credentials that nobody checks.

import type { Loading } from '../../config/loading.js';
import type { PolicyMtls } from '../../config/policy.js';
import type { DescribedOperation, DescribedSecurity, Stated } from '../../config/security.js';

/** Operations that let everybody pass and are told of one by one: nobody reads on. */
const MAX_TOLD = 50;

/** Whether there is something to be asked for: no alternative, or an empty one, lets everybody pass. */
export function asks(any: readonly (readonly unknown[])[]): boolean {
  return any.length > 0 && any.every(needs => needs.length > 0);
}

/** Operations that everybody may call although nobody said that it is meant so, and those that nobody speaks of. */
export function warnOfOpen(
  operations: readonly DescribedOperation[],
  stated: readonly Stated[],
  loading: Loading,
): void {
  const open = operations.filter(({ security }, index) => {
    const { by, public: said } = stated[index] as Stated;
    return by === 'description' && !said && security !== null && !asks(security.any);
  });
  const hint = 'if it is meant so, `x-portcullis: { public: true }` beside it says it';
  const places = [...new Set(open.map(({ at }) => at))];
  for (const at of places.slice(0, MAX_TOLD)) {
    loading.warning(at, 'this operation requires nothing, and does not say that it is public', { hint });
  }
  if (places.length > MAX_TOLD) {
    const message = `${places.length - MAX_TOLD} more operations require nothing, the first of them here`;
    loading.warning(places[MAX_TOLD] as string, message, { hint });
  }
  const silent = [...new Set(operations.flatMap(({ at }, index) => (stated[index]?.by === 'default' ? at : [])))];
  if (silent.length > 0) {
    const [words, verb] = silent.length === 1 ? ['1 operation', 'says'] : [`${silent.length} operations`, 'say'];
    const first = silent.length === 1 ? '' : ', the first of them here';
    const message = `${words} ${verb} nothing of who may call: any token or key of the host is enough${first}`;
    const hint = '`security` in the description, or `require` under `credentials`, says which';
    loading.warning(silent[0] as string, message, { hint });
  }
}

/** Of a host that asks for no credentials. */
export function warnOfUnenforced(described: DescribedSecurity | null, mtls: PolicyMtls, loading: Loading): void {
  const demanded = mtls.mode === 'require' && mtls.action === 'block' && mtls.paths.length === 0;
  const asking = (described?.operations ?? []).flatMap(({ security, own }) => {
    if (own && (own.roles.length > 0 || own.claims.length > 0)) return own.at;
    if (security === null || !asks(security.any)) return [];
    const bySchemes = security.any.some(needs => needs.every(({ scheme }) => demanded && scheme.type === 'mutualTLS'));
    return bySchemes ? [] : security.at;
  });
  if (asking.length === 0) return;
  const [words, verb] = asking.length === 1 ? ['1 operation', 'asks'] : [`${asking.length} operations`, 'ask'];
  const message = `${words} ${verb} for credentials that nobody checks: the host has no \`credentials\``;
  const hint = '`credentials: { action: log }` under the host watches first';
  loading.warning(asking[0] as string, message, { hint });
}
