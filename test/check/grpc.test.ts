// What an operator writes of gRPC services, as it is asked of the engine and handed to it. The engine is a stand-in here.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lookups, load } from '../../src/config/load.js';
import { operationsOf } from '../../src/config/operations.js';
import { render } from '../../src/config/problem.js';
import { type Folder, makeFolder } from '../config/folder.js';

let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
});
afterAll(() => folder.remove());

interface Asked {
  sources?: { files: string[]; texts: [string, string][] };
  descriptors?: string;
}

const METHODS = ['/shop.Orders/List', '/shop.Orders/Place'].map(path => ({
  ...{ path, client_streams: false, server_streams: false },
}));

const ORIGIN = '{ url: http://127.0.0.1:9000, protocol: h2 }';

function loaded(grpc: string, outline: object = {}, origin = ORIGIN) {
  const asked: Asked[] = [];
  const lookups: Lookups = {
    env: {},
    resolve: async () => ['10.0.0.7'],
    describeCalls: text => {
      asked.push(JSON.parse(text) as Asked);
      return JSON.stringify({ descriptors: 'AAAA', methods: METHODS, problems: [], unchecked: [], ...outline });
    },
  };
  const text = `hosts:
  api.example.com:
    origin: ${origin}
    tls: { certificate: cert.pem, key: key.pem }
    mtls: { mode: 'off' }
    grpc: ${grpc}
`;
  const file = folder.write('portcullis.yaml', text);
  return load(file, lookups).then(({ remarks, parts, files, place }) => ({
    asked,
    files,
    place,
    host: parts?.policy.hosts[0],
    said: remarks.map(remark => render(remark).replaceAll(`${folder.path}/`, '')),
  }));
}

test('files and all that they import are handed to the engine, and watched', async () => {
  folder.write(
    'proto/shop/orders.proto',
    '// import "shop/nothing.proto";\nimport public "shop/items.proto";\nimport "google/protobuf/any.proto";',
  );
  folder.write('proto/shop/items.proto', 'syntax = "proto3"; /* import "b" */ import \'shop/units.proto\';');
  folder.write('more/shop/units.proto', 'message Unit { string a = 1; }');
  const { asked, files } = await loaded('{ protos: { files: [shop/orders.proto], includes: [proto, more] } }');
  expect(asked[0]?.sources?.files).toEqual(['shop/orders.proto']);
  expect(asked[0]?.sources?.texts.map(([name]) => name).sort()).toEqual([
    'shop/items.proto',
    'shop/orders.proto',
    'shop/units.proto',
  ]);
  expect(files).toContain(`${folder.path}/more/shop/units.proto`);
});

test('descriptor sets are one', async () => {
  folder.write('a.binpb', 'one');
  folder.write('b.binpb', 'two');
  const { asked } = await loaded('{ descriptors: [a.binpb, b.binpb] }');
  expect(Buffer.from(asked[0]?.descriptors ?? '', 'base64').toString()).toBe('onetwo');
});

test('methods are operations, staged one by one', async () => {
  folder.write('a.binpb', 'one');
  const { host, said } = await loaded(
    '{ descriptors: [a.binpb], unknownFields: log, operations: { shop.Orders/List: { action: off } } }',
  );
  expect(said.filter(text => text.includes('grpc'))).toEqual([]);
  expect(host?.grpc?.operations.map(({ path, action }) => [path, action])).toEqual([
    ['/shop.Orders/List', 'off'],
    ['/shop.Orders/Place', 'block'],
  ]);
  expect(host?.grpc).toMatchObject({ fallthrough: 'log', unknown_fields: 'log', max_message_bytes: 4 * 2 ** 20 });
  expect(host && operationsOf(host).map(({ id, method }) => `${method} ${id}`)).toEqual([
    'POST /shop.Orders/List',
    'POST /shop.Orders/Place',
  ]);
});

