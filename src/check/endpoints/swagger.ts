// A Swagger 2.0 description turned into one of OpenAPI 3.0, in memory.
//
// Where each thing was written is kept by prefixes of pointers, so that remarks name the lines of the file itself.
// References to schemas stay as they are written; those to parameters and responses are resolved here, because what
// they turn into depends on the operation.

import { child, path as tokens } from '../../config/pointer.js';
import { type Description, type Found, isMapping, type Mapping } from './description.js';
import { fragmentOf, schemasIn } from './names.js';
import { Unchecked } from './remarks.js';
import { Fields } from './swagger-fields.js';

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];
const FORM = 'application/x-www-form-urlencoded';
const MULTIPART = 'multipart/form-data';
export interface Converted {
  root: Mapping;
  /** From pointers into `root` to those into the file; for what stands below them as well. */
  origins: Map<string, string>;
}

export function isSwagger(root: Mapping): boolean {
  return root.openapi === undefined && /^2(\.0)?$/.test(String(root.swagger));
}

/** Schemas differ in two members; done in place, in every file. */
export function adaptSchemas(root: unknown): void {
  for (const schema of schemasIn(root)) {
    if (schema['x-nullable'] === true) schema.nullable = true;
    if (typeof schema.discriminator === 'string') schema.discriminator = { propertyName: schema.discriminator };
  }
}

export function fromSwagger(root: Mapping, description: Description): Converted {
  return new Conversion(root, description).convert();
}

class Conversion {
  readonly #origins = new Map<string, string>();
  readonly #unchecked: Unchecked;
  readonly #fields: Fields;
  /** Parameters that operations share, by name. */
  readonly #shared: Mapping = Object.create(null);

  constructor(
    private readonly root: Mapping,
    private readonly description: Description,
  ) {
    this.#unchecked = new Unchecked(description);
    this.#fields = new Fields(description, this.#unchecked);
  }

  convert(): Converted {
    const { root } = this;
    this.#origins.set('/components/schemas', '/definitions');
    this.#origins.set('/components/securitySchemes', '/securityDefinitions');
    const components = {
      schemas: this.#section('definitions'),
      parameters: this.#shared,
      securitySchemes: schemes(this.#section('securityDefinitions')),
    };
    this.#section('parameters');
    this.#section('responses');
    const out: Mapping = { openapi: '3.0.3', servers: this.#servers(), paths: this.#paths(root.paths), components };
    for (const key of ['security', 'x-portcullis']) if (Object.hasOwn(root, key)) out[key] = root[key];
    this.#unchecked.report();
    return { root: out, origins: this.#origins };
  }

  #section(name: string): unknown {
    const section = this.root[name];
    if (section === undefined || isMapping(section)) return section ?? {};
    this.description.problem(`/${name}`, `\`${name}\` is not a map`);
    return {};
  }

  #servers(): Mapping[] {
    const { host, basePath, schemes } = this.root;
    if (basePath !== undefined && (typeof basePath !== 'string' || !basePath.startsWith('/'))) {
      this.description.problem('/basePath', '`basePath` does not start with `/`');
    }
    if (host !== undefined && (typeof host !== 'string' || !/^[^/{}?#@\s]+$/.test(host))) {
      this.description.problem('/host', '`host` is not a host name', 'without a scheme and a path');
    }
    this.#origins.set('/servers', basePath === undefined ? '/host' : '/basePath');
    const path = typeof basePath === 'string' ? basePath : '';
    if (typeof host !== 'string') return path === '' ? [] : [{ url: path }];
    const scheme = Array.isArray(schemes) && schemes.length > 0 ? String(schemes[0]) : 'https';
    return [{ url: `${scheme}://${host}${path}` }];
  }

  #paths(paths: unknown): unknown {
    if (!isMapping(paths)) return paths;
    const out: Mapping = Object.create(null);
    for (const [template, written] of Object.entries(paths)) {
      const at = child('/paths', template);
      const found = template.startsWith('x-') ? null : this.description.follow({ value: written, pointer: at });
      if (found === null) continue;
      if (found.pointer !== at) this.#origins.set(at, found.pointer);
      out[template] = isMapping(found.value) ? this.#item(found.value, found.pointer, at) : found.value;
    }
    return out;
  }

  /** `from`: where it is written; `at`: where it goes. */
  #item(item: Mapping, from: string, at: string): Mapping {
    const out: Mapping = Object.create(null);
    const shared = this.#parameters(item.parameters, child(from, 'parameters'), child(at, 'parameters'));
    if (shared.plain !== undefined) out.parameters = shared.plain;
    for (const [key, value] of Object.entries(item)) {
      if (key === 'parameters') continue;
      const isOperation = METHODS.includes(key) && isMapping(value);
      out[key] = isOperation ? this.#operation(value, child(from, key), child(at, key), shared) : value;
    }
    return out;
  }

  #operation(operation: Mapping, from: string, at: string, shared: Parameters): Mapping {
    const out: Mapping = Object.create(null);
    for (const key of ['operationId', 'security', 'deprecated', 'x-portcullis']) {
      if (Object.hasOwn(operation, key)) out[key] = operation[key];
    }
    const own = this.#parameters(operation.parameters, child(from, 'parameters'), child(at, 'parameters'));
    if (own.plain !== undefined) out.parameters = own.plain;
    const body = own.body ?? (own.form.length > 0 ? null : shared.body);
    const inherited = own.body ? [] : shared.form.filter(({ name }) => !own.form.some(field => field.name === name));
    const form = [...inherited, ...own.form];
    const consumes = this.#types('consumes', operation, from);
    if (body !== null && form.length > 0) {
      this.description.problem(body.pointer, 'an operation has a `body` parameter or `formData` ones, not both');
    } else if (body !== null) {
      out.requestBody = this.#body(body, consumes ?? ['application/json'], child(at, 'requestBody'));
    } else if (form.length > 0) {
      out.requestBody = this.#form(form, consumes ?? [], child(at, 'requestBody'));
    }
    if (Object.hasOwn(operation, 'responses')) {
      const produces = this.#types('produces', operation, from);
      out.responses = this.#responses(operation.responses, produces, child(from, 'responses'), child(at, 'responses'));
    }
    return out;
  }

