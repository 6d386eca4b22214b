// The paths of a description, to the operations of a host.

import { child } from '../../config/pointer.js';
import type { PolicyOperation, PolicyParameter } from '../../config/policy.js';
import type { DescribedOperation, DescribedRequirement } from '../../config/security.js';
import { readBody } from './bodies.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import { readParameters, TOKEN, variablesOf } from './parameters.js';
import type { Reading } from './reading.js';
import { readResponses } from './responses.js';
import type { Security } from './security.js';
import { basePaths } from './servers.js';
import type { Stage } from './staging.js';
import type { Version } from './version.js';

/** Methods whose requests usually hold a body. */
const WITH_BODY = ['put', 'post', 'patch'];

const NO_BODY =
  'operation describes no body for a method that usually has one: any body is passed on|operations describe no body for methods that usually have one: any body is passed on';

/** Operations of all documents of a host, by what no two of them may share. */
export class Taken {
  readonly ids = new Map<string, { description: Description; at: string }>();
  readonly requests = new Map<string, { description: Description; at: string; line: string }>();
}

export interface Surroundings {
  root: Mapping;
  version: Version;
  host: string;
  taken: Taken;
  /** What is said for an operation that goes by these names. */
  stage(names: readonly string[]): Stage;
  security: Security;
  /** Names under which the host looks for API keys in the query. */
  keysInQuery: readonly string[];
  /** How the policy names a place of the description. */
  named(pointer: string): string;
}

export class Paths {
  readonly operations: PolicyOperation[] = [];
  /** Of each of them, by its index. */
  readonly callers: DescribedOperation[] = [];
  readonly #bases = new Map<string, string[]>();

  constructor(
    private readonly reading: Reading,
    private readonly around: Surroundings,
  ) {}

  read(paths: unknown): void {
    const { description } = this.reading;
    if (!isMapping(paths)) {
      description.problem('/paths', '`paths` is not a map of paths');
      return;
    }
    for (const [template, item] of Object.entries(paths)) {
      if (template.startsWith('x-')) continue;
      const pointer = child('/paths', template);
      if (template.startsWith('/')) this.#item(template, { value: item, pointer });
      else description.problem(pointer, `the path \`${template}\` does not start with \`/\``);
    }
  }

