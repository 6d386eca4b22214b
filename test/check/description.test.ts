// What a description is read as: values, places, references, in as many files as it has.

import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { compileOpenapi } from '../../src/check/endpoints/compile.js';
import { openapi } from '../../src/check/endpoints/config.js';
import { Description } from '../../src/check/endpoints/description.js';
import type { Fetch } from '../../src/check/endpoints/remote.js';
import { Text } from '../../src/check/endpoints/text.js';
import { Loading } from '../../src/config/loading.js';
import { Source } from '../../src/config/read.js';
import { temporaryFolder } from '../support/cleanup.js';

const noFetch: Fetch = async () => {
  throw new Error('nothing is fetched here');
};

/** Of what is broken, or holds itself, nothing is left. */
function asJson(text: string): string {
  try {
    return JSON.stringify(parse(text, { logLevel: 'silent', uniqueKeys: false }));
  } catch {
    return '{}';
  }
}

interface Options {
  main?: string;
  hosts?: string[];
  fetch?: Fetch;
}

/** The files are written into a folder of their own, and the first is opened. */
async function open(files: Record<string, unknown>, { main, hosts = [], fetch = noFetch }: Options = {}) {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content, null, 2));
  }
  const file = main ?? (Object.keys(files)[0] as string);
  const source = new Source('portcullis.yaml', '', { env: {}, file: () => '' });
  const loading = new Loading(source, folder);
  const openapi = { file: file.startsWith('/') ? join(folder, file) : file, allowRemoteReferences: hosts };
  const description = (await Description.open(openapi, '/openapi', loading, fetch)) as Description;
  const said = () =>
    description.problems.map(({ place, message }) => {
      return `${place.file}:${place.line}:${place.column}: ${message}`.replaceAll(folder, '');
    });
  return { description, loading, folder, said };
}

describe('places', () => {
  const value = {
    openapi: '3.1.0',
    'a/b~c': { 'quoted "key"': [1, { deep: null }], 'back\\slash': { empty: {} } },
    text: 'braces { [ , : and "quotes\\" inside',
    list: [[], [[true]], 'x'],
    späß: { '\ud83d\ude00': 1 },
  };
  const pointers = [
    ['', 1],
    ['/a~1b~0c', 3],
    ['/a~1b~0c/quoted "key"/1/deep', 7],
    ['/a~1b~0c/back\\slash/empty', 11],
    ['/text', 14],
    ['/list/1/0/0', 19],
    ['/list/2', 22],
    ['/späß/\ud83d\ude00', 25],
    // Not there: what encloses it.
    ['/list/1/9', 17],
    ['/a~1b~0c/none', 3],
  ] as const;

  test.each(pointers)('%s of JSON stands in line %i', async (pointer, line) => {
    const { description } = await open({ 'a.json': value });
    expect(description.problems).toEqual([]);
    expect(description.place(pointer).line).toBe(line);
  });

  test('are the same for the same text read as YAML', async () => {
    const json = JSON.stringify(value, null, 2);
    const { description: asJson } = await open({ 'a.json': json });
    const { description: asYaml } = await open({ 'a.json': `# not JSON\n${json}` });
    expect(asYaml.root).toEqual(value);
    for (const [pointer] of pointers.slice(1)) {
      const [one, other] = [asJson.place(pointer), asYaml.place(pointer)];
      expect({ ...other, line: other.line - 1 }, pointer).toEqual(one);
    }
  });

  test('of a minified file show no line of megabytes', async () => {
    const { description } = await open({ 'a.json': JSON.stringify({ a: 'x'.repeat(1_000), b: 1 }) });
    expect(description.place('/b')).toMatchObject({ line: 1, column: 1009, width: 1, text: '' });
    expect(description.place('/a').text.length).toBeLessThan(300);
  });

  test('lead through aliases and merges to where it is written', async () => {
    const text = 'a: &a\n  b: 1\nc: *a\nd:\n  <<: [{ e: 2 }, *a]\n';
    const { description } = await open({ 'a.yaml': text });
    expect(description.root).toEqual({ a: { b: 1 }, c: { b: 1 }, d: { e: 2, b: 1 } });
    expect(description.place('/c/b').line).toBe(2);
    expect(description.place('/d/b').line).toBe(2);
    expect(description.place('/d/e').line).toBe(5);
  });

  test('count lines of both kinds of ends, and skip a byte order mark', async () => {
    const { description } = await open({ 'a.yaml': '\ufeffa: 1\r\nb: 2\r\n' });
    expect(description.root).toEqual({ a: 1, b: 2 });
    expect(description.place('/b')).toEqual({ file: 'a.yaml', line: 2, column: 1, width: 1, text: 'b: 2' });
    expect(description.place('/a').column).toBe(1);
  });
});

