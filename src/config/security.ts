// What descriptions say of who may call: read in src/check/endpoints, given its meaning in src/check/credentials.
//
// Every `at` leads into the description: remarks of the configuration's own about it are shown there.

import type { PolicyAction, PolicyClaim } from './policy.js';

export interface DescribedSecurity {
  /** Those of all descriptions of a host, used or not; two may have one name. */
  schemes: DescribedScheme[];
  /** By the index of the policy's operations. */
  operations: DescribedOperation[];
}

/** A Security Scheme Object, as far as it says where a credential stands and what it is. */
export type DescribedScheme = { name: string; at: string } & (
  | { type: 'apiKey'; in: 'header' | 'query' | 'cookie'; key: string }
  /** `scheme` in lower case: `basic`, `bearer`, … */
  | { type: 'http'; scheme: string }
  | { type: 'oauth2'; url: string | null }
  | { type: 'openIdConnect'; url: string }
  | { type: 'mutualTLS' }
);

export interface DescribedOperation {
  /** `operationId`, and `METHOD /path` with and without the base path. */
  names: string[];
  at: string;
  /** null: nobody speaks of it, neither the operation nor the root. */
  security: DescribedRequirement | null;
  /** `x-portcullis`. */
  own: DescribedOwn | null;
  /** `x-portcullis: { limit: ... }`, read in src/check/limits. */
  limits: DescribedLimits | null;
}

/** What an operation says of its rate limits: one or a list, as it is written. */
export interface DescribedLimits {
  at: string;
  value: unknown;
  /** The path says it, for all its operations. */
  ofPath: boolean;
}

/** One of the alternatives, all of it. No alternative, or an empty one: nothing is required. */
export interface DescribedRequirement {
  at: string;
  any: DescribedNeed[][];
}

export interface DescribedNeed {
  at: string;
  scheme: DescribedScheme;
  /** All of them, of `oauth2` and `openIdConnect`. */
  scopes: string[];
  /** All of them, of other schemes (OpenAPI 3.1, 4.8.30). */
  roles: string[];
}

export interface DescribedOwn {
  at: string;
  public: boolean;
  /** One of them. */
  roles: string[];
  claims: PolicyClaim[];
  action: PolicyAction | null;
}

/** Who said what an operation requires, and whether anybody said that it is meant for everybody. */
export interface Stated {
  by: 'configuration' | 'description' | 'require' | 'default';
  public: boolean;
}

export interface StatedHost {
  /** Of requests that match no operation. */
  unmatched: Stated;
  /** By the index of the policy's operations. */
  operations: readonly Stated[];
}

/** Of a host without a description. */
export const NOTHING_DESCRIBED: DescribedSecurity = { schemes: [], operations: [] };