  #item(template: string, written: Found): void {
    const { description } = this.reading;
    const { methods, since32 } = this.around.version;
    const item = description.follow(written);
    if (item === null) return;
    if (!isMapping(item.value)) {
      description.problem(item.pointer, 'expected a map of methods');
      return;
    }
    this.around.security.checkPath(item);
    const variables = variablesOf(template);
    const twice = variables.find((name, index) => variables.indexOf(name) < index);
    if (twice !== undefined) description.problem(written.pointer, `the path \`${template}\` has \`{${twice}}\` twice`);
    for (const [key, value] of Object.entries(item.value)) {
      const pointer = child(item.pointer, key);
      if (methods.includes(key)) this.#operation(template, key, { value, pointer }, item);
      else if (since32 && key === 'additionalOperations') this.#additional(template, { value, pointer }, item);
      else if (methods.includes(key.toLowerCase())) {
        description.problem(pointer, `methods are written in lower case: \`${key.toLowerCase()}\``);
      }
    }
  }

  /** Methods that OpenAPI has no member for, written as they are sent. */
  #additional(template: string, { value: operations, pointer: at }: Found, item: Found): void {
    const { description } = this.reading;
    if (!isMapping(operations)) {
      description.problem(at, '`additionalOperations` is not a map of methods');
      return;
    }
    for (const [method, value] of Object.entries(operations)) {
      const pointer = child(at, method);
      // What has a member of its own is described there.
      if (!TOKEN.test(method) || this.around.version.methods.includes(method.toLowerCase())) {
        description.problem(pointer, `\`${method}\` is not an additional method`);
      } else this.#operation(template, method, { value, pointer }, item);
    }
  }

  #operation(template: string, key: string, operation: Found, item: Found): void {
    const { reading, around } = this;
    const { description } = reading;
    const { value, pointer: at } = operation;
    if (!isMapping(value)) {
      description.problem(at, 'this is not an operation');
      return;
    }
    const member = (of: Found, name: string) => ({
      value: (of.value as Mapping)[name],
      pointer: child(of.pointer, name),
    });
    // Members of a path item are lower-case; additional methods stand as they are sent.
    const method = around.version.methods.includes(key) ? key.toUpperCase() : key;
    const id = this.#id(value, `${method} ${template}`, at);
    const shared = member(item, 'parameters');
    const { rows, wholeQuery } = readParameters(shared, member(operation, 'parameters'), at, template, reading);
    const callers = around.security.of(operation, item);
    const parameters = [...rows, ...this.#keys(callers.security, rows)];
    const body = Object.hasOwn(value, 'requestBody') ? readBody(member(operation, 'requestBody'), reading) : null;
    if (!Object.hasOwn(value, 'requestBody') && WITH_BODY.includes(key)) reading.unchecked.add(NO_BODY, at);
    for (const base of this.#basesOf(operation, item)) {
      const path = base + template;
      const line = `${method} ${path}`;
      if (this.#isTaken(line, at)) continue;
      const names = [id, `${method} ${template}`, line];
      const { action, unknownQuery, responses } = around.stage(names);
      this.callers.push({ names, ...callers });
      this.operations.push({
        id,
        at: around.named(at),
        method,
        path,
        action,
        unknown_query: wholeQuery ? 'off' : unknownQuery,
        parameters,
        body,
        responses: readResponses(member(operation, 'responses'), at, responses, reading),
      });
    }
  }

  #isTaken(line: string, at: string): boolean {
    const { description } = this.reading;
    const { requests } = this.around.taken;
    const same = line.replace(/\{[^{}]*\}/g, '{}');
    const first = requests.get(same);
    if (first === undefined) {
      requests.set(same, { description, at, line });
      return false;
    }
    const elsewhere = first.description === description ? '' : ` of ${shown(first)}`;
    description.problem(at, `\`${line}\` matches the same requests as \`${first.line}\`${elsewhere}`);
    return true;
  }

  /** Keys that the query carries are described elsewhere: they are no unknown parameters. */
  #keys(security: DescribedRequirement | null, rows: readonly PolicyParameter[]): PolicyParameter[] {
    const described = (security?.any ?? [])
      .flat()
      .flatMap(({ scheme }) => (scheme.type === 'apiKey' && scheme.in === 'query' ? [scheme.key] : []));
    return [...new Set([...described, ...this.around.keysInQuery])]
      .filter(name => !rows.some(row => row.location === 'query' && row.name === name))
      .map(name => ({
        name,
        location: 'query',
        required: false,
        style: 'form',
        explode: true,
        allow_empty: true,
        allow_reserved: true,
        schema: this.reading.schema(null, 'request'),
        content: null,
      }));
  }

  #basesOf(operation: Found, item: Found): string[] {
    const { root, host } = this.around;
    const levels = [operation, item, { value: root, pointer: '' }];
    const owner = levels.find(({ value }) => Object.hasOwn(value as Mapping, 'servers'));
    if (owner === undefined) return [''];
    const at = child(owner.pointer, 'servers');
    const known = this.#bases.get(at);
    if (known) return known;
    const { description, unchecked } = this.reading;
    const bases = basePaths((owner.value as Mapping).servers, at, host, description, unchecked);
    this.#bases.set(at, bases);
    return bases;
  }

  #id({ operationId: id }: Mapping, fallback: string, at: string): string {
    if (id === undefined) return fallback;
    const { description } = this.reading;
    const place = child(at, 'operationId');
    if (typeof id !== 'string' || id === '') {
      description.problem(place, '`operationId` is not text');
      return fallback;
    }
    const { ids } = this.around.taken;
    const first = ids.get(id);
    // A path item that two paths refer to is written once.
    if (first !== undefined && !(first.description === description && first.at === at)) {
      const elsewhere = first.description === description ? '' : `, in ${shown(first)}`;
      description.problem(place, `another operation is called \`${id}\` already${elsewhere}`);
    }
    if (first === undefined) ids.set(id, { description, at });
    return id;
  }
}

function shown({ description, at }: { description: Description; at: string }): string {
  const { file, line, column } = description.place(at);
  return `${file}:${line}:${column}`;
}
