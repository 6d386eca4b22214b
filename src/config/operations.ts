// What a host has to call: the operations of its API description, then the methods of its gRPC services, by one index.

import type { PolicyHost, PolicyOperation } from './policy.js';

export function operationsOf({ openapi, grpc }: Pick<PolicyHost, 'openapi' | 'grpc'>): PolicyOperation[] {
  const methods = (grpc?.operations ?? []).map(
    ({ path, at, action }): PolicyOperation => ({
      ...{ id: path, at, method: 'POST', path, action },
      ...{ unknown_query: 'off', parameters: [], body: null, responses: null },
    }),
  );
  return [...(openapi?.operations ?? []), ...methods];
}
