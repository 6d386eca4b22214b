// What a written request becomes, and what `portcullis explain` says of it.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCurl, readRequest, readResponse, words } from '../../src/manage/cli/request.js';

const ROOT = join(import.meta.dirname, '../..');
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-explain-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const curl = (line: string) => {
  const { method, target, fields, body } = readCurl(words(line).slice(1));
  return { line: `${method} ${target}`, fields: Object.fromEntries(fields), body: body.toString() };
};

describe('a curl line', () => {
  test('without data is a GET of its URL, with its host', () => {
    const { line, fields } = curl("curl -sk 'https://api.example.com:8443/a?b=c%20d'");
    expect([line, fields.host]).toEqual(['GET /a?b=c%20d', 'api.example.com:8443']);
  });

  test('with data is a POST of a form, with its length', () => {
    const { line, fields, body } = curl('curl https://a/b -d x=1 -d "y=two words"');
    expect([line, body]).toEqual(['POST /b', 'x=1&y=two words']);
    expect(fields).toMatchObject({ 'content-type': 'application/x-www-form-urlencoded', 'content-length': '15' });
  });

  test('with --json says so, and keeps a method that is named', () => {
    const { line, fields, body } = curl(`curl -XPUT --json '{"a":1}' https://a/b`);
    expect([line, body, fields['content-type']]).toEqual(['PUT /b', '{"a":1}', 'application/json']);
  });

  test('with -G puts its data into the query', () => {
    expect(curl("curl -G https://a/b?c=1 --data-urlencode 'd=e f'").line).toBe('GET /b?c=1&d=e%20f');
  });

  test('with -u, -b and -H has the fields that curl would send', () => {
    const { fields } = curl("curl https://a/ -u ada:pw -b c=d -H 'X-Trace: 1'");
    expect(fields).toMatchObject({ authorization: 'Basic YWRhOnB3', cookie: 'c=d', 'x-trace': '1' });
  });

  test('with -F is a multipart message, files included', () => {
    writeFileSync(join(folder, 'note.txt'), 'hello');
    const { fields, body } = curl(
      `curl https://a/ -F kind=note -F 'file=@${join(folder, 'note.txt')};type=text/plain'`,
    );
    expect(fields['content-type']).toMatch(/^multipart\/form-data; boundary=/);
    expect(body).toContain('name="kind"\r\n\r\nnote\r\n');
    expect(body).toContain('name="file"; filename="note.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n');
  });

  test('with an option that is not understood is refused by name', () => {
    expect(() => curl('curl https://a/ --ftp-pasv')).toThrow('--ftp-pasv');
  });

  test('without a URL, with two, or with an option that lacks its value is refused', () => {
    expect(() => curl('curl -s')).toThrow('no URL');
    expect(() => curl('curl https://a/ https://b/')).toThrow('two URLs');
    expect(() => curl('curl https://a/ -H')).toThrow('needs a value');
  });

  test('is split as a shell does it', () => {
    expect(words(`a 'b c' "d \\"e" f\\ g $'h\\ni' j'k'"l" ''`)).toEqual(['a', 'b c', 'd "e', 'f g', 'h\ni', 'jkl', '']);
    expect(words('a \\\n  b')).toEqual(['a', 'b']);
  });
});

test('a request file is read as on the wire, with either line end', () => {
  const request = readRequest(Buffer.from('POST /a HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\nbody\n'));
  expect(request).toMatchObject({ method: 'POST', target: '/a' });
  expect(request.fields).toEqual([
    ['host', 'x'],
    ['content-type', 'text/plain'],
    ['content-length', '5'],
  ]);
  expect(readRequest(Buffer.from('GET https://x/a\n')).fields).toEqual([['host', 'x']]);
});

test('a request or response file that is none is refused with what would do', () => {
  expect(() => readRequest(Buffer.from('hello'))).toThrow('POST /orders HTTP/1.1');
  expect(() => readRequest(Buffer.from('GET / HTTP/1.1\nnonsense'))).toThrow('Name: value');
  expect(() => readResponse(Buffer.from('GET / HTTP/1.1\n'))).toThrow('HTTP/1.1 200 OK');
});