describe('values', () => {
  test('JSON is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(0, 2), (value, indent) => {
        const json = JSON.stringify(value, null, indent);
        const { value: read, faults } = new Text('a', json);
        expect(faults).toEqual([]);
        expect(JSON.stringify(read)).toBe(JSON.stringify(JSON.parse(json)));
      }),
    );
  });

  test('JSON that only YAML understands comes out the same', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), value => {
        const json = JSON.stringify(value, null, 2);
        const { value: read, faults } = new Text('a', `${json} # a comment`);
        expect(faults).toEqual([]);
        // -0 and 1e21 are written otherwise, and mean the same.
        expect(read).toEqual(JSON.parse(json));
      }),
    );
  });

  test('a key written twice is told with its place, in JSON', async () => {
    const { description, said } = await open({ 'a.json': '{"a": {"b": 1,\n"\\u0062": 2}, "c": 1, "a": 2}' });
    expect(said()).toEqual(['a.json:2:23: this key is written twice', 'a.json:2:1: this key is written twice']);
    expect(description.root).toBeUndefined();
  });

  test('the prototype is out of reach', async () => {
    for (const text of ['{"__proto__": {"x": 1}}', '__proto__: { x: 1 }', '<<: { __proto__: { x: 1 } }']) {
      const { description } = await open({ 'a.yaml': text });
      expect((description.root as { x?: number }).x).toBeUndefined();
      expect(Object.keys(description.root as object)).toEqual(['__proto__']);
    }
  });

  test('keys are text as written', async () => {
    const { description } = await open({ 'a.yaml': '200: a\n4XX: b\n1.0: c\n0x10: d\nyes: e\nnull: f\n' });
    expect(description.root).toEqual({ '200': 'a', '4XX': 'b', '1.0': 'c', '0x10': 'd', yes: 'e', null: 'f' });
  });

  test('scalars mean what the yaml package takes them for', () => {
    const scalar = fc.stringMatching(/^[-+.0-9a-fA-FnulxoeETRUtrue~_:]{0,8}$/);
    fc.assert(
      fc.property(scalar, text => {
        const written = `a: ${text}\n`;
        let expected: unknown;
        try {
          expected = parse(written, { logLevel: 'silent' });
        } catch {
          return;
        }
        // `a: b: c` and the like are maps there or refused.
        if (typeof (expected as { a: unknown }).a === 'object' && (expected as { a: unknown }).a !== null) return;
        const { value, faults } = new Text('a', written);
        if (faults.length === 0) expect(value).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('nesting has a bound, in both notations', async () => {
    for (const [text, deep] of [
      [`${'{"a":'.repeat(199)}1${'}'.repeat(199)}`, false],
      [`${'{"a":'.repeat(201)}1${'}'.repeat(201)}`, true],
      [`a: ${'['.repeat(100_000)}`, true],
      [`{"a": ${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`, true],
      [`a: &a ${'['.repeat(150)}${']'.repeat(150)}\nb: ${'['.repeat(100)}*a${']'.repeat(100)}`, true],
    ] as const) {
      const { said } = await open({ 'a.yaml': text });
      expect(said().length > 0, text.slice(0, 20)).toBe(deep);
      if (deep) expect(said()[0]).toContain('nested more than 200 deep');
    }
  });

  test('a file of more values than anybody writes is refused before it fills the memory', () => {
    const { faults } = new Text('a', `{"a": [${'0,'.repeat(4_100_000)}0]}`);
    expect(faults.map(({ message }) => message)).toEqual(['the file holds more than 4000000 values']);
    const { faults: yaml } = new Text('a', `a: [${'[],'.repeat(4_100_000)}]`);
    expect(yaml.map(({ message }) => message)).toEqual(['the file holds more than 4000000 values']);
  });

  test('a thousand faults are listed, and not more', async () => {
    const { description } = await open({ 'a.yaml': `${'a: 1\n'.repeat(5_000)}` });
    expect(description.problems).toHaveLength(1_000);
    expect(description.problems.at(-1)?.message).toBe('what else is wrong is not listed');
  });
});

describe('references', () => {
  test('to files beside the description count from the file that holds them', async () => {
    const { description, loading, folder, said } = await open({
      'openapi.yaml': 'a: { $ref: "schemas/order.json" }\nb: { $ref: "./common%20parts.yaml#/Foo~1Bar" }\n',
      'schemas/order.json': {
        line: { $ref: 'line.yaml#/Line' },
        up: { $ref: '../common%20parts.yaml#/Foo~1Bar' },
        own: { $ref: '#/line' },
      },
      'schemas/line.yaml': 'Line: { type: object }\n',
      'common parts.yaml': 'Foo/Bar: { type: string }\n',
    });
    const order = description.target('schemas/order.json', '/a/$ref');
    expect(order?.pointer).toBe('schemas/order.json#');
    expect(description.target('line.yaml#/Line', `${order?.pointer}/line/$ref`)).toEqual({
      value: { type: 'object' },
      pointer: 'schemas/line.yaml#/Line',
    });
    expect(description.follow({ value: { $ref: '#/line' }, pointer: `${order?.pointer}/own` })?.pointer).toBe(
      'schemas/line.yaml#/Line',
    );
    const common = { value: { type: 'string' }, pointer: 'common parts.yaml#/Foo~1Bar' };
    expect(description.target('./common%20parts.yaml#/Foo~1Bar', '/b/$ref')).toEqual(common);
    expect(description.target('../common%20parts.yaml#/Foo~1Bar', 'schemas/order.json#/up/$ref')).toEqual(common);
    // Back into the main file, from beside it.
    expect(description.target('../openapi.yaml#/a', 'schemas/order.json#/x')?.pointer).toBe('/a');
    expect(description.look('../openapi.yaml#/none', 'schemas/order.json#/x')).toBeNull();
    expect(description.place('schemas/line.yaml#/Line/type')).toMatchObject({
      file: 'schemas/line.yaml',
      line: 1,
      column: 9,
    });
    expect(said()).toEqual([]);
    expect([...loading.files].map(file => file.replace(`${folder}/`, '')).sort()).toEqual([
      'common parts.yaml',
      'openapi.yaml',
      'schemas/line.yaml',
      'schemas/order.json',
    ]);
  });

  test('never leave the folder of the description', async () => {
    const outside = temporaryFolder();
    writeFileSync(join(outside, 'secret.yaml'), 'a: 1\n');
    const { description, folder, said } = await open({ 'openapi.yaml': 'a: 1\n', 'b.yaml': 'b: 1\n' });
    symlinkSync(join(outside, 'secret.yaml'), join(folder, 'link.yaml'));
    symlinkSync(outside, join(folder, 'linked'));
    symlinkSync(join(folder, 'b.yaml'), join(folder, 'fine.yaml'));
    const away = [
      `../${outside.split('/').at(-1)}/secret.yaml`,
      `${outside}/secret.yaml`,
      `file://${outside}/secret.yaml`,
    ];
    away.push('link.yaml', 'linked/secret.yaml', '%2e%2e/x.yaml', 'b%2f..%2f..%2fsecret.yaml', '//host/share.yaml');
    for (const reference of away) expect(description.target(reference, '/a'), reference).toBeNull();
    expect(said().filter(line => line.includes("do not leave the description's folder"))).toHaveLength(6);
    expect(said()).toHaveLength(away.length);
    expect(description.target('fine.yaml', '/a')?.value).toEqual({ b: 1 });
  });

  test('say why a file cannot be read', async () => {
    const { description, said, loading, folder } = await open({
      'a.yaml': 'a: 1\n',
      'folder/x.yaml': 'x',
      'broken.yaml': 'a: 1\na: 2\n',
    });
    for (const reference of ['none.yaml', 'folder', 'none.yaml#/x', 'broken.yaml#/a', 'http://[', '#%zz', '#/none']) {
      expect(description.target(reference, '/a'), reference).toBeNull();
    }
    expect(said()).toEqual([
      'a.yaml:1:1: `none.yaml`: the file does not exist',
      'a.yaml:1:1: `folder`: this is not a file',
      'a.yaml:1:1: `none.yaml#/x`: the file does not exist',
      'broken.yaml:2:1: this key is written twice',
      'a.yaml:1:1: `broken.yaml#/a` leads nowhere',
      'a.yaml:1:1: `http://[` is not a URI',
      'a.yaml:1:1: `#%zz` is not percent-encoded as it has to be',
      'a.yaml:1:1: `#/none` leads nowhere',
    ]);
    // It may come: then the configuration is loaded again.
    expect(loading.files).toContain(join(folder, 'none.yaml'));
  });

  test('lead to at most 256 files', async () => {
    const files: Record<string, string> = { 'a.yaml': 'a: 1\n' };
    for (let n = 0; n < 256; n++) files[`${n}.yaml`] = 'x: 1\n';
    const { description, said } = await open(files);
    for (let n = 0; n < 256; n++) description.target(`${n}.yaml`, '/a');
    expect(said()).toEqual(['a.yaml:1:1: `255.yaml`: a description has at most 256 files']);
  });

  test('a circle of references is a problem', async () => {
    const { description, said } = await open({
      'a.yaml': 'a: { $ref: "b.yaml#/b" }\n',
      'b.yaml': 'b: { $ref: "a.yaml#/a" }\n',
    });
    expect(description.follow({ value: { $ref: 'b.yaml#/b' }, pointer: '/a' })).toBeNull();
    expect(said()).toEqual(['a.yaml:1:6: this reference leads back to itself']);
  });

  test('name schemas by `$anchor` and `$id`, counted from the nearest `$id`', async () => {
    const { description, said } = await open({
      'openapi.yaml': `openapi: 3.1.0
components:
  schemas:
    Order:
      $id: https://example.com/schemas/order
      properties:
        line: { $ref: line }
        $id: { type: string }
      $defs:
        Line: { $id: line, type: object, $defs: { Part: { $anchor: part, type: integer } } }
        Named: { $anchor: named, enum: [{ $id: not-one, $anchor: not-one }] }
    Plain: { $anchor: plain, type: string }
    Other: { $ref: "beside.yaml#there" }
    Twice: { $anchor: twice }
    Again: { $anchor: twice }
`,
      'beside.yaml': 'X: { $anchor: there, type: boolean }\n',
    });
    const schemas = '/components/schemas';
    const cases = [
      ['#plain', `${schemas}/Other`, `${schemas}/Plain`],
      ['line', `${schemas}/Order/properties/line/$ref`, `${schemas}/Order/$defs/Line`],
      ['https://example.com/schemas/line#part', '', `${schemas}/Order/$defs/Line/$defs/Part`],
      ['#part', `${schemas}/Order/$defs/Line/x`, `${schemas}/Order/$defs/Line/$defs/Part`],
      ['#named', `${schemas}/Order/properties`, `${schemas}/Order/$defs/Named`],
      ['#/$defs/Named', `${schemas}/Order/properties`, `${schemas}/Order/$defs/Named`],
      // From the root of the file, as descriptions write it all the same.
      ['#/components/schemas/Plain', `${schemas}/Order/properties`, `${schemas}/Plain`],
      ['beside.yaml#there', `${schemas}/Other/$ref`, 'beside.yaml#/X'],
    ] as const;
    for (const [reference, at, pointer] of cases)
      expect(description.target(reference, at)?.pointer, reference).toBe(pointer);
    expect(said()).toEqual([]);
    for (const reference of ['#twice', '#none', '#not-one', 'https://example.com/none'])
      description.target(reference, schemas);
    expect(said().map(line => line.split(': ').slice(1).join(': '))).toEqual([
      '`#twice`: two schemas are called so',
      '`#none` leads nowhere',
      '`#not-one` leads nowhere',
      "`https://example.com/none`: references do not leave the description's folder, unless `allowRemoteReferences` lists their host",
    ]);
  });
});

describe('references to other hosts', () => {
  const remote: Record<string, string> = {
    'https://schemas.example.com/v1/order.yaml':
      'Order: { line: { $ref: "line.json#/Line" }, own: { $ref: "#/Own" } }\nOwn: 1\n',
    'https://schemas.example.com/v1/line.json':
      '{"Line": {"up": {"$ref": "https://other.example.com/x.yaml"}, "file": {"$ref": "file:///etc/hostname"}}}',
  };
  const asked: string[] = [];
  const fetch: Fetch = async url => {
    asked.push(url.href);
    const text = remote[url.href];
    if (text === undefined) throw new Error('the host answers 404');
    return text;
  };
  const main = 'a: { $ref: "https://schemas.example.com/v1/order.yaml#/Order" }\nb: { $ref: beside.yaml }\n';
  const files = { 'a.yaml': main, 'beside.yaml': 'c: { $ref: "https://schemas.example.com/v1/none.yaml" }\n' };

  test('are fetched from listed hosts, once each, and what they name as well', async () => {
    asked.length = 0;
    const { description, said, loading } = await open(files, { hosts: ['schemas.example.com'], fetch });
    const order = description.target('https://schemas.example.com/v1/order.yaml#/Order', '/a/$ref');
    expect(order?.pointer).toBe('https://schemas.example.com/v1/order.yaml#/Order');
    const line = description.target('line.json#/Line', `${order?.pointer}/line/$ref`);
    expect(line?.pointer).toBe('https://schemas.example.com/v1/line.json#/Line');
    expect(description.target('#/Own', `${order?.pointer}/own/$ref`)?.value).toBe(1);
    expect(said()).toEqual([]);
    expect(description.target('https://other.example.com/x.yaml', `${line?.pointer}/up/$ref`)).toBeNull();
    expect(description.target('file:///etc/hostname', `${line?.pointer}/file/$ref`)).toBeNull();
    expect(description.target('https://schemas.example.com/v1/none.yaml', 'beside.yaml#/c/$ref')).toBeNull();
    expect(said()).toEqual([
      "https://schemas.example.com/v1/line.json:1:18: `https://other.example.com/x.yaml`: references do not leave the description's folder, unless `allowRemoteReferences` lists their host",
      'https://schemas.example.com/v1/line.json:1:72: `file:///etc/hostname`: another host names no files of this one',
      'beside.yaml:1:6: `https://schemas.example.com/v1/none.yaml`: the host answers 404',
    ]);
    expect(asked.sort()).toEqual([...Object.keys(remote), 'https://schemas.example.com/v1/none.yaml'].sort());
    expect([...loading.files].filter(file => file.includes('http'))).toEqual([]);
  });

  test('are not looked up where no host is listed, nor by http', async () => {
    asked.length = 0;
    for (const hosts of [[], ['schemas.example.com:8443'], ['example.com']]) {
      const { description } = await open({ 'a.yaml': main }, { hosts, fetch });
      expect(description.target('https://schemas.example.com/v1/order.yaml#/Order', '/a/$ref')).toBeNull();
    }
    const { description } = await open(
      { 'a.yaml': 'a: { $ref: "http://schemas.example.com/x" }' },
      { hosts: ['schemas.example.com'], fetch },
    );
    expect(description.target('http://schemas.example.com/x', '/a/$ref')).toBeNull();
    expect(asked).toEqual([]);
  });

  test('end after 64 files', async () => {
    let count = 0;
    const endless: Fetch = async () => `a: { $ref: "${++count}.yaml" }`;
    await open({ 'a.yaml': main }, { hosts: ['schemas.example.com'], fetch: endless });
    expect(count).toBe(64);
  });
});

describe('Swagger 2.0', () => {
  test('places and references lead into the file as it is written, in other files too', async () => {
    const { description, said } = await open({
      'swagger.yaml': `swagger: "2.0"
definitions:
  Order: { type: object, properties: { note: { type: string, x-nullable: true } } }
paths:
  /orders: { $ref: "paths/orders.yaml#/Orders" }
`,
      'paths/orders.yaml': `Orders:
  post:
    parameters:
      - { name: order, in: body, schema: { $ref: "../swagger.yaml#/definitions/Order" } }
      - { $ref: "#/Page" }
    responses: { 200: { description: ok, schema: { $ref: "more.yaml#/Line" } } }
Page: { name: page, in: query, type: integer, minimum: 1 }
`,
      'paths/more.yaml': 'Line: { type: string, x-nullable: true, discriminator: kind }\n',
    });
    expect(said()).toEqual([]);
    const { paths } = description.root as { paths: Record<string, { post: unknown }> };
    expect(paths['/orders']?.post).toEqual({
      parameters: [{ name: 'page', in: 'query', schema: { type: 'integer', minimum: 1 } }],
      requestBody: {
        required: false,
        content: { 'application/json': { schema: { $ref: '../swagger.yaml#/definitions/Order' } } },
      },
      responses: { '200': { content: { 'application/json': { schema: { $ref: 'more.yaml#/Line' } } } } },
    });
    const post = '/paths/~1orders/post';
    expect(description.place(`${post}/parameters/0/schema/minimum`)).toMatchObject({
      file: 'paths/orders.yaml',
      line: 7,
      column: 47,
    });
    const schema = `${post}/requestBody/content/application~1json/schema`;
    expect(description.place(`${schema}/$ref`)).toMatchObject({ file: 'paths/orders.yaml', line: 4, column: 44 });
    expect(description.target('../swagger.yaml#/definitions/Order', `${schema}/$ref`)).toEqual({
      value: { type: 'object', properties: { note: { type: 'string', 'x-nullable': true, nullable: true } } },
      pointer: '/components/schemas/Order',
    });
    expect(description.place('/components/schemas/Order/properties/note').line).toBe(3);
    const line = `${post}/responses/200/content/application~1json/schema/$ref`;
    expect(description.target('more.yaml#/Line', line)?.value).toMatchObject({
      nullable: true,
      discriminator: { propertyName: 'kind' },
    });
    expect(description.target('#/Page', `${post}/x`)?.pointer).toBe('paths/orders.yaml#/Page');
    expect(said()).toEqual([]);
  });

  test('`2.0` without quotes is read as well, other versions are not', async () => {
    for (const version of ['2.0', '"2.0"', '2']) {
      const { description } = await open({ 'a.yaml': `swagger: ${version}\npaths: {}\n` });
      expect(description.root).toMatchObject({ openapi: '3.0.3' });
    }
    const { description } = await open({ 'a.yaml': 'swagger: "1.2"\npaths: {}\n' });
    expect(description.root).toEqual({ swagger: '1.2', paths: {} });
  });
});

test('an absolute path is shown as it is', async () => {
  const { description, folder } = await open(
    { 'sub/a.yaml': 'a: 1\n', 'sub/b.yaml': 'b: 1\n' },
    { main: '/sub/a.yaml' },
  );
  expect(description.place('/a').file).toBe(join(folder, 'sub/a.yaml'));
  expect(description.place(description.target('b.yaml', '/a')?.pointer as string).file).toBe(
    join(folder, 'sub/b.yaml'),
  );
});

test('whatever a description holds, it is compiled or refused with a place', async () => {
  const cases = join(import.meta.dirname, '../corpus/endpoints/descriptions');
  const seeds = readdirSync(cases).filter(name => name.endsWith('.yaml'));
  const texts = seeds.map(name => readFileSync(join(cases, name), 'utf8'));
  const pieces = fc.constantFrom(
    ...'{}[],:-?|>&*!#%@`"\'\\\n\t~'.split(''),
    '<<: *a',
    '$ref: ',
    '__proto__: ',
    '\n    - ',
  );
  const change = fc.record({
    at: fc.nat(3_000),
    cut: fc.nat(30),
    piece: fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 4 })),
    times: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(500) }),
  });
  const folder = temporaryFolder();
  const file = 'openapi.yaml';
  const from = fc.oneof(
    fc.constantFrom(...texts),
    fc.constantFrom(...texts).map(text => asJson(text)),
  );
  await fc.assert(
    fc.asyncProperty(from, fc.array(change, { minLength: 1, maxLength: 4 }), async (seed, changes) => {
      const text = changes.reduce((text, { at, cut, piece, times }) => {
        const start = at % (text.length + 1);
        return text.slice(0, start) + piece.repeat(times) + text.slice(start + cut);
      }, seed);
      writeFileSync(join(folder, file), text);
      const loading = new Loading(new Source('portcullis.yaml', '', { env: {}, file: () => '' }), folder);
      const compiled = await compileOpenapi(openapi.parse({ file }), '/openapi', loading);
      const faults = loading.problems.filter(({ severity }) => severity === 'problem');
      expect(faults.length > 0).toBe(compiled === null);
      for (const { place } of loading.problems) {
        const { line, column, width } = place;
        expect(Math.min(line, column, width)).toBeGreaterThanOrEqual(1);
      }
    }),
    { numRuns: 400 },
  );
});

test('what is kept of a large file is not its text', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const text = JSON.stringify({ a: 'longer than thirteen characters', b: 'x'.repeat(2_000_000) }, null, 1);
  for (const written of [text, `${text} # YAML`]) {
    collect();
    const before = process.memoryUsage().heapUsed;
    const kept = Array.from({ length: 8 }, (_, n) => {
      const { value } = new Text('a', written.replace('x', String(n)));
      return (value as { a: string }).a;
    });
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(4_000_000);
    expect(kept).toHaveLength(8);
  }
});
