// What is handed to the engine to be compiled: the same as native/engine/src/policy.rs, field by field.
//
// Every `at` is the JSON pointer of the configuration value that the policy value came from.

export interface Policy {
  authorities: PolicyAuthority[];
  lists: { name: string; at: string; items: string[] }[];
  rules: { name: string; at: string; expression: string; action: 'log' | 'block' | 'skip' }[];
  origins: PolicyOrigin[];
  hosts: PolicyHost[];
}

export interface PolicyAuthority {
  name: string;
  at: string;
  certificates: string;
  intermediates: string;
  crls: string[];
}

export interface PolicyOrigin {
  /** `address:port`, IPv6 in brackets. */
  addresses: string[];
  connections: number;
  connect_timeout_ms: number;
  first_byte_timeout_ms: number;
  idle_timeout_ms: number;
}

export interface PolicyHost {
  name: string;
  at: string;
  /** Index into `origins`. */
  origin: number;
  mtls: PolicyMtls;
  openapi: PolicyOpenapi | null;
  max_body_bytes: number;
}

export type MtlsMode = 'off' | 'request' | 'require';

export interface PolicyMtls {
  mode: MtlsMode;
  trust: string[];
  paths: { prefix: string; mode: MtlsMode }[];
  forward: ('rfc9440' | 'sha256')[];
}

export type PolicyAction = 'off' | 'log' | 'block';

export interface PolicyOpenapi {
  action: PolicyAction;
  fallthrough: PolicyAction;
  operations: PolicyOperation[];
  schema: unknown;
}

export interface PolicyOperation {
  id: string;
  at: string;
  method: string;
  path: string;
  body: { required: boolean; json: { media_type: string; schema: string }[]; unchecked: string[] } | null;
}

/** What the engine answers when it refuses a policy. `span` counts bytes within the value. */
export interface EngineProblem {
  at: string;
  span?: [number, number];
  message: string;
  hint?: string;
}
