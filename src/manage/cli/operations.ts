// What of each described operation will be enforced, as `portcullis check` tells it: a line an operation.

import type { Policy, PolicyContent, PolicyOperation, PolicyParameter } from '../../config/policy.js';
import { printable } from '../../config/problem.js';

const HEADINGS = ['method', 'path', 'action', 'parameters', 'other query', 'body', 'responses', 'not checked'];
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
  unknownQuery: 'ignore' | 'log' | 'block';
  parameters: Record<PolicyParameter['location'], number>;
  body: { required: boolean; content: { mediaType: string; format: PolicyContent['format'] }[] } | null;
  responses: { action: 'off' | 'log' | 'block' | 'strip'; statuses: string[] };
  notChecked: string[];
}

export function enforced(policy: Policy): Enforced[] {
  return policy.hosts.flatMap(({ name, openapi }) =>
    (openapi?.operations ?? []).map(operation => ({
      host: name,
      id: operation.id,
      method: operation.method,
      path: operation.path,
      action: operation.action,
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
export function table(policy: Policy): string {
  const rows = enforced(policy);
  const parts = policy.hosts.flatMap(({ name, openapi }) => {
    if (!openapi) return [];
    const lines = rows.filter(({ host }) => host === name).map(row => cells(row).map(printable));
    const head = `${name}: other paths ${openapi.fallthrough}, other methods ${openapi.action}`;
    return [[head, ...aligned([HEADINGS, ...lines])].join('\n')];
  });
  return parts.join('\n\n');
}

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

function cells({ method, path, action, parameters, unknownQuery, body, responses, notChecked }: Enforced): string[] {
  const counts = LOCATIONS.filter(location => parameters[location] > 0).map(name => `${parameters[name]} ${name}`);
  const types = (body?.content ?? [])
    .filter(({ format }) => format !== 'unchecked')
    .map(({ mediaType, format }) => `${mediaType} ${format}`);
  return [
    method,
    path,
    action,
    counts.join(', ') || '-',
    unknownQuery,
    body ? `${body.required ? 'required' : 'optional'}: ${types.join(', ') || '-'}` : '-',
    [responses.action, responses.statuses.join(' ')].filter(Boolean).join(': '),
    notChecked.join(', ') || '-',
  ];
}

function aligned(rows: readonly string[][]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map(row => (row[column] as string).length)));
  return rows.map(row => `  ${row.map((cell, column) => cell.padEnd(widths[column] as number)).join('  ')}`.trimEnd());
}
