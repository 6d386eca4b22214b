// The description of the admin API as a page to read: static HTML, made of the OpenAPI document. No scripts, and nothing
// from elsewhere; its Content-Security-Policy holds it to that.

import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';

type Html = ReturnType<typeof html>;

/** The part of JSON Schema that the document uses. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  const?: unknown;
  description?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  default?: unknown;
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

interface Described {
  operationId: string;
  summary: string;
  description?: string;
  tags: string[];
  security: object[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
  responses: Record<string, { description?: string; content?: Record<string, { schema: Schema }> }>;
}

export interface Document {
  info: { title: string; version: string; description: string };
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Schema> };
}

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1e; background: #fff }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc } h3 { margin: 2rem 0 .25rem; font-size: 1rem }
code, pre { font: .875rem/1.5 ui-monospace, monospace } pre { background: #f4f4f6; padding: .75rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #e5e5ea }
.method { display: inline-block; min-width: 4rem; font-weight: 700 } p { margin: .25rem 0 }
@media (prefers-color-scheme: dark) { body { color: #e5e5ea; background: #1c1c1e } pre { background: #2c2c2e } a { color: #7ab7ff } th, td, h2 { border-color: #444 } }
`;

export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** A whole HTML document. */
export async function pageOf({ info, paths, components }: Document): Promise<string> {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const tags = [...new Set(operations.flatMap(({ operation }) => operation.tags))];
  const written = await html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${info.title}</title><style>${raw(STYLE)}</style></head>
<body>
<h1>${info.title} ${info.version}</h1>
<p>${info.description}</p>
<p>For programs: <a href="openapi.json">openapi.json</a>. Every call but this page and that needs
<code>Authorization: Bearer &lt;token&gt;</code>. Refusals are <code>application/problem+json</code> (RFC 9457).</p>
<nav><p>${tags.map(tag => html`<a href="#tag-${tag}">${tag}</a> `)}<a href="#shapes">shapes</a></p></nav>
${tags.map(
  tag => html`<h2 id="tag-${tag}">${tag}</h2>
${operations.filter(({ operation }) => operation.tags.includes(tag)).map(one => section(one))}`,
)}
<h2 id="shapes">Shapes</h2>
${Object.entries(components.schemas).map(
  ([name, schema]) => html`<h3 id="shape-${name}">${name}</h3><p>${schema.description ?? ''}</p>${members(schema)}`,
)}
</body>
</html>
`;
  return String(written);
}

function section({ path, method, operation }: { path: string; method: string; operation: Described }): Html {
  const {
    operationId,
    summary,
    description = 'Open to everybody.',
    parameters = [],
    requestBody,
    responses,
  } = operation;
  const body = Object.entries(requestBody?.content ?? {});
  const answers = Object.entries(responses).filter(([, { content }]) => content);
  return html`<section id="${operationId}">
<h3><span class="method">${method.toUpperCase()}</span> <code>${path}</code></h3>
<p>${summary} ${description}</p>
${
  parameters.length > 0 &&
  html`<table><tr><th>parameter</th><th>in</th><th></th></tr>
${parameters.map(
  ({ name, in: where, required, schema, description: meaning }) =>
    html`<tr><td><code>${name}</code>${required ? '' : ' (optional)'}</td><td>${where}</td><td>${shape(schema)} ${meaning ?? ''}</td></tr>`,
)}</table>`
}
${body.map(([type, { schema }]) => html`<p>Body, <code>${type}</code>:</p>${members(schema)}`)}
${answers.map(([status, { content }]) =>
  Object.entries(content ?? {}).map(
    ([type, { schema }]) => html`<p>${status}, <code>${type}</code>:</p>${members(schema)}`,
  ),
)}
<pre>${curl(method, path, operation)}</pre>
</section>
`;
}

function members(schema: Schema): Html {
  const { properties, required = [] } = schema;
  if (!properties) return html`<p>${shape(schema)} ${schema.description ?? ''}</p>`;
  return html`<table>${Object.entries(properties).map(
    ([name, member]) =>
      html`<tr><td><code>${name}</code>${required.includes(name) ? '' : ' (optional)'}</td><td>${shape(member)}</td><td>${member.description ?? ''}</td></tr>`,
  )}</table>`;
}

/** In a few words; an object within an object as a table of its own. */
function shape(schema: Schema): Html {
  const { $ref, type, enum: values, items, properties, additionalProperties: others } = schema;
  if ($ref) {
    const name = $ref.split('/').at(-1) ?? '';
    return html`<a href="#shape-${name}">${name}</a>`;
  }
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices)
    return html`${choices.map((choice, i) => html`${i > 0 ? (schema.allOf ? ' and ' : ' or ') : ''}${shape(choice)}`)}`;
  if (values) return html`${values.map((value, i) => html`${i > 0 ? ', ' : ''}<code>${JSON.stringify(value)}</code>`)}`;
  if (schema.const !== undefined) return html`<code>${JSON.stringify(schema.const)}</code>`;
  if (items) return html`list of ${shape(items)}`;
  if (properties) return members(schema);
  if (typeof others === 'object') return html`map of ${shape(others)}`;
  const kind = [type ?? 'anything'].flat().join(' or ');
  return html`${[schema.format ? `${kind} (${schema.format})` : kind, ...bounds(schema)].join(', ')}`;
}

function bounds(schema: Schema): string[] {
  const { minimum, maximum, minLength, maxLength, pattern, default: otherwise } = schema;
  return [
    minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER && `from ${minimum}`,
    maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER && `to ${maximum}`,
    minLength !== undefined && `${minLength} characters or more`,
    maxLength !== undefined && `${maxLength} characters or fewer`,
    pattern !== undefined && `as ${pattern}`,
    otherwise !== undefined && `${JSON.stringify(otherwise)} unless given`,
  ].filter(bound => typeof bound === 'string');
}

function curl(method: string, path: string, { parameters = [], requestBody, security }: Described): string {
  const [type] = Object.keys(requestBody?.content ?? {});
  return [
    `curl${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} "$PORTCULLIS${path}"`,
    security.length > 0 && '-H "Authorization: Bearer $TOKEN"',
    parameters.some(({ name }) => name === 'If-Match') && `-H 'If-Match: "1"'`,
    type && `-H 'Content-Type: ${type}' -d @body`,
  ]
    .filter(Boolean)
    .join(' \\\n     ');
}