test('an operation that no service has is a problem', async () => {
  folder.write('a.binpb', 'one');
  const { said } = await loaded('{ descriptors: [a.binpb], operations: { /shop.Orders/Lists: {} } }');
  expect(said.join('\n')).toMatch(/Lists[\s\S]*\/shop.Orders\/List/);
  const other = await loaded('{ descriptors: [a.binpb], operations: { listOrders: {} } }');
  expect(other.said.join('\n')).toContain('write it as `/package.Service/Method`');
});

test('what the engine finds in a file is shown there', async () => {
  folder.write('proto/shop/orders.proto', 'syntax = "proto3";\nmessage A {\n  strin id = 1;\n}\n');
  const { said, host } = await loaded('{ protos: { files: [shop/orders.proto], includes: [proto] } }', {
    descriptors: null,
    problems: [{ file: 'shop/orders.proto', line: 3, column: 3, message: "name 'strin' is not defined" }],
  });
  expect(host?.grpc ?? null).toBeNull();
  expect(said.join('\n')).toMatch(/proto\/shop\/orders\.proto:3:3[\s\S]*strin id = 1;/);
});

test('what the engine misses in expressions is not told beside what is wrong in a file', async () => {
  const unknown = [{ at: '/rules/0/expression', message: 'no method has such a message' }];
  folder.write('proto/shop/orders.proto', 'edition = "2023";');
  const problems = [{ file: 'shop/orders.proto', line: 1, column: 1, message: "found 'edition'" }];
  const protos = '{ protos: { files: [shop/orders.proto], includes: [proto] } }';
  const faulty = await loaded(protos, { descriptors: null, problems });
  expect(faulty.place(unknown)).toEqual([]);
  expect(faulty.said.join('\n')).toContain('files of `edition` syntax are not read');
  expect((await loaded(protos)).place(unknown)).toMatchObject([{ message: 'no method has such a message' }]);
});

test('an origin that is asked by HTTP/1.1 gets no calls but those of gRPC-Web, which is told', async () => {
  for (const origin of ['http://127.0.0.1:9000', '{ url: http://127.0.0.1:9000 }']) {
    const { said } = await loaded('{ maxDeadline: 5s }', {}, origin);
    expect(said.filter(text => text.includes('only those of gRPC-Web get there'))).toHaveLength(1);
  }
  expect((await loaded('{ maxDeadline: 5s }')).said.filter(text => text.includes('gRPC-Web'))).toEqual([]);
});

test('what is not checked is told', async () => {
  folder.write('a.binpb', 'one');
  const unchecked = Array.from({ length: 23 }, (_, n) => ({ element: `shop.A.f${n}`, message: 'a CEL expression' }));
  const { said } = await loaded('{ descriptors: [a.binpb] }', { unchecked });
  expect(said.filter(text => text.includes(': not checked: a CEL expression'))).toHaveLength(20);
  expect(said.join('\n')).toContain('3 more annotations are not checked');
});

test('a file that is not there, and one that leaves its folder, are problems', async () => {
  const missing = await loaded('{ protos: { files: [shop/none.proto] } }');
  expect(missing.said.join('\n')).toContain('no folder of `includes` has the file shop/none.proto');
  folder.write('outside.proto', 'syntax = "proto3";');
  folder.write('proto/in.proto', 'syntax = "proto3";');
  const outside = await loaded('{ protos: { files: [../outside.proto], includes: [proto] } }');
  expect(outside.said.join('\n')).toContain('no folder of `includes` has the file ../outside.proto');
});

test('both ways to describe services exclude each other, neither leaves the rest in force', async () => {
  const both = await loaded('{ descriptors: [a.binpb], protos: { files: [a.proto] } }');
  expect(both.said.join('\n')).toContain('`descriptors` and `protos` exclude each other');
  const neither = await loaded('{ maxDeadline: 5s, allowReflection: true }');
  expect(neither.asked).toEqual([]);
  expect(neither.host?.grpc).toMatchObject({ descriptors: null, max_deadline_ms: 5000, allow_reflection: true });
});
