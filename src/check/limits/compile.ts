// Rate limits, as the engine takes them. Expressions are parsed there.

import { pointer } from '../../config/pointer.js';
import type { PolicyLimits, PolicySharing } from '../../config/policy.js';
import type { LimitsConfig } from './config.js';

const LOCAL: PolicySharing = { mode: 'local', fallback: 'local', advance: 1 };

export function compileLimits({ rules }: LimitsConfig): PolicyLimits {
  return {
    rules: rules.map((rule, index) => {
      const at = pointer(['limits', 'rules', index]);
      return {
        name: rule.name,
        at,
        expression: rule.expression ? { at: `${at}/expression`, expression: rule.expression } : null,
        operation: null,
        counting: null,
        characteristics: rule.characteristics.map((expression, place) => ({
          at: `${at}/characteristics/${place}`,
          expression,
        })),
        algorithm: 'gcra',
        amount: rule.requestsPerPeriod,
        period_ms: rule.period,
        burst: rule.requestsPerPeriod,
        concurrency: null,
        score: null,
        mitigation_timeout_ms: 0,
        action: rule.action,
        sharing: LOCAL,
      };
    }),
    entries: 1_048_576,
    allow_uncounted: false,
    headers: false,
    allow_identities: false,
    quotas: LOCAL,
  };
}
