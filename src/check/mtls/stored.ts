// What the store adds to the configuration: authorities that are kept there, and client-certificate rules that were
// made through the admin API. A rule stands in front of what the configuration says of the same host and path.

import type { PolicyRevocation } from '../../config/policy.js';
import type { Mtls } from './config.js';

export interface StoredAuthority {
  name: string;
  /** Of all generations that are trusted, PEM. */
  certificates: string;
  /** PEM. */
  intermediates: string;
  revocation: PolicyRevocation;
}

export interface StoredRule {
  host: string;
  /** Prefix; `/` is the whole host. */
  path: string;
  mode: Mtls['mode'];
  action: Mtls['action'];
  trust: string[];
}

export interface Stored {
  authorities: readonly StoredAuthority[];
  rules: readonly StoredRule[];
  /** 64 hex digits: what session identities of this installation are hashed with. */
  sessionKey: string;
}

/** Of a configuration that is judged by itself. */
export const NOTHING_STORED: Stored = { authorities: [], rules: [], sessionKey: '' };

/** What the configuration says of a host, with the rules for it in front. */
export function withRules(host: string, mtls: Mtls, rules: readonly StoredRule[]): Mtls {
  const paths = { ...mtls.paths };
  let whole = mtls;
  for (const { path, mode, action, trust } of rules.filter(rule => rule.host === host)) {
    if (path === '/') {
      // What the configuration says of a path was meant instead of what it says of the host: only the host changes.
      for (const [prefix, written] of Object.entries(mtls.paths)) paths[prefix] = explicit(written, mtls);
      whole = { ...whole, mode, action, trust };
      continue;
    }
    // One spelling of a prefix, so that the rule replaces what is written.
    for (const prefix of Object.keys(paths)) if (prefix.replace(/\/$/, '') === path) delete paths[prefix];
    paths[path] = { mode, action, trust };
  }
  return { ...whole, paths };
}

function explicit(written: Mtls['paths'][string], { mode, action, trust }: Mtls): Mtls['paths'][string] {
  return { mode, action, trust, ...(typeof written === 'string' ? { mode: written } : written) };
}