describe('portcullis explain', () => {
  const explain = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [join(ROOT, 'dist/main.js'), 'explain', '-c', join(folder, 'portcullis.yaml'), ...args],
      {
        encoding: 'utf8',
      },
    );

  beforeAll(() => {
    writeFileSync(
      join(folder, 'portcullis.yaml'),
      `listen: { https: 0, admin: 127.0.0.1:0 }
hosts:
  api.example.com:
    tls: { certificate: host.pem, key: host.key }
    mtls: { mode: "off" }
    origin: http://127.0.0.1:1
    openapi: { file: api.yaml, action: block, fallthrough: log }
`,
    );
    writeFileSync(
      join(folder, 'api.yaml'),
      `openapi: 3.1.0
info: { title: t, version: "1" }
paths:
  /orders:
    post:
      operationId: placeOrder
      requestBody:
        required: true
        content:
          application/json: { schema: { type: object, required: [sku], properties: { sku: { type: string } } } }
      responses: {}
`,
    );
    const subject = ['-subj', '/CN=api.example.com', '-addext', 'subjectAltName=DNS:api.example.com'];
    const out = ['-keyout', join(folder, 'host.key'), '-out', join(folder, 'host.pem')];
    const options = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      ...subject,
      ...out,
    ];
    execFileSync('openssl', options, { stdio: 'ignore' });
  });

  test('names the operation of a good request and ends well', () => {
    const { status, stdout } = explain('--', 'curl', 'https://api.example.com/orders', '--json', '{"sku":"a"}');
    expect(stdout).toBe('POST /orders\n  operation placeOrder of api.example.com\n  nothing is violated\n');
    expect(status).toBe(0);
  });

  test('tells every violation, its place and what happens, and ends with 1', () => {
    const { status, stdout } = explain(`curl https://api.example.com/orders --json '{"sku":7}'`);
    expect(stdout).toContain('block: schema.body (400)');
    expect(stdout).toContain('body /sku: expected string [type]');
    expect(status).toBe(1);
  });

  test('says that nothing matches, which is only logged here', () => {
    const { status, stdout } = explain('--', 'curl', 'https://api.example.com/nothing');
    expect(stdout).toContain('no operation of api.example.com matches\n  log: endpoints.fallthrough');
    expect(status).toBe(0);
  });

  test('reads a request from a file, and answers in JSON when asked', () => {
    writeFileSync(join(folder, 'r.http'), 'DELETE /orders HTTP/1.1\nHost: api.example.com\n\n');
    const { status, stdout } = explain('--format', 'json', join(folder, 'r.http'));
    expect(JSON.parse(stdout).findings).toMatchObject([{ reason: 'endpoints.method', status: 405, action: 'block' }]);
    expect(status).toBe(1);
  });

  test('tells what the operation requires of who calls it', () => {
    const config = readFileSync(join(folder, 'portcullis.yaml'), 'utf8');
    const credentials = `    credentials:
      action: log
      keys: [{ header: X-API-Key }]
      operations: { placeOrder: { require: { keys: true, scopes: [orders:write] }, action: block } }
`;
    writeFileSync(join(folder, 'keys.yaml'), config + credentials);
    const args = ['-c', join(folder, 'keys.yaml')];
    const { stdout } = explain(...args, '--', 'curl', 'https://api.example.com/orders', '--json', '{"sku":"a"}');
    expect(stdout).toContain('operation placeOrder of api.example.com\n  block: requires key[orders:write]\n');
    const other = explain(...args, '--format', 'json', '--', 'curl', 'https://api.example.com/none');
    expect(JSON.parse(other.stdout).requires).toEqual({
      action: 'log',
      public: false,
      saidBy: 'default',
      any: [[{ kind: 'key', scopes: [], locations: [] }]],
    });
  });

  describe('of a call', () => {
    const PLACE = ['--', 'curl', 'https://calls.example.com/shop.v1.Orders/Place'];
    const MANY = ['--', 'curl', 'https://calls.example.com/shop.v1.Orders/Import'];
    const calls = (...args: string[]) => explain('-c', join(folder, 'calls.yaml'), ...args);
    const message = (...written: string[]) => written.flatMap(one => ['--message', one]);

    beforeAll(() => {
      writeFileSync(
        join(folder, 'orders.proto'),
        `syntax = "proto3";
package shop.v1;
import "buf/validate/validate.proto";
service Orders {
  rpc Place(Order) returns (Order);
  rpc Import(stream Order) returns (Order);
}
message Order {
  string buyer = 1;
  repeated Item items = 2;
}
message Item {
  string sku = 1 [(buf.validate.field).string.max_len = 5];
  uint32 count = 2;
}
`,
      );
      writeFileSync(
        join(folder, 'calls.yaml'),
        `listen: { https: 0, admin: 127.0.0.1:0 }
hosts:
  calls.example.com:
    tls: { certificate: host.pem, key: host.key }
    mtls: { mode: "off" }
    origin: { url: http://127.0.0.1:1, protocol: h2 }
    grpc: { protos: { files: [orders.proto] }, action: block, fallthrough: block, unknownFields: log }
rules:
  - { name: no-admin, expression: 'any(grpc.message["buyer"][*] eq "admin") or any(grpc.message["items.sku"][*] eq "x")', action: block }
`,
      );
    });

    test('tells its operation, and what rules would read of a message that is good', () => {
      const { status, stdout } = calls(...message('{"buyer":"ada","items":[{"sku":"a"},{"sku":"b"}]}'), ...PLACE);
      expect(stdout.split('\n')).toEqual([
        'POST /shop.v1.Orders/Place',
        '  operation /shop.v1.Orders/Place of calls.example.com',
        '  grpc.message["buyer"] of message 1: ["ada"]',
        '  grpc.message["items.sku"] of message 1: ["a","b"]',
        '  nothing is violated',
        '',
      ]);
      expect(status).toBe(0);
    });

    test('tells what a message violates, and where', () => {
      const { status, stdout } = calls(...message('{"items":[{"sku":"a"},{"sku":"longer"}]}'), ...PLACE);
      expect(stdout).toContain('  block: grpc.message (400), message 1: ');
      expect(stdout).toMatch(/^ {4}message items\[1\]\.sku: .*5.*$/m);
      expect(stdout).not.toContain('grpc.message["');
      expect(status).toBe(1);
    });

    test('looks at each message of a stream, at bytes and files, and at how many there are', () => {
      writeFileSync(join(folder, 'order.bin'), Buffer.from([0x0a, 1, 0x61]));
      const unknown = 'base64:SAE=';
      const file = `@${join(folder, 'order.bin')}`;
      const many = calls('--format', 'json', ...message(file, unknown, 'hex:0a05', '{}'), ...MANY);
      const { findings, read } = JSON.parse(many.stdout);
      expect(findings).toMatchObject([
        { reason: 'grpc.unknown_field', action: 'log', message: 2 },
        { reason: 'grpc.malformed', action: 'block', message: 3 },
      ]);
      expect(read[0]).toEqual({ message: 1, path: 'buyer', values: ['a'] });
      const two = calls('--format', 'json', ...message('{}', '{}'), ...PLACE);
      expect(JSON.parse(two.stdout).findings).toMatchObject([
        { reason: 'grpc.malformed', errors: [{ message: 'expected one message, found more' }] },
      ]);
    });

    test('reads a body as it stands on the wire, also in base64', () => {
      const body = Buffer.from([0, 0, 0, 0, 2, 0x0a, 0]).toString('base64');
      const head = 'POST /shop.v1.Orders/Place HTTP/1.1\nHost: calls.example.com\n';
      writeFileSync(join(folder, 'web.http'), `${head}Content-Type: application/grpc-web-text\n\n${body}`);
      expect(calls(join(folder, 'web.http')).stdout).toContain('nothing is violated');
      writeFileSync(join(folder, 'wrong.http'), `${head}Content-Type: application/grpc-web-text\n\n${body}!`);
      expect(calls(join(folder, 'wrong.http')).stdout).toContain('block: grpc.text');
      writeFileSync(join(folder, 'plain.http'), `${head}Content-Type: application/json\n\n{}`);
      expect(calls(join(folder, 'plain.http')).stdout).toContain('block: grpc.format (415)');
      writeFileSync(join(folder, 'no-te.http'), `${head}Content-Type: application/grpc\n\n`);
      expect(calls(join(folder, 'no-te.http')).stdout).toContain('block: grpc.call');
    });

    test('says that nobody described it', () => {
      const other = calls(...message('hex:'), '--', 'curl', 'https://calls.example.com/shop.v1.Orders/Other');
      expect(other.stdout).toContain('block: endpoints.fallthrough');
    });

    test('ends with 2 where what is written is no message', () => {
      for (const [written, told] of [
        ['{"buyr":"ada"}', 'buyr'],
        ['hex:0g', 'hexadecimal'],
        ['ada', 'is no JSON'],
      ] as const) {
        const { status, stderr } = calls(...message(written), ...PLACE);
        expect([status, stderr]).toEqual([2, expect.stringContaining(told)]);
      }
    });
  });

  test('ends with 2 where it cannot say anything', () => {
    expect(explain(join(folder, 'none.http')).status).toBe(2);
    expect(explain('--', 'curl', '--nonsense').stderr).toContain('--nonsense');
  });
});
