// What of each described operation will be enforced, as `portcullis check` tells it: a line an operation.

import { operationsOf } from '../../config/operations.js';
import type {
  Policy,
  PolicyContent,
  PolicyCredentials,
  PolicyOperation,
  PolicyParameter,
} from '../../config/policy.js';
import { printable } from '../../config/problem.js';
import { aligned } from './aligned.js';
import { accepted, inWords, type Requires, requires, type StatedByHost } from './requirements.js';

const HEADINGS = [
  'method',
  'path',
  'action',
  'requires',
  'other query',
  'parameters',
  'responses',
  'body',
  'not checked',
];
const OF_CALLERS = ['method', 'path', 'staged', 'said by', 'requires'];
/** Methods whose requests usually hold a body. */
const WITH_BODY = ['PUT', 'POST', 'PATCH'];
const LOCATIONS: readonly PolicyParameter['location'][] = ['path', 'query', 'header', 'cookie'];
/** Responses without content (RFC 9110, 6.4.1). */
const BODILESS = /^(1..|204|205|304)$/;

export interface Enforced {
  host: string;
  id: string;
  method: string;
  path: string;
  action: PolicyOperation['action'];
  requires: Requires | null;
  unknownQuery: 'ignore' | 'log' | 'block';
  parameters: Record<PolicyParameter['location'], number>;
  body: { required: boolean; content: { mediaType: string; format: PolicyContent['format'] }[] } | null;
  responses: { action: 'off' | 'log' | 'block' | 'strip'; statuses: string[] };
  notChecked: string[];
}

export function enforced(policy: Policy, stated: StatedByHost): Enforced[] {
  return policy.hosts.flatMap(({ name, openapi, grpc }) =>
    operationsOf({ openapi, grpc }).map((operation, index) => ({
      host: name,
      id: operation.id,
      method: operation.method,
      path: operation.path,
      action: operation.action,
      requires: requires(policy, stated, name, index),
      unknownQuery: operation.unknown_query === 'off' ? 'ignore' : operation.unknown_query,
      parameters: counted(operation),
      body: operation.body && {
        required: operation.body.required,
        content: operation.body.content.map(({ media_type, format }) => ({ mediaType: media_type, format })),
      },
      responses: {
        action: operation.responses?.action ?? 'off',
        statuses: operation.responses?.statuses.map(({ status }) => status) ?? [],
      },
      notChecked: notChecked(operation),
    })),
  );
}

/** A table for each host, under a line for what matches no operation. */
export function table(policy: Policy, stated: StatedByHost): string {
  const rows = enforced(policy, stated);
  const parts = policy.hosts.flatMap(({ name, openapi, grpc, credentials }) => {
    if (!openapi && !grpc?.descriptors) return [];
    const lines = rows.filter(({ host }) => host === name).map(row => cells(row, credentials).map(printable));
    const others = openapi ? `other paths ${openapi.fallthrough}, other methods ${openapi.action}` : null;
    const calls = grpc?.descriptors ? `other calls ${grpc.fallthrough}` : null;
    const head = `${name}: ${[others, calls].filter(said => said !== null).join(', ')}`;
    return [[head, ...aligned([HEADINGS, ...lines])].join('\n')];
  });
  return parts.join('\n\n');
}

/** Only which credential the operations of each host require, how far that is staged, and who says so. */
export function callersTable(policy: Policy, stated: StatedByHost): string {
  const rows = enforced(policy, stated);
  const parts = policy.hosts.map(({ name, credentials }) => {
    if (!credentials) return `${name}: no credential is asked for`;
    const { unmatched } = credentials;
    const lines = rows
      .filter(({ host }) => host === name)
      .map(({ method, path, requires }) => {
        const { action, saidBy } = requires as Requires;
        return [method, path, action, SAID_BY[saidBy], inWords(requires as Requires, credentials)].map(printable);
      });
    const others = inWords({ any: unmatched.any, public: false }, credentials);
    const head = printable(`${name}: other requests ${unmatched.action}: ${others}`);
    const counting = [['credential', 'what it is'], ...accepted(policy, credentials)].map(row => row.map(printable));
    return [head, ...(lines.length > 0 ? aligned([OF_CALLERS, ...lines]) : []), ...aligned(counting)].join('\n');
  });
  return parts.join('\n\n');
}

const SAID_BY: Readonly<Record<Requires['saidBy'], string>> = {
  configuration: 'configuration',
  description: 'description',
  require: "the host's require",
  default: 'nobody',
};

function counted({ parameters }: PolicyOperation): Enforced['parameters'] {
  const counts = { path: 0, query: 0, header: 0, cookie: 0 };
  for (const { location } of parameters) counts[location] += 1;
  return counts;
}

function notChecked({ action, method, path, parameters, body, responses }: PolicyOperation): string[] {
  const unchecked = (content: readonly PolicyContent[]) =>
    content.filter(({ format }) => format === 'unchecked').map(({ media_type }) => media_type);
  const request = (): string[] => {
    if (action === 'off') return ['request'];
    const described = new Set(parameters.filter(({ location }) => location === 'path').map(({ name }) => name));
    const variables = [...path.matchAll(/\{([^{}]+)\}/g)].map(([, name]) => name as string);
    return [
      ...variables.filter(name => !described.has(name)).map(name => `path {${name}}`),
      ...(body ? unchecked(body.content).map(type => `body ${type}`) : WITH_BODY.includes(method) ? ['any body'] : []),
    ];
  };
  const answers = (responses?.statuses ?? []).flatMap(({ status, content }) => {
    if (content === null) return BODILESS.test(status) ? [] : [`${status} body`];
    return unchecked(content).map(type => `${status} ${type}`);
  });
  return [...new Set([...request(), ...answers])];
}

function cells(row: Enforced, credentials: PolicyCredentials | null): string[] {
  const { method, path, action, requires, parameters, unknownQuery, body, responses, notChecked } = row;
  const counts = LOCATIONS.filter(location => parameters[location] > 0).map(name => `${parameters[name]} ${name}`);
  return [
    method,
    path,
    action,
    callers(requires, credentials),
    unknownQuery,
    counts.join(', ') || '-',
    [responses.action, responses.statuses.join(' ')].filter(Boolean).join(': '),
    body ? `${body.required ? 'required' : 'optional'}: ${byFormat(body.content) || '-'}` : '-',
    notChecked.join(', ') || '-',
  ];
}

function callers(requires: Requires | null, credentials: PolicyCredentials | null): string {
  if (requires === null || credentials === null) return '-';
  return requires.action === 'off' ? 'off' : `${requires.action}: ${inWords(requires, credentials)}`;
}

/** `json application/json text/json, text text/plain` */
function byFormat(content: NonNullable<Enforced['body']>['content']): string {
  const formats = new Map<string, string[]>();
  for (const { mediaType, format } of content) {
    if (format !== 'unchecked') formats.set(format, [...(formats.get(format) ?? []), mediaType]);
  }
  return [...formats].map(([format, types]) => `${format} ${types.join(' ')}`).join(', ');
}
