// An OpenAPI description to the operations of a host and the one schema that checks their bodies.
//
// A fault is a problem and refuses the configuration; all are found at once. What a description asks for and nobody
// checks yet is a warning. What changes no verdict is passed over.

import { dirname, join } from 'node:path';
import type { Loading } from '../../config/loading.js';
import { child, path as tokens } from '../../config/pointer.js';
import type { PolicyOpenapi, PolicyOperation } from '../../config/policy.js';
import { readBody } from './bodies.js';
import type { Openapi } from './config.js';
import { Description, type Found, isMapping, type Mapping } from './description.js';
import { Dialect } from './dialect.js';
import { Unchecked } from './remarks.js';
import { basePaths } from './servers.js';

/** In the order of the specification. */
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
/** Methods whose requests usually hold a body. */
const WITH_BODY = ['put', 'post', 'patch'];

const PARAMETERS = 'parameter is described but not checked yet|parameters are described but not checked yet';
const RESPONSES = 'response is described but not checked yet|responses are described but not checked yet';
const SECURITY =
  'security requirement is described but not checked here|security requirements are described but not checked here';
const NO_BODY =
  'operation describes no body for a method that usually has one: any body is passed on|operations describe no body for methods that usually have one: any body is passed on';

/** null when the description has faults; the problems then say which. */
export async function compileOpenapi(openapi: Openapi, at: string, loading: Loading): Promise<PolicyOpenapi | null> {
  const text = loading.text(child(at, 'file'), openapi.file);
  if (text === null) return null;
  const shown = join(dirname(loading.source.file), openapi.file);
  const description = new Description(shown, text);
  const host = tokens(at)[1] ?? '';
  const policy = read(description, host, child(at, 'file'), openapi, dialect =>
    loading.inside.set(child(at, 'schema'), pointer => description.place(dialect.origin(pointer))),
  );
  loading.problems.push(...description.problems);
  // Half a description would only make the engine say the same again.
  return description.problems.some(({ severity }) => severity === 'problem') ? null : policy;
}

function read(
  description: Description,
  host: string,
  at: string,
  openapi: Openapi,
  converted: (dialect: Dialect) => void,
): PolicyOpenapi | null {
  const root = description.root;
  const version = isMapping(root) ? checkVersion(root, description) : null;
  if (version === null || !isMapping(root)) {
    if (description.problems.length === 0) description.problem('', 'this is not an OpenAPI description');
    return null;
  }
  const unchecked = new Unchecked(description);
  const dialect = new Dialect(description, unchecked, version.modern, openapi);
  const reader = new Paths(root, description, dialect, unchecked, host, at);
  if (Object.hasOwn(root, 'paths') || !version.modern) reader.read(root.paths);
  unchecked.report();
  converted(dialect);
  const { action, fallthrough } = openapi;
  return { action, fallthrough, operations: reader.operations, schema: dialect.root() };
}

function checkVersion(root: Mapping, description: Description): { modern: boolean } | null {
  if (Object.hasOwn(root, 'swagger')) {
    description.problem('/swagger', 'Swagger 2.0 is not supported yet', 'convert it to OpenAPI 3.0 or 3.1');
    return null;
  }
  const version = /^3\.([01])(\.\d+)?$/.exec(String(root.openapi ?? ''));
  if (!version) {
    const found =
      root.openapi === undefined
        ? '`openapi: 3.1.0` or the like is missing'
        : `version ${String(root.openapi)} is not supported`;
    description.problem('/openapi', found, 'OpenAPI 3.0 and 3.1 are');
    return null;
  }
  return { modern: version[1] === '1' };
}

class Paths {
  readonly operations: PolicyOperation[] = [];
  readonly #ids = new Map<string, string>();
  readonly #taken = new Map<string, string>();

  constructor(
    private readonly root: Mapping,
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
      if (METHODS.includes(key)) {
        if (isMapping(operation)) this.#operation(template, key, operation, at, item, pointer);
        else this.description.problem(at, 'this is not an operation');
      } else if (METHODS.includes(key.toLowerCase())) {
        this.description.problem(at, `methods are written in lower case: \`${key.toLowerCase()}\``);
      }
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
      this.operations.push({ id, at: this.at + at, method: method.toUpperCase(), path, body });
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
      if (!isMapping(value) || typeof value.name !== 'string' || !LOCATIONS.includes(String(value.in))) {
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