  /** Media types of an operation; null when nothing says. */
  #types(key: 'consumes' | 'produces', operation: Mapping, from: string): string[] | null {
    const [owner, at] = Object.hasOwn(operation, key) ? [operation, child(from, key)] : [this.root, `/${key}`];
    const types = owner[key];
    if (types === undefined) return null;
    if (!Array.isArray(types) || types.some(type => typeof type !== 'string')) {
      this.description.problem(at, `\`${key}\` is not a list of media types`);
      return null;
    }
    return types.length > 0 ? types : null;
  }

  #parameters(list: unknown, from: string, at: string): Parameters {
    const read: Parameters = { plain: undefined, body: null, form: [] };
    if (!Array.isArray(list)) {
      if (list !== undefined) read.plain = list;
      return read;
    }
    const plain: unknown[] = [];
    list.forEach((written, index) => {
      const found = this.description.follow({ value: written, pointer: child(from, index) });
      if (found === null) return;
      const { value, pointer } = found;
      if (isMapping(value) && value.in === 'body') {
        if (read.body) this.description.problem(pointer, 'an operation has at most one `body` parameter');
        read.body ??= found;
      } else if (isMapping(value) && value.in === 'formData') {
        if (typeof value.name === 'string') read.form.push({ value, pointer, name: value.name });
        else this.description.problem(pointer, 'a parameter needs `name`');
      } else {
        plain.push(this.#plain(found, from, child(at, plain.length)));
      }
    });
    read.plain = plain;
    return read;
  }

  #plain({ value, pointer }: Found, from: string, at: string): unknown {
    // Shared in the main file, used in the main file: converted once.
    const [section, key, deeper] = tokens(pointer);
    if (section === 'parameters' && key && deeper === undefined && from.startsWith('/')) {
      const there = child('/components/parameters', key);
      if (!Object.hasOwn(this.#shared, key)) this.#shared[key] = this.#parameter(value, pointer, there);
      return { $ref: `#${fragmentOf(there)}` };
    }
    return this.#parameter(value, pointer, at);
  }

  #parameter(value: unknown, from: string, at: string): unknown {
    this.#origins.set(at, from);
    if (!isMapping(value)) return value;
    this.#origins.set(child(at, 'schema'), from);
    const { name, required, allowEmptyValue } = value;
    const out: Mapping = { name, in: value.in, schema: this.#fields.schema(value, from) };
    if (required !== undefined) out.required = required;
    if (allowEmptyValue !== undefined) out.allowEmptyValue = allowEmptyValue;
    return Object.assign(out, this.#fields.style(value, String(value.in), out, from));
  }

  #body({ value, pointer }: Found, types: readonly string[], at: string): Mapping {
    this.#origins.set(at, pointer);
    const { schema, required } = value as Mapping;
    if (schema === undefined) this.description.problem(pointer, 'a `body` parameter needs `schema`');
    const content: Mapping = Object.create(null);
    for (const type of types) {
      content[type] = schema === undefined ? {} : { schema };
      this.#origins.set(child(child(at, 'content'), type), pointer);
    }
    return { required: required ?? false, content };
  }

  #form(fields: readonly Field[], consumes: readonly string[], at: string): Mapping {
    const first = fields[0] as Field;
    this.#origins.set(at, first.pointer);
    const files = fields.some(({ value }) => value.type === 'file');
    let types = consumes.filter(type => isType(type, MULTIPART) || (!files && isType(type, FORM)));
    if (types.length === 0) types = [files ? MULTIPART : FORM];
    const content: Mapping = Object.create(null);
    for (const type of types) {
      const there = child(child(at, 'content'), type);
      this.#origins.set(there, first.pointer);
      const properties: Mapping = Object.create(null);
      const encoding: Mapping = Object.create(null);
      for (const { value, pointer, name } of fields) {
        const field: Mapping = {};
        if (value.type === 'file') field.schema = { type: 'string', format: 'binary' };
        else field.schema = this.#fields.schema(value, pointer);
        const style = this.#fields.style(value, 'formData', field, pointer);
        if (Object.keys(style).length > 0) encoding[name] = style;
        properties[name] = field.schema;
        this.#origins.set(child(child(child(there, 'schema'), 'properties'), name), pointer);
        this.#origins.set(child(child(there, 'encoding'), name), child(pointer, 'collectionFormat'));
      }
      const required = fields.filter(({ value }) => value.required === true).map(({ name }) => name);
      const schema = { type: 'object', properties, ...(required.length > 0 && { required }) };
      content[type] = { schema, encoding };
    }
    return { required: fields.some(({ value }) => value.required === true), content };
  }

  #responses(responses: unknown, produces: readonly string[] | null, from: string, at: string): unknown {
    if (!isMapping(responses)) return responses;
    const out: Mapping = Object.create(null);
    for (const [status, written] of Object.entries(responses)) {
      if (status.startsWith('x-')) continue;
      const found = this.description.follow({ value: written, pointer: child(from, status) });
      if (found === null) continue;
      const there = child(at, status);
      if (found.pointer !== there) this.#origins.set(there, found.pointer);
      out[status] = isMapping(found.value) ? this.#response(found.value, produces, found.pointer, there) : found.value;
    }
    return out;
  }

  #response(response: Mapping, produces: readonly string[] | null, from: string, at: string): Mapping {
    const out: Mapping = {};
    if (isMapping(response.headers)) {
      const headers: Mapping = Object.create(null);
      for (const [name, header] of Object.entries(response.headers)) {
        const written = child(child(from, 'headers'), name);
        if (!isMapping(header)) {
          this.description.problem(written, 'this is not a header');
          continue;
        }
        const field: Mapping = { schema: this.#fields.schema(header, written) };
        headers[name] = Object.assign(field, this.#fields.style(header, 'header', field, written));
        this.#origins.set(child(child(child(at, 'headers'), name), 'schema'), written);
      }
      out.headers = headers;
    } else if (response.headers !== undefined) {
      this.description.problem(child(from, 'headers'), '`headers` is not a map');
    }
    if (response.schema !== undefined) {
      const file = isMapping(response.schema) && response.schema.type === 'file';
      const content: Mapping = Object.create(null);
      for (const type of produces ?? [file ? '*/*' : 'application/json']) {
        content[type] = file ? {} : { schema: response.schema };
        this.#origins.set(child(child(at, 'content'), type), from);
      }
      out.content = content;
    }
    return out;
  }
}

/** `basic` became one of the schemes of `http`. */
function schemes(section: unknown): unknown {
  if (!isMapping(section)) return section;
  const basic = (scheme: unknown) => isMapping(scheme) && scheme.type === 'basic';
  return Object.fromEntries(
    Object.entries(section).map(([name, scheme]) => [name, basic(scheme) ? { type: 'http', scheme: 'basic' } : scheme]),
  );
}

interface Parameters {
  /** As OpenAPI 3.0 has them; something else than a list as it was written. */
  plain: unknown;
  body: Found | null;
  form: Field[];
}

interface Field {
  value: Mapping;
  pointer: string;
  name: string;
}

function isType(written: string, type: string): boolean {
  return (written.split(';', 1)[0] as string).trim().toLowerCase() === type;
}
