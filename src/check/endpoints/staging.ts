// Off, log or block: what is said for the host, for a document and for one operation becomes one stage per operation.
//
// The innermost word wins. Where nobody speaks of unknown query parameters they follow the operation's `action`: what
// is not described is not allowed, and one word stages all of it.

import type { PolicyAction, PolicyResponses } from '../../config/policy.js';
import type { Overrides } from './config.js';

export interface Stage {
  action: PolicyAction;
  unknownQuery: PolicyAction;
  responses: 'off' | PolicyResponses['action'];
}

/** From the outermost to the innermost; the host says something about all but `unknownQuery`. */
export function stage(levels: readonly (Overrides | undefined)[]): Stage {
  let [action, unknownQuery, responses]: [PolicyAction, Overrides['unknownQuery'], Stage['responses']] = [
    'block',
    undefined,
    'off',
  ];
  for (const level of levels) {
    action = level?.action ?? action;
    unknownQuery = level?.unknownQuery ?? unknownQuery;
    responses = level?.responses?.action ?? responses;
  }
  const unknown = unknownQuery ?? action;
  return { action, unknownQuery: unknown === 'ignore' ? 'off' : unknown, responses };
}
