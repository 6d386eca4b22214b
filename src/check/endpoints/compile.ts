// An OpenAPI description to the operations of a host and the one schema that checks their bodies.
//
// A fault is a problem and refuses the configuration; all are found at once. What a description asks for and nobody
// checks yet is a warning. What changes no verdict is passed over.

import type { Loading } from '../../config/loading.js';
import { child, path as tokens } from '../../config/pointer.js';
import type { PolicyOpenapi, PolicyOperation } from '../../config/policy.js';
import { readBody } from './bodies.js';
import type { Openapi } from './config.js';
import { Description, type Found, isMapping, type Mapping } from './description.js';
import { Dialect } from './dialect.js';
import { Unchecked } from './remarks.js';
import { basePaths } from './servers.js';
import { checkShape } from './shape.js';
import { readVersion, type Version } from './version.js';

/** Methods whose requests usually hold a body. */
const WITH_BODY = ['put', 'post', 'patch'];

const PARAMETERS = 'parameter is described but not checked yet|parameters are described but not checked yet';
const QUERYSTRING =
  '`querystring` parameter is described but not checked|`querystring` parameters are described but not checked';
const RESPONSES = 'response is described but not checked yet|responses are described but not checked yet';
const SECURITY =
  'security requirement is described but not checked here|security requirements are described but not checked here';
const NO_BODY =
  'operation describes no body for a method that usually has one: any body is passed on|operations describe no body for methods that usually have one: any body is passed on';

/** null when the description has faults; the problems then say which. */
export async function compileOpenapi(openapi: Openapi, at: string, loading: Loading): Promise<PolicyOpenapi | null> {
  const description = await Description.open(openapi, at, loading);
  if (description === null) return null;
  const host = tokens(at)[1] ?? '';
  const policy = read(description, host, child(at, 'file'), openapi);
  loading.problems.push(...description.problems);
  // Half a description would only make the engine say the same again.
  return description.problems.some(({ severity }) => severity === 'problem') ? null : policy;
}

function read(
  description: Description,
  host: string,
  at: string,
  { action, fallthrough }: Openapi,
): PolicyOpenapi | null {
  const { root } = description;
  const unchecked = new Unchecked(description);
  const version = isMapping(root) ? readVersion(root, description, unchecked) : null;
  if (version === null || !isMapping(root)) {
    if (description.problems.length === 0) description.problem('', 'this is not an OpenAPI description');
    return null;
  }
  checkShape(root, version, description, unchecked);
  const dialect = new Dialect(description, unchecked, version.modern);
  const reader = new Paths(root, version, description, dialect, unchecked, host, at);
  if (Object.hasOwn(root, 'paths') || !version.modern) reader.read(root.paths);
  if (root.jsonSchemaDialect !== undefined) dialect.named(root.jsonSchemaDialect, '/jsonSchemaDialect');
  unchecked.report();
  return { action, fallthrough, operations: reader.operations, schema: dialect.root() };
}

class Paths {
  readonly operations: PolicyOperation[] = [];
  readonly #ids = new Map<string, string>();
  readonly #taken = new Map<string, string>();

  constructor(
    private readonly root: Mapping,
    private readonly version: Version,
    private readonly description: Description,
    private readonly dialect: Dialect,
    private readonly unchecked: Unchecked,
    private readonly host: string,
    private readonly at: string,
  ) {}

  read(paths: unknown): void {
    if (!isMapping(paths)) {
      this.description.problem('/paths', '`paths` is not a map of paths');
      return;
    }
    for (const [template, item] of Object.entries(paths)) {
      if (template.startsWith('x-')) continue;
      const pointer = child('/paths', template);
      if (!template.startsWith('/'))
        this.description.problem(pointer, `the path \`${template}\` does not start with \`/\``);
      else this.#item(template, { value: item, pointer });
    }
  }

  #item(template: string, written: Found): void {
    const found = this.description.follow(written);
    if (found === null) return;
    const { value: item, pointer } = found;
    if (!isMapping(item)) {
      this.description.problem(pointer, 'expected a map of methods');
      return;
    }
    this.#parameters(item.parameters, child(pointer, 'parameters'));
    for (const [key, operation] of Object.entries(item)) {
      const at = child(pointer, key);
      if (this.version.methods.includes(key)) {
        if (isMapping(operation)) this.#operation(template, key, operation, at, item, pointer);
        else this.description.problem(at, 'this is not an operation');
      } else if (this.version.since32 && key === 'additionalOperations') {
        this.#additional(template, operation, at, item, pointer);
      } else if (this.version.methods.includes(key.toLowerCase())) {
        this.description.problem(at, `methods are written in lower case: \`${key.toLowerCase()}\``);
      }
    }
  }

  /** Methods that OpenAPI has no member for, written as they are sent. */
  #additional(template: string, operations: unknown, at: string, item: Mapping, itemAt: string): void {
    if (!isMapping(operations)) {
      this.description.problem(at, '`additionalOperations` is not a map of methods');
      return;
    }
    for (const [method, operation] of Object.entries(operations)) {
      const below = child(at, method);
      // A token (RFC 9110, 5.6.2) in capitals; what has a member of its own is described there.
      if (!/^[A-Z0-9!#$%&'*+.^_`|~-]+$/.test(method) || this.version.methods.includes(method.toLowerCase())) {
        this.description.problem(below, `\`${method}\` is not an additional method`);
      } else if (isMapping(operation)) this.#operation(template, method, operation, below, item, itemAt);
      else this.description.problem(below, 'this is not an operation');
    }
  }

  #operation(template: string, method: string, operation: Mapping, at: string, item: Mapping, itemAt: string): void {
    const { description, root } = this;
    this.#parameters(operation.parameters, child(at, 'parameters'));
    this.#responses(operation.responses, child(at, 'responses'));
    const security = Object.hasOwn(operation, 'security') ? operation.security : root.security;
    if (Array.isArray(security) && security.some(need => isMapping(need) && Object.keys(need).length > 0)) {
      this.unchecked.add(SECURITY, Object.hasOwn(operation, 'security') ? child(at, 'security') : '/security');
    }
    let body: PolicyOperation['body'] = null;
    if (Object.hasOwn(operation, 'requestBody')) {
      const found = { value: operation.requestBody, pointer: child(at, 'requestBody') };
      body = readBody(found, description, this.dialect, this.unchecked);
    } else if (WITH_BODY.includes(method)) {
      this.unchecked.add(NO_BODY, at);
    }
    const id = this.#id(operation, method, template, at);
    for (const base of this.#bases(operation, at, item, itemAt)) {
      const path = base + template;
      const same = `${method} ${path.replace(/\{[^{}]*\}/g, '{}')}`;
      const first = this.#taken.get(same);
      if (first !== undefined) {
        description.problem(at, `\`${method.toUpperCase()} ${path}\` matches the same requests as \`${first}\``);
        continue;
      }
      this.#taken.set(same, `${method.toUpperCase()} ${path}`);
      this.operations.push({
        id,
        at: this.at + (at.startsWith('/') ? at : `/${at}`),
        method: method.toUpperCase(),
        path,
        body,
      });
    }
  }

  #bases(operation: Mapping, at: string, item: Mapping, itemAt: string): string[] {
    for (const [owner, pointer] of [
      [operation, at],
      [item, itemAt],
      [this.root, ''],
    ] as const) {
      if (Object.hasOwn(owner, 'servers')) return this.#servers(owner.servers, child(pointer, 'servers'));
    }
    return [''];
  }

  readonly #known = new Map<string, string[]>();

  #servers(servers: unknown, at: string): string[] {
    const known = this.#known.get(at);
    if (known) return known;
    const bases = basePaths(servers, at, this.host, this.description);
    this.#known.set(at, bases);
    return bases;
  }

  #id(operation: Mapping, method: string, template: string, at: string): string {
    const id = operation.operationId;
    if (id === undefined) return `${method.toUpperCase()} ${template}`;
    if (typeof id !== 'string' || id === '') {
      this.description.problem(child(at, 'operationId'), '`operationId` is not text');
      return '';
    }
    const first = this.#ids.get(id);
    if (first !== undefined && first !== at) {
      this.description.problem(child(at, 'operationId'), `another operation is called \`${id}\` already`);
    }
    this.#ids.set(id, at);
    return id;
  }

  readonly #counted = new Set<string>();

  #parameters(parameters: unknown, at: string): void {
    if (parameters === undefined) return;
    if (!Array.isArray(parameters)) {
      this.description.problem(at, '`parameters` is not a list');
      return;
    }
    parameters.forEach((parameter, index) => {
      const found = this.description.follow({ value: parameter, pointer: child(at, index) });
      if (found === null || this.#counted.has(found.pointer)) return;
      this.#counted.add(found.pointer);
      const { value, pointer } = found;
      if (this.version.since32 && isMapping(value) && value.in === 'querystring') {
        this.unchecked.add(QUERYSTRING, pointer);
      } else if (!isMapping(value) || typeof value.name !== 'string' || !LOCATIONS.includes(String(value.in))) {
        this.description.problem(pointer, `a parameter needs \`name\`, and \`in\`: one of ${LOCATIONS.join(', ')}`);
      } else {
        this.unchecked.add(PARAMETERS, pointer);
      }
    });
  }

  #responses(responses: unknown, at: string): void {
    if (responses === undefined) return;
    if (!isMapping(responses)) {
      this.description.problem(at, '`responses` is not a map of statuses');
      return;
    }
    for (const [status, response] of Object.entries(responses)) {
      if (status.startsWith('x-')) continue;
      const found = this.description.follow({ value: response, pointer: child(at, status) });
      if (found === null || this.#counted.has(found.pointer)) continue;
      this.#counted.add(found.pointer);
      if (isMapping(found.value) && Object.hasOwn(found.value, 'content')) this.unchecked.add(RESPONSES, found.pointer);
    }
  }
}

const LOCATIONS = ['path', 'query', 'header', 'cookie'];
